"""What a level needs before anything is carried out."""

from __future__ import annotations

import subprocess
import sys


def test_a_dry_run_imports_no_nipype():
    code = (
        "import sys; import bids_app.cli.main, bids_app.cli.run\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('nipype', 'networkx', 'pybids')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
