"""``normvol-demo OUT``: make the synthetic demo dataset and run both levels on it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_app import __version__
from bids_app.cli import exitcodes
from bids_app.cli.guard import guarded
from bids_app.cli.options import Parser
from bids_app.cli.words import show


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``normvol-demo``."""
    parser = Parser(
        prog="normvol-demo",
        description="Make a small synthetic BIDS dataset with FreeSurfer output and run normvol on it. "
        "Nobody in it is real. For research use only.",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="a new or empty folder")
    parser.add_argument(
        "--study",
        action="store_true",
        help="make a whole study instead (60 patients, 25 controls, two scanners, planted effects) and stop: "
        "docs/tutorial.md walks through it",
    )
    parser.add_argument("--data-only", action="store_true", help="make the dataset and stop")
    parser.add_argument("--version", action="version", version=f"normvol {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Make the dataset, run both levels, say where to look."""
    arguments = build_parser().parse_args(argv)
    return guarded(lambda: _demo(arguments.output.absolute(), arguments.data_only, arguments.study))


def _demo(output: Path, data_only: bool, study: bool) -> int:
    from bids_app.cli import main as app
    from bids_app.errors import UsageError
    from bids_app.normative.registry import load_model
    from bids_app.simulation.demo import make_demo

    bids_dir, derivatives = output / "bids", output / "derivatives" / "normvol"
    if bids_dir.exists() and not (bids_dir / "dataset_description.json").exists():
        raise UsageError(f"{bids_dir} exists and is not the demo", "give a new or empty folder")
    if study:
        return _study(output, bids_dir)
    make_demo(bids_dir, load_model("open-calibrated"))
    show(f"synthetic dataset: {bids_dir}")
    if data_only:
        return exitcodes.OK
    arguments = [str(bids_dir), str(derivatives)]
    codes = [app.main([*arguments, "participant"]), app.main([*arguments, "group", "--analysis", "auto"])]
    show(
        f"\nopen in a browser:\n  {derivatives}/group.html\n  {derivatives}/sub-01.html\n"
        f"the person who is left out, and why, is in the group report and in {derivatives}/group_inclusion.tsv"
    )
    expected = (exitcodes.OK, exitcodes.OMISSIONS)
    return exitcodes.OK if all(code in expected for code in codes) else max(codes)


def _study(output: Path, bids_dir: Path) -> int:
    from bids_app.normative.registry import load_model
    from bids_app.simulation.study import make_study

    make_study(bids_dir, load_model("open-calibrated"))
    command = f"normvol {bids_dir} {output / 'derivatives' / 'normvol'}"
    show(
        f"synthetic study: {bids_dir}\nwhat was planted: {bids_dir}/sourcedata/planted.tsv\n\nnext:\n"
        f"  {command} participant --adapt-controls 'group == \"control\"' --adapt-by site\n"
        f"  {command} group --analysis auto\n"
    )
    return exitcodes.OK


if __name__ == "__main__":
    sys.exit(main())
