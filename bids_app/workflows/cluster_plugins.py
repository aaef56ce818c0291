"""nipype's own plugins for clusters, checked before anything runs: they fail late, and with a traceback."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bids_app.errors import UsageError

# The command that each of nipype's cluster plugins calls
COMMANDS = {
    "SLURM": "sbatch",
    "SLURMGraph": "sbatch",
    "SGE": "qsub",
    "SGEGraph": "qsub",
    "PBS": "qsub",
    "PBSGraph": "qsub",
    "LSF": "bsub",
    "OAR": "oarsub",
    "Condor": "condor_submit",
    "CondorDAGMan": "condor_submit_dag",
}
# Folders that are a machine's own nearly everywhere
OF_ONE_MACHINE = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def check_cluster_plugin(name: str, work_dir: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a cluster plugin that cannot work here; other plugins pass.

    Parameters
    ----------
    name : str
        nipype's name of the plugin.
    work_dir : Path or None
        Work folder as asked for; None is a temporary one.

    Raises
    ------
    UsageError
        When its command is absent, the user has no name, or the work folder is not shared.
    """
    command = COMMANDS.get(name)
    if command is None:
        return
    if shutil.which(command, path=environ.get("PATH")) is None:
        raise UsageError(
            f"nipype's plugin {name} needs the command {command}, which is not here",
            "run on a machine that submits jobs, or see normvol-slurm and --scheduler",
        )
    # nipype names its jobs after the user
    if not environ.get("LOGNAME"):
        raise UsageError(f"nipype's plugin {name} needs the user's name in LOGNAME", f"export LOGNAME={_user()}")
    if work_dir is None:
        raise UsageError(f"nipype's plugin {name} needs a work folder that all nodes see", "give -w DIR")
    folder = work_dir.resolve()
    local = {Path(place).resolve() for place in (*OF_ONE_MACHINE, tempfile.gettempdir())}
    if any(folder.is_relative_to(place) for place in local):
        raise UsageError(
            f"the work folder {work_dir} is of this machine alone, and nipype's plugin {name} runs on others",
            "give -w DIR on a file system that all nodes see",
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "NAME"
