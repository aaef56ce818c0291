"""Feed readers of untrusted files with mutated files: whatever comes, they read it or say a sentence.

    python scripts/fuzz.py stats --runs 100000
    python scripts/fuzz.py all --runs 100000

Where atheris is installed (``pip install atheris``) coverage guides the mutations; otherwise hypothesis makes files.
Exits with 1 and prints the file when a reader raises anything but `bids_app.errors.NormvolError`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import importlib.util
import io
import json
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bids_app.errors import NormvolError

HERE = "scripts.fuzz"
# Each reader: what it is called as, and the ending of its file
TARGETS = {
    "stats": ("bids_app.freesurfer.stats:read_stats", ".stats"),
    "tables": ("bids_app.bids.source_tables:read_sheet", ".tsv"),
    "source": ("bids_app.bids.covariate_sources:load_source", ".tsv"),
    "sidecar": ("bids_app.bids.source_tables:read_sidecar", ".json"),
    "ratings": ("bids_app.bids.ratings:read_ratings", ".tsv"),
    "lesions": ("bids_app.bids.lesion_files:read_lesion_tables", ".csv"),
    "wide-tables": (f"{HERE}:_pieces", ".csv"),
    "tsv": ("bids_app.tables:read_table", ".tsv"),
    "csv": ("bids_app.tables:read_table", ".csv"),
    "packed": ("bids_app.tables:read_table", ".tsv.gz"),
    "packed-pieces": (f"{HERE}:_pieces", ".csv.gz"),
    "sheet": ("bids_app.bids.source_tables:read_any_sheet", ".xlsx"),
    "xlsx": ("bids_app.tables:read_table", ".xlsx"),
    "parquet": ("bids_app.tables:read_table", ".parquet"),
    "model": (f"{HERE}:_model", ".json"),
    "terms": (f"{HERE}:_model", ".json"),
    "gamma": (f"{HERE}:_model", ".json"),
    "change-model": ("bids_app.normative.change_model:load_change_model", ".json"),
    "rdata": ("bids_app.normative.importers.rfile:read_r_file", ".rds"),
    "pickle": ("bids_app.normative.importers.restricted_pickle:read_pickle", ".pkl"),
    "brainchart": (f"{HERE}:_brainchart", ".rds"),
    "brain-reference": (f"{HERE}:_brain_reference", ".Rdata"),
    "braincharts": (f"{HERE}:_braincharts", ".pkl"),
    "centilebrain": (f"{HERE}:_centilebrain", ".rds"),
    "nomis": (f"{HERE}:_nomis", ".sav"),
    "pcntoolkit": (f"{HERE}:_pcntoolkit", ".json"),
    "toml": (f"{HERE}:_settings", ".toml"),
    "plugin": ("bids_app.workflows.execution:plugin_settings", ".yml"),
    "filters": ("bids_app.bids.query:read_filters", ".json"),
    "brainlife": (f"{HERE}:_brainlife", ".json"),
}
SECONDS_AT_MOST = 10


def reader(target: str) -> Callable[[Path], object]:
    """What reads a file of this kind."""
    module, _, name = TARGETS[target][0].partition(":")
    here = sys.modules[__name__] if module == HERE else importlib.import_module(module)
    found: Callable[[Path], object] = getattr(here, name)
    return found


def _pieces(path: Path) -> list[object]:
    from bids_app.workbench.table_pieces import TableFile

    return list(TableFile(path).pieces(1000))


def _model(path: Path) -> object:
    """A model file under the digest of what it holds, so that what lies behind the digest is reached."""
    from bids_app.normative.documents import digest
    from bids_app.normative.registry import load_model

    with contextlib.suppress(ValueError, RecursionError, NormvolError):
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            content["digest"] = digest({key: value for key, value in content.items() if key != "digest"})
            path.write_text(json.dumps(content))
    return load_model(path)


def _brainchart(path: Path) -> None:
    from bids_app.normative.importers.brainchart import read_fit

    read_fit(path)


def _alone(path: Path, name: str) -> Path:
    """A folder that holds the file alone, under a name that importers look for."""
    folder = path.parent / f"{path.stem}-folder"
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    return folder


def _brain_reference(path: Path) -> None:
    from bids_app.normative.importers.brain_reference import import_brain_reference

    _alone(path, "Left.Thalamus_male.Rdata")
    import_brain_reference(_alone(path, "Left.Thalamus_female.Rdata"))


def _centilebrain(path: Path) -> None:
    from bids_app.normative.importers.centilebrain import import_centilebrain

    _alone(path, "MFPmodels_subcorticalvolume_male.rds")
    import_centilebrain(_alone(path, "MFPmodels_subcorticalvolume_female.rds"))


def _nomis(path: Path) -> None:
    from bids_app.normative.importers.nomis import import_nomis

    folder = _alone(path, "models/aseg.csv/Models/left-hippocampus.sav")
    for name, text in (
        *(("models/aseg.csv/Models/left-hippocampus.csv", "age,etiv\n"), ("meanage.csv", "50\n")),
        *(("models/aseg.csv/Models/left-hippocampus_mse.csv", "9\n"), ("meanetiv.csv", "1.5e6\n")),
    ):
        (folder / name).write_text(text)
    import_nomis(folder)


def _braincharts(path: Path) -> None:
    from bids_app.normative.importers.braincharts import MODEL_FILE, import_braincharts

    folder = _alone(path, f"Left-Thalamus-Proper/{MODEL_FILE}")
    (folder / "sites.txt").write_text("A\nB\n")
    import_braincharts(folder, folder / "sites.txt")


def _pcntoolkit(path: Path) -> None:
    from bids_app.normative.registry import load_model

    load_model(_alone(path, "model/normative_model.json"))


def _brainlife(path: Path) -> None:
    app = _brainlife_app()
    with contextlib.suppress(app.Unusable):
        app.read_scans(app.read_config(path))


@cache
def _brainlife_app() -> Any:
    place = Path(__file__).resolve().parents[1] / "platforms/brainlife/app.py"
    spec = importlib.util.spec_from_file_location("brainlife_app", place)
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    sys.modules["brainlife_app"] = app
    spec.loader.exec_module(app)
    return app


def _settings(path: Path) -> None:
    from bids_app.clinical.analysis_file import read_analysis
    from bids_app.run.config import RunConfig
    from bids_app.run.samples import read_samples
    from bids_app.tables import read_toml

    for read in (read_analysis, read_samples, lambda place: RunConfig.from_mapping(read_toml(place), "c")):
        with contextlib.suppress(NormvolError):
            read(path)


TSV = [
    b"participant_id\tage\tsex\nsub-01\t30\tF\nsub-02\tn/a\tM\n",
    'a;b;ö\n"x;y";1,5;3\n'.encode(),
    b"\xef\xbb\xbfid,age\r\n01,30\r\n",
    b"\xff\xfei\x00d\x00\n\x00",
]
STATS = [
    b"# Title Segmentation Statistics\n# Measure BrainSeg, BrainSegVol, Volume, 1110.5, mm^3\n# NRows 2\n"
    b"# ColHeaders Index SegId NVoxels Volume_mm3 StructName\n1 4 10 5.5 Left-Thalamus\n2 5 9 4 Right-Caudate\n"
]
RATINGS = [b"participant_id\tsession_id\trating\treason\nsub-01\tses-1\texclude\tmotion\nsub-02\tn/a\tkeep\tn/a\n"]
LESIONS = [b"participant_id,session_id,count,volume_mm3\nsub-01,ses-1,3,120.5\nsub-02,,0,0\n"]
SIDECAR = [b'{"sex": {"Description": "x", "Levels": {"0": "female", "1": "male"}}, "age": {"Units": "years"}}']
PLUGIN = [b"plugin: MultiProc\nplugin_args: {n_procs: 2, memory_gb: 4}\n", b'{"plugin": "SLURM", "plugin_args": {}}']
FILTERS = [b'{"t1w": {"session": ["01"], "acquisition": "Query.NONE", "run": null}, "flair": {"part": "*"}}']
BRAINLIFE = [
    b'{"freesurfer": ["a/output"], "age": 30, "_inputs": [{"id": "freesurfer", "keys": ["freesurfer"], '
    b'"meta": {"subject": "01", "session": "1", "age": 40, "sex": "M"}}]}'
]
TOML = [
    b'nprocs = 2\nmodel = "open"\nparticipant_label = ["01", 2]\nfs_subjects_dir = "/x"\nmem_mb = 5\n',
    b'[roles]\nedss = "EDSS"\n[options]\ncontrol = "c"\ngroups = ["a"]\nthreshold = 1.96\n',
    b'[samples.a]\nbids_dir = "x"\noutput_dir = "y"\n[samples.b]\nbids_dir = "x"\noutput_dir = "y"\n',
]
PCNTOOLKIT = [b'{"name": "m", "covariates": ["age"], "response_vars": ["a"], "unique_batch_effects": {"site": ["A"]}}']
CHANGE = [
    b'{"format": "normvol change model 1", "regions": {"Left-Thalamus": {"start": 0.9, "decay": 0.01, "n_pairs": 9}}, '
    b'"model": "m 1.0", "stream": "cross", "basis": "trained", "years": [0.5, 4.0], "n_people": 9, "notes": ["x"]}'
]
GAMMA = [
    b'{"format": "normvol-generalised-gamma", "format_version": "1.0", "level": "", "digest": "", '
    b'"card": {"name": "made", "version": "1", "title": "M", "summary": "x", "licence": "CC0", "date": "2026-01-01", '
    b'"age_range": {"female": [0.0, 100.0], "male": [0.0, 100.0]}, "harmonisation": "full"}, '
    b'"regions": {"mean_Caudate": {"columns": ["Left-Caudate", "Right-Caudate"], "combine": "mean", "n": 1000, '
    b'"mu": {"intercept": -1.2, "male": 0.1, "powers": [-2.0, 3.0], "coefficients": [2.0, 1e-5]}, '
    b'"sigma": {"intercept": -2.2, "male": 0.0, "powers": [], "coefficients": []}, '
    b'"nu": 0.7, "levels": {"FS53": 0.05}, "mu_sd": 0.06, "sigma_sd": 0.1}}}'
]
WRITTEN = {
    **dict.fromkeys(("tables", "source", "wide-tables", "tsv", "csv"), TSV),
    **{"stats": STATS, "ratings": RATINGS, "lesions": LESIONS, "sidecar": SIDECAR, "plugin": PLUGIN, "gamma": GAMMA},
    **{"filters": FILTERS, "brainlife": BRAINLIFE, "toml": TOML, "pcntoolkit": PCNTOOLKIT, "change-model": CHANGE},
}


def seeds(target: str) -> list[bytes]:
    """Whole files from which mutations start."""
    if target in WRITTEN:
        return WRITTEN[target]
    folder = Path(__file__).resolve().parents[1]
    models = folder / "bids_app" / "data" / "models"
    if target.startswith("packed"):
        return [gzip.compress(content, mtime=0) for content in TSV]
    if target in ("xlsx", "sheet", "parquet"):
        import pandas as pd

        table, stream = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": [30.5, None]}), io.BytesIO()
        table.to_parquet(stream) if target == "parquet" else table.to_excel(stream, index=False)
        return [stream.getvalue()]
    if target in ("rdata", "brain-reference", "brainchart", "centilebrain"):
        return _of_r(target, folder / "tests/data/brain_reference/Left.Thalamus_female.Rdata")
    if target in ("pickle", "nomis", "braincharts"):
        import numpy as np

        values = {"a": np.arange(3.0), "b": [1, "x", None], "c": np.float64(2), "coef_": np.array([1.0, 2.0])}
        return [pickle.dumps(values, protocol) for protocol in range(6)]
    return [_small_model(models / {"terms": "open-sums.json"}.get(target, "open-calibrated.json"))]


def _of_r(target: str, reference: Path) -> list[bytes]:
    header = b"X\n" + struct.pack(">iii", 2, 0x040202, 0x020300)
    names = struct.pack(">iiii", 1026, 1, 9, 5) + b"names" + struct.pack(">iiii", 16, 1, 9, 1) + b"a"
    vector = struct.pack(">iid", 14 | 512, 1, 1.5) + names + struct.pack(">i", 254)
    small = [header + vector, header + struct.pack(">ii", 19, 1) + struct.pack(">iid", 14, 1, 2.5)]
    if target != "brain-reference":
        return small
    packed = reference.read_bytes()
    return [*small, gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed]


def _small_model(path: Path) -> bytes:
    """The packaged model with one region."""
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


def run(target: str, runs: int, seed: int, seconds: int) -> None:
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
        longest = max(4096, *(2 * len(content) for content in seeds(target)))
        arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", "-print_final_stats=1"]
        arguments.append(f"-max_total_time={seconds}")
        arguments += [f"-artifact_prefix={tempfile.gettempdir()}/", str(corpus)]

        def mutate(content: bytes, size: int, number: int) -> bytes:
            changed = changed_json(content, random.Random(number)) if TARGETS[target][1] == ".json" else None
            return changed if changed and len(changed) <= size else atheris.Mutate(content, size)

        atheris.Setup(arguments, trial, custom_mutator=mutate)
        atheris.Fuzz()


STRANGE = (
    None,
    True,
    "",
    "x",
    -1,
    0,
    0.5,
    1e308,
    -1e-320,
    float("nan"),
    float("inf"),
    10**30,
    [],
    {},
    [[]],
    {"a": None},
)


def changed_json(content: bytes, chance: random.Random) -> bytes | None:
    """The document with one value left out, doubled or made another; None every other time, and where it is no JSON."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return None
    here, inside = tree, [tree] if isinstance(tree, dict | list) else []
    while inside and chance.random() < 0.8:
        here = chance.choice(inside)
        inside = [
            value
            for value in (here.values() if isinstance(here, dict) else here)
            if value and isinstance(value, dict | list)
        ]
    if not isinstance(here, dict | list) or not here or chance.random() < 0.5:
        return None
    key = chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
    what = chance.randrange(4)
    if what == 0:
        del here[key]
    elif what == 1 and isinstance(here, list):
        here.append(here[key])
    elif what == 2 and isinstance(here, dict):
        here[str(chance.choice(STRANGE))] = here[key]
    else:
        here[key] = chance.choice(STRANGE)
    return json.dumps(tree).encode()


def mutated(start: bytes, chance: random.Random) -> bytes:
    """`start` with up to seven places of it overwritten, cut or filled."""
    content = bytearray(start)
    for _ in range(chance.randrange(8)):
        at = chance.randrange(len(content) + 1)
        content[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
    return bytes(content)


def _with_hypothesis(trial: Trial, starts: list[bytes], runs: int, seed: int) -> None:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

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
    parser.add_argument("--seconds", type=int, default=0, help="end a reader after so many, where atheris is installed")
    arguments = parser.parse_args()
    if arguments.target != "all":
        run(arguments.target, arguments.runs, arguments.seed, arguments.seconds)
        return 0
    bad = 0
    for target in TARGETS:
        command = [sys.executable, __file__, target, "--runs", str(arguments.runs), "--seed", str(arguments.seed)]
        command += ["--seconds", str(arguments.seconds)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        bad += ended.returncode != 0
        words = (ended.stderr + ended.stdout).splitlines()
        print(f"{'ok ' if ended.returncode == 0 else 'BAD'} {target}", flush=True)
        print("\n".join(words[-60:] if ended.returncode else [line for line in words if line.startswith("Done")]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
