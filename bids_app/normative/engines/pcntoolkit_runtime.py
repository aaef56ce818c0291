"""Import PCNtoolkit quietly and with writable caches, only when its engine is asked for."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

from bids_app.errors import ModelError
from bids_app.processes import temporary_folder

_CACHES = {
    "PCN_HOME_DIR": "pcntoolkit",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
}


@lru_cache(maxsize=1)
def pcntoolkit() -> ModuleType:
    """The package `pcntoolkit`, its caches in a private temporary folder that is removed at exit.

    PCNtoolkit and the packages that it imports write below HOME unless they are told where; HOME may be read-only.
    Variables that the user has set are respected.

    Raises
    ------
    ModelError
        When the package is not installed.
    """
    _set_caches()
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        with quiet():
            import pcntoolkit as package
            from pcntoolkit.util.output import Output
    except ImportError as error:
        raise ModelError(f"this model needs the package pcntoolkit ({error})", "install it with pip") from error
    Output.set_show_messages(False)
    Output.set_show_warnings(False)
    return package


def _set_caches() -> None:
    import atexit
    import shutil

    folder = temporary_folder("normvol-pcntoolkit-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable, name in _CACHES.items():
        if variable not in os.environ:
            (folder / name).mkdir()
            os.environ[variable] = str(folder / name)
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    if "compiledir" not in flags:
        os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, [flags, f"base_compiledir={folder / 'pytensor'}"]))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that PCNtoolkit and its dependencies give about themselves, and with one BLAS thread.

    Its matrices are small: on a busy machine several threads that wait for each other make it a hundred times slower.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):
        warnings.simplefilter("ignore")
        yield
