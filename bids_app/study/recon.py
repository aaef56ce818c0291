"""When recon-all has to run: its inputs, its names in our own subjects directory, and the run itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_app.bids.layout import Scan
from bids_app.config import RunConfig
from bids_app.errors import ReconAllError

OWN_SUBJECTS = Path("sourcedata") / "freesurfer"


class ReconPlan:
    """Arguments of recon-all for the scans of a run.

    Parameters
    ----------
    config : RunConfig
    scans : sequence of Scan
    """

    def __init__(self, config: RunConfig, scans: Sequence[Scan]) -> None:
        self.config = config
        self.subjects_dir = config.output_dir / OWN_SUBJECTS
        self._sessions = Counter(scan.participant for scan in scans)
        self._scans = scans

    def sessions_of(self, participant: str) -> int:
        """Number of scans of a person in this run."""
        return self._sessions[participant]

    def may_resume(self, subject_dir: Path) -> bool:
        """Whether an unfinished tree is one that we started ourselves."""
        return False

    def arguments(self, scan: Scan) -> dict[str, Any]:
        raise ReconAllError("x; y")
