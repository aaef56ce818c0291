"""Why there is no FreeSurfer tree for a scan, and what lies there instead."""

from __future__ import annotations

from pathlib import Path

from bids_app.bids.layout import Scan
from bids_app.bids.names import listed
from bids_app.errors import NormvolError, ReconAllError
from bids_app.findings import Finding
from bids_app.freesurfer.annex import is_not_fetched
from bids_app.freesurfer.locate import shared_tree
from bids_app.freesurfer.near_misses import near_misses
from bids_app.run.recon import ReconPlan
from bids_app.run.request import SubjectPlaces
from bids_app.run.trees import Trees


def why_no_tree(
    scan: Scan, error: NormvolError, places: SubjectPlaces, recon: ReconPlan, trees: Trees
) -> tuple[str, str, tuple[Finding, ...], tuple[Path, ...]]:
    """Reason, remedy, findings and files to fetch of a scan whose tree was not found and cannot be made."""
    if not isinstance(error, ReconAllError):
        return error.reason, error.remedy, (), ()
    images = tuple(path for path in recon.wanted_images(scan) if is_not_fetched(path))
    finding = _what_lies_there(scan, places, recon, trees)
    if finding is None:
        return error.reason, error.remedy, (), images
    return f"{error.reason}; {finding.seen}", finding.remedy, (finding,), images


def _what_lies_there(scan: Scan, places: SubjectPlaces, recon: ReconPlan, trees: Trees) -> Finding | None:
    """A tree that is nearly the scan's: of the other stream, of several sessions, or under nearly its name."""
    sessions = recon.sessions_of(scan.participant)
    other = trees.find(places.searched, scan, only_session=sessions == 1, longitudinal=not places.longitudinal)
    if other is not None:
        stream = "cross-sectional" if places.longitudinal else "longitudinal"
        remedy = "" if places.longitudinal else "use --longitudinal, or run FreeSurfer's cross-sectional stream"
        return Finding(
            "tree-other-stream", f"there is only the {stream} tree {other.located.identifier}", remedy=remedy
        )
    shared = shared_tree(places.searched, scan.participant) if scan.session is not None and sessions > 1 else None
    if shared is not None:
        return Finding("tree-for-several-sessions", f"there is one tree {shared.name} for {sessions} sessions")
    near = near_misses(places.searched, scan.participant, scan.session)
    if not near:
        return None
    remedy = f"rename or link it to {scan.name}, or unpack it"
    return Finding("tree-near-miss", f"there is {listed(near)}", remedy=remedy)
