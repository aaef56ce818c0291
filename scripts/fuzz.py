"""Feed readers of untrusted files with mutated files: whatever comes, they read it or say a sentence.

    python scripts/fuzz.py stats --runs 100000
    python scripts/fuzz.py all --runs 100000

Where atheris is installed (``pip install atheris``) coverage guides the mutations; otherwise hypothesis makes files.
Exits with 1 and prints the file when a reader raises anything but `bids_app.errors.NormvolError`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bids_app.errors import NormvolError

# What is instrumented, and read by what
TARGETS = {
    "stats": ("bids_app.freesurfer.stats", ".stats"),
    "tables": ("bids_app.bids.source_tables", ".tsv"),
    "wide-tables": ("bids_app.workbench.table_pieces", ".csv"),
    "model": ("bids_app.normative.engines.native_file", ".json"),
    "rdata": ("bids_app.normative.importers.rfile", ".rds"),
    "pickle": ("bids_app.normative.importers.restricted_pickle", ".pkl"),
    "toml": ("bids_app.settings", ".toml"),
    "filters": ("bids_app.bids.query", ".json"),
}
SECONDS_AT_MOST = 10


def reader(target: str) -> Callable[[Path], object]:
    """What reads a file of this kind."""
    module = importlib.import_module(TARGETS[target][0])
    if target == "wide-tables":
        return lambda path: list(module.TableFile(path).pieces(1000))
    if target == "toml":
        return _settings
    name = {"stats": "read_stats", "tables": "read_sheet", "model": "load", "filters": "read_filters"}
    return getattr(module, name.get(target, {"rdata": "read_r_file", "pickle": "read_pickle"}.get(target, "")))


def _settings(path: Path) -> None:
    from bids_app.clinical.analysis_file import read_analysis
    from bids_app.run.config import RunConfig
    from bids_app.run.samples import read_samples
    from bids_app.tables import read_toml

    for read in (read_analysis, read_samples, lambda place: RunConfig.from_mapping(read_toml(place), "c")):
        with contextlib.suppress(NormvolError):
            read(path)


def seeds(target: str) -> list[bytes]:
    """Whole files from which mutations start."""
    folder = Path(__file__).resolve().parents[1] / "bids_app" / "data"
    if target == "stats":
        return [
            b"# Title Segmentation Statistics\n# Measure BrainSeg, BrainSegVol, Volume, 1110.5, mm^3\n# NRows 2\n"
            b"# ColHeaders Index SegId NVoxels Volume_mm3 StructName\n1 4 10 5.5 Left-Thalamus\n2 5 9 4 Right-Caudate\n"
        ]
    if target in ("tables", "wide-tables"):
        return [
            b"participant_id\tage\tsex\nsub-01\t30\tF\nsub-02\tn/a\tM\n",
            'a;b;ö\n"x;y";1,5;3\n'.encode(),
            b"\xef\xbb\xbfid,age\r\n01,30\r\n",
            b"\xff\xfei\x00d\x00\n\x00",
        ]
    if target == "model":
        return [_small_model(folder / "models" / "open-calibrated.json")]
    if target == "rdata":
        header = b"X\n" + struct.pack(">iii", 2, 0x040202, 0x020300)
        names = struct.pack(">iiii", 1026, 1, 9, 5) + b"names" + struct.pack(">iiii", 16, 1, 9, 1) + b"a"
        vector = struct.pack(">iid", 14 | 512, 1, 1.5) + names + struct.pack(">i", 254)
        return [header + vector, header + struct.pack(">ii", 19, 1) + struct.pack(">iid", 14, 1, 2.5)]
    if target == "pickle":
        import numpy as np

        values = {"a": np.arange(3.0), "b": [1, "x", None], "c": np.float64(2)}
        return [pickle.dumps(values, protocol) for protocol in range(6)]
    if target == "filters":
        return [b'{"t1w": {"session": ["01"], "acquisition": "Query.NONE", "run": null}, "flair": {"part": "*"}}']
    return [
        b'nprocs = 2\nmodel = "open"\nparticipant_label = ["01", 2]\nfs_subjects_dir = "/x"\nmem_mb = 5\n',
        b'[roles]\nedss = "EDSS"\n[options]\ncontrol = "c"\ngroups = ["a"]\nthreshold = 1.96\n',
        b'[samples.a]\nbids_dir = "x"\noutput_dir = "y"\n[samples.b]\nbids_dir = "x"\noutput_dir = "y"\n',
    ]


def _small_model(path: Path) -> bytes:
    """The packaged model with one region."""
    import json

    from bids_app.normative.documents import digest

    content = json.loads(path.read_text(encoding="utf-8"))
    content["regions"] = (
        dict(list(content["regions"].items())[:1]) if isinstance(content["regions"], dict) else (content["regions"][:1])
    )
    content["digest"] = digest({key: value for key, value in content.items() if key != "digest"})
    return json.dumps(content).encode()


class Trial:
    """One reader, called with bytes."""

    def __init__(self, target: str, folder: Path) -> None:
        self.target, self.read = target, reader(target)
        self.path = folder / f"fuzzed{TARGETS[target][1]}"
        self.done = self.read_whole = 0
        for content in seeds(target):  # what is imported late does not count
            self.path.write_bytes(content)
            with contextlib.suppress(NormvolError):
                self.read(self.path)

    def __call__(self, content: bytes) -> None:
        """Read `content`; anything but a result or a sentence is raised."""
        self.path.write_bytes(content)
        self.done += 1
        begun = time.monotonic()
        with contextlib.suppress(NormvolError):
            self.read(self.path)
            self.read_whole += 1
        if time.monotonic() - begun > SECONDS_AT_MOST:
            raise TimeoutError(f"{self.target}: {time.monotonic() - begun:.0f} s for {content[:200]!r}")


def run(target: str, runs: int, seed: int) -> None:
    """Fuzz one reader in this process, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder = Path(place)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, content in enumerate(seeds(target)):
            (corpus / f"seed-{number}").write_bytes(content)
        try:
            import atheris
        except ImportError:
            _with_hypothesis(Trial(target, folder), seeds(target), runs, seed)
            return
        with atheris.instrument_imports(include=["bids_app"]):
            trial = Trial(target, folder)
        arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-print_final_stats=1"]
        atheris.Setup([*arguments, f"-artifact_prefix={tempfile.gettempdir()}/", str(corpus)], trial)
        atheris.Fuzz()


def _with_hypothesis(trial: Trial, starts: list[bytes], runs: int, seed: int) -> None:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    def mutated(start: bytes, chance: random.Random) -> bytes:
        content = bytearray(start)
        for _ in range(chance.randrange(8)):
            at = chance.randrange(len(content) + 1)
            content[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        return bytes(content)

    files = st.one_of(
        st.binary(max_size=400), st.builds(mutated, st.sampled_from(starts), st.randoms(use_true_random=False))
    )
    check = given(files)(trial.__call__)
    seeded(seed)(
        settings(max_examples=runs, deadline=None, database=None, suppress_health_check=list(HealthCheck))(check)
    )()
    print(f"Done {trial.done} runs without atheris, {trial.read_whole} of them read")


def main() -> int:
    """Run one target, or all of them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.target != "all":
        run(arguments.target, arguments.runs, arguments.seed)
        return 0
    bad = 0
    for target in TARGETS:
        command = [sys.executable, __file__, target, "--runs", str(arguments.runs), "--seed", str(arguments.seed)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        bad += ended.returncode != 0
        words = (ended.stderr + ended.stdout).splitlines()
        print(f"{'ok ' if ended.returncode == 0 else 'BAD'} {target}", flush=True)
        print("\n".join(words[-60:] if ended.returncode else [line for line in words if line.startswith("Done")]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
