"""Thin nipype shells around the library packages."""

import os
import sys
from importlib.util import find_spec

os.environ.setdefault("NO_ET", "1")

# nipype imports IPython for a plugin that cannot work without ipyparallel: a tenth of a run of one person.
if "IPython" not in sys.modules and find_spec("ipyparallel") is None:
    sys.modules["IPython"] = None  # type: ignore[assignment]
    try:
        import nipype.pipeline.plugins  # noqa: F401
    finally:
        del sys.modules["IPython"]
