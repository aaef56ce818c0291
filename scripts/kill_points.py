"""Stop commands at random moments, run them again, and compare every byte with an undisturbed run.

    python scripts/kill_points.py --points 100 --seed 1

Each point takes a command (participant and group level, reports only, train, score, analyse; fresh or over older
results), stops it by SIGKILL, SIGTERM or SIGINT at a moment near one of its writes, runs it again to its end, and
compares the output with that of a run that nobody stopped. Prints one line per point, exits with 1 if any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MODULES = {"normvol": "bids_app.cli.main", "normvol-model": "bids_app.cli.model"}
# Exit codes of a command that did its work: all well, or people left out
DONE = (0, 3, 4)
ORPHAN_SECONDS = 5.0


@dataclass(frozen=True)
class Case:
    """A command to disturb: `prepare` fills an empty folder, `command` is run in it, `output` is compared."""

    name: str
    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    output: str = "out"


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nobody stopped gives, and when it wrote (seconds after its start)."""

    digests: dict[str, str]
    moments: tuple[float, ...]


def write_dataset(folder: Path) -> None:
    """The demo dataset with its FreeSurfer output, as ``normvol-demo`` makes it."""
    from bids_app.normative.registry import load_model
    from bids_app.simulation.demo import make_demo

    make_demo(folder / "bids", load_model("open-calibrated"))


def _scored(folder: Path) -> None:
    write_dataset(folder)
    run(folder, PARTICIPANT)


def _updated(folder: Path) -> None:
    """Results of earlier ages: the run to be disturbed has to renew them all."""
    _scored(folder)
    for path in [folder / "bids/participants.tsv", *folder.glob("bids/sub-*/*_sessions.tsv")]:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        if "age" in table:
            table["age"] = [f"{float(age) + 10:g}" if age != "n/a" else age for age in table["age"]]
            table.to_csv(path, sep="\t", index=False)


def _grouped(folder: Path) -> None:
    _scored(folder)
    run(folder, GROUP)


def _table(folder: Path, n: int = 400) -> None:
    """A table of invented healthy people and patients."""
    from bids_app.regions import ETIV, reference_regions

    rng = np.random.default_rng(7)
    age, male = rng.uniform(18, 70, n).round(1), rng.integers(0, 2, n)
    etiv = rng.normal(1.45e6 + 1.5e5 * male, 1e5)
    ids = [f"sub-{i:03d}" for i in range(n)]
    data = pd.DataFrame({"participant_id": ids, "age": age, "sex": np.where(male, "male", "female"), ETIV: etiv})
    data["group"] = np.where(np.arange(n) % 2, "control", "MS")
    data["edss"] = np.where(np.arange(n) % 2, np.nan, (rng.integers(0, 13, n) / 2))
    volumes = {name: 4000 + 0.001 * etiv - 10 * age + rng.normal(0, 300, n) for name in reference_regions()}
    pd.concat([data, pd.DataFrame(volumes)], axis=1).to_csv(folder / "table.tsv", sep="\t", index=False, na_rep="n/a")


def _table_scored(folder: Path) -> None:
    _table(folder, 80)
    (folder / "out").mkdir()
    run(folder, ("normvol-model", "score", "table.tsv", "-o", "z.tsv"))


PARTICIPANT = ("normvol", "bids", "out", "participant", "--nprocs", "2")
GROUP = ("normvol", "bids", "out", "group", "--analysis", "auto", "--nprocs", "1")
ADAPT = ("--adapt-controls", 'group == "control"', "--force")
CASES = (
    Case("participant, fresh", write_dataset, PARTICIPANT),
    Case("participant, updated ages", _updated, PARTICIPANT),
    Case("participant, changed adaptation", _scored, (*PARTICIPANT, *ADAPT)),
    Case("group, fresh", _scored, GROUP),
    Case("group, again", _grouped, GROUP),
    Case("participant, reports only", _grouped, (*PARTICIPANT, "--reports-only")),
    Case("train", _table, ("normvol-model", "train", "table.tsv", "-o", "out/model.json", "--no-counts")),
    Case("score", _table, ("normvol-model", "score", "table.tsv", "-o", "out/z.tsv", "--counts", "out/counts.tsv")),
    Case("analyse", _table_scored, ("normvol-model", "analyse", "table.tsv", "--zscores", "z.tsv", "-o", "out")),
)


def start(folder: Path, command: tuple[str, ...]) -> subprocess.Popen:
    """Start `command` in `folder`, in a process group of its own with a TMPDIR of its own."""
    (folder / "tmp").mkdir(exist_ok=True)
    repository = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": repository}
    return subprocess.Popen(
        [sys.executable, "-m", MODULES[command[0]], *command[1:]],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, command: tuple[str, ...]) -> str:
    """Run `command` to its end; raise RuntimeError when it fails."""
    process = start(folder, command)
    words = process.communicate()[1]
    if process.returncode not in DONE:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{words[-2000:]}")
    return words


def digests(output: Path) -> dict[str, str]:
    """SHA-256 of every file but the logs of single runs; identifiers of runs inside files do not count."""
    return {name: hashlib.sha256(_content(path)).hexdigest() for name, path in _files(output)}


def _files(output: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(output.rglob("*")):
        parts = path.relative_to(output).parts
        of_one_run = "log" in parts or (parts[0] == "logs" and path.suffix in (".log", ".tsv") and "-" in path.name)
        if path.is_file() and not of_one_run:
            yield "/".join(parts), path


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".json" or b"run_uuid" not in content:
        return content
    values = json.loads(content)
    values.pop("run_uuid", None)
    return json.dumps(values, sort_keys=True).encode()


def undisturbed(template: Path, folder: Path, case: Case) -> Undisturbed:
    """Run the case once without disturbing it."""
    _fresh(template, folder)
    begun = time.time()
    run(folder, case.command)
    ended = time.time()
    moments = [path.stat().st_mtime - begun for _, path in _files(folder / case.output)]
    written = sorted(moment for moment in moments if moment > 0)
    return Undisturbed(digests(folder / case.output), (*written, ended - begun))


def disturb(template: Path, folder: Path, case: Case, rng: random.Random, known: Undisturbed) -> list[str]:
    """Stop the case once and run it again; return what is not as it should be."""
    _fresh(template, folder)
    number, moment = rng.choice(SIGNALS), max(0.05, rng.choice(known.moments) + rng.uniform(-0.05, 0.05))
    process = start(folder, case.command)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait()
    problems = _orphans(process.pid) + _left_over(folder / "tmp")
    try:
        run(folder, case.command)
    except RuntimeError as error:
        problems.append(f"run again, {error}")
    found = digests(folder / case.output)
    problems += [f"{name} differs" for name in sorted(known.digests) if found.get(name) != known.digests[name]]
    problems += [f"{name} is left over" for name in sorted(set(found) - set(known.digests))]
    print(f"{'ok ' if not problems else 'BAD'} {case.name}: {number.name} after {moment:.2f} s", flush=True)
    return problems


def _orphans(group: int) -> list[str]:
    """Wait for the processes of a stopped command; name it when some are there after `ORPHAN_SECONDS`."""
    until = time.monotonic() + ORPHAN_SECONDS
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return []
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return [f"processes were alive {ORPHAN_SECONDS:g} s after the end"]


def _left_over(temporary: Path) -> list[str]:
    """Wait until a stopped command's TMPDIR is empty; name what is there after `ORPHAN_SECONDS`."""
    until = time.monotonic() + ORPHAN_SECONDS
    while (names := [path.name for path in temporary.iterdir()]) and time.monotonic() < until:
        time.sleep(0.05)
    return [f"{name} stayed in TMPDIR" for name in names]


def _fresh(template: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=12, help="how many times a command is stopped (12)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    rng, bad = random.Random(arguments.seed), 0
    cases = [case for case in CASES if arguments.only in case.name]
    with tempfile.TemporaryDirectory(prefix="kill-points-") as place:
        known: dict[str, Undisturbed] = {}
        for point in range(arguments.points):
            case = cases[point % len(cases)]
            template, folder = Path(place) / f"template-{case.name}", Path(place) / "case"
            if case.name not in known:
                template.mkdir()
                case.prepare(template)
                (template / case.output).mkdir(exist_ok=True)
                known[case.name] = undisturbed(template, folder, case)
            problems = disturb(template, folder, case, rng, known[case.name])
            bad += bool(problems)
            for problem in problems[:10]:
                print(f"    {problem}")
    print(f"{arguments.points - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
