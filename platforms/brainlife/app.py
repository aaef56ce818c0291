"""What Brainlife runs: config.json in; datasets `parc-stats`, `report`, `derivatives` and product.json out.

Needs the standard library and the command ``normvol``.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INPUT = "freesurfer"
AGE = ("age", "patientage")
SEX = ("sex", "gender", "patientsex")
OPTIONS = {"model": "--model", "scoring": "--scoring"}
TABLES = ("deviations", "extended", "asymmetry", "thickness", "area")
BARS = 15
LIMIT = 1.96
MISSING = ("", "n/a", "na", "nan", "none", "null")
FORM = "config.json is not in the form that Brainlife writes (see config.json.sample): "


class Unusable(Exception):
    """What config.json holds cannot be run; the words say why and what to do."""


@dataclass(frozen=True)
class Scan:
    """One FreeSurfer folder, whose it is, and age and sex as they were written."""

    tree: Path
    subject: str
    session: str
    age: str
    sex: str

    @property
    def name(self) -> str:
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")

    @property
    def anat(self) -> Path:
        """The folder of its tables, relative to the output dataset."""
        return Path(f"sub-{self.subject}", *([f"ses-{self.session}"] if self.session else []), "anat")


def label(value: object, prefix: str) -> str:
    """A BIDS label: letters and digits only."""
    text = "" if value is None else str(value).strip()
    return re.sub(r"[^A-Za-z0-9]", "", text.removeprefix(prefix))


def first(meta: dict, names: tuple[str, ...]) -> str:
    """The first of these keys that says something, whatever its case."""
    lower = {key.lower(): value for key, value in meta.items()}
    values = (_text(lower.get(name)) for name in names)
    return next((value for value in values if value.lower() not in MISSING), "")


def _text(value: object) -> str:
    """A value of the metadata; of a list with one element, that."""
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def of_form(value: object, kind: type, what: str) -> Any:
    """The value, where it has this type; an empty one where there is none."""
    if value is not None and not isinstance(value, kind):
        raise Unusable(f"{FORM}{what} is {json.dumps(value)[:80]}")
    return kind() if value is None else value


def read_config(path: Path) -> dict:
    """The content of config.json."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(f"config.json cannot be read ({error})") from error
    return of_form(config, dict, "all of it")


def read_scans(config: dict) -> list[Scan]:
    """The scans that config.json names, with the options `age` and `sex` before the metadata."""
    given = config.get(INPUT) or []
    trees = [
        of_form(path, str, f'"{INPUT}"')
        for path in ([given] if isinstance(given, str) else of_form(given, list, f'"{INPUT}"'))
    ]
    described = [of_form(item, dict, '"_inputs"') for item in of_form(config.get("_inputs"), list, '"_inputs"')]
    of = [(item, of_form(item.get("meta"), dict, '"meta"')) for item in described]
    metas = [meta for item, meta in of if INPUT in (item.get("id"), *of_form(item.get("keys"), list, '"keys"'))]
    if not all(trees) or not trees:
        raise Unusable(f'config.json names no FreeSurfer output; its key is "{INPUT}"')
    if len(metas) != len(trees):
        raise Unusable(
            f'"_inputs" of config.json describes {len(metas)} of {len(trees)} inputs "{INPUT}"; see config.json.sample'
        )
    others = [meta for _, meta in of]
    scans = [_scan(Path(tree), meta, others, config) for tree, meta in zip(trees, metas)]
    if len(scans) > 1 and (first(config, ("age",)) or first(config, ("sex",))):
        raise Unusable("the options age and sex are for one input; write them into the metadata of the data objects")
    if len({scan.name for scan in scans}) < len(scans):
        raise Unusable("two inputs have the same subject and session in their metadata")
    return scans


def _scan(tree: Path, meta: dict, others: list[dict], config: dict) -> Scan:
    if not tree.is_dir():
        raise Unusable(f"there is no folder {tree}")
    subject = label(meta.get("subject"), "sub-")
    if not subject:
        raise Unusable('the metadata of the input says no "subject" with a letter or digit in it')
    same = [meta, *(other for other in others if other.get("subject") == meta.get("subject"))]
    age, sex = (
        first(config, names[:1]) or next(filter(None, (first(each, names) for each in same)), "n/a")
        for names in (AGE, SEX)
    )
    return Scan(tree.resolve(), subject, label(meta.get("session"), "ses-"), age, sex)


def write_view(scans: list[Scan], folder: Path) -> Path:
    """A BIDS dataset of these scans, with links to their FreeSurfer folders; where those links are."""
    subjects = folder / "derivatives" / "freesurfer"
    subjects.mkdir(parents=True)
    description = {"Name": "Brainlife", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    people = dict.fromkeys(scan.subject for scan in scans)
    for subject in people:
        own = [scan for scan in scans if scan.subject == subject]
        (folder / f"sub-{subject}").mkdir()
        if any(scan.session for scan in own):
            rows = [(f"ses-{scan.session}", scan.age, scan.sex) for scan in own]
            write_table(folder / f"sub-{subject}" / f"sub-{subject}_sessions.tsv", ("session_id", "age", "sex"), rows)
    rows = [(f"sub-{scan.subject}", scan.age, scan.sex) for scan in scans if not scan.session]
    if rows:
        write_table(folder / "participants.tsv", ("participant_id", "age", "sex"), rows)
    for scan in scans:
        (folder / scan.anat).mkdir(parents=True)
        # A folder, not a link: normvol holds a linked tree against the name of its target, here always "output".
        (subjects / scan.name).mkdir()
        for entry in scan.tree.iterdir():
            (subjects / scan.name / entry.name).symlink_to(entry)
    return subjects


def write_table(path: Path, header: tuple[str, ...], rows: list, delimiter: str = "\t") -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])


def command(config: dict, bids: Path, subjects: Path, out: Path) -> list[str]:
    """The command line of normvol."""
    words = ["normvol", str(bids), str(out), "participant", "--fs-subjects-dir", str(subjects)]
    words += ["--recon", "ingest", "--nprocs", "1"]
    for key, option in OPTIONS.items():
        if config.get(key):
            words += [option, str(config[key])]
    return words + (["--trust-names"] if config.get("trust_names") else [])


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def write_stats(scans: list[Scan], out: Path, folder: Path) -> None:
    """Tables of the datatype parc-stats: a row per region, named as Brainlife's other statistics are."""
    folder.mkdir(parents=True)
    for kind in TABLES:
        rows, measures = [], []
        for scan in scans:
            path = out / scan.anat / f"{scan.name}_desc-{kind}_morph.tsv"
            table = read_table(path) if path.exists() else []
            measures = [key for key in table[0] if key != "region"] if table else measures
            for number, row in enumerate(table, start=1):
                values = ("" if row[key] == "n/a" else row[key] for key in measures)
                rows.append((number, scan.subject, scan.session, row["region"], 1, *values))
        if rows:
            header = ("parcID", "subjectID", "sessionID", "structureID", "nodeID", *measures)
            write_table(folder / f"{kind}.csv", header, rows, delimiter=",")


def figure(scan: Scan, out: Path) -> dict:
    """A plotly figure of the largest z, small enough for product.json."""
    rows = read_table(out / scan.anat / f"{scan.name}_desc-deviations_morph.tsv")
    z = sorted(((float(row["z"]), row["region"]) for row in rows if row["z"] != "n/a"), key=lambda each: -abs(each[0]))
    values, regions = zip(*reversed(z[:BARS])) if z else ((), ())
    bars = {"type": "bar", "orientation": "h", "x": [round(value, 2) for value in values], "y": list(regions)}
    lines = [
        {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "line": {"dash": "dot"}}
        for x in (-LIMIT, LIMIT)
    ]
    layout = {"xaxis": {"title": "z"}, "yaxis": {"automargin": True}, "shapes": lines}
    return {"type": "plotly", "name": f"{scan.name}: largest deviations", "data": [bars], "layout": layout}


def product(scans: list[Scan], scored: list[Scan], out: Path) -> dict:
    """Messages, one figure, and the counts, for product.json."""
    messages, results = [], {}
    for scan in scans:
        if scan not in scored:
            messages.append({"type": "error", "msg": f"{scan.name} was left out: {why(scan, out)}"})
            continue
        summary = json.loads((out / scan.anat / f"{scan.name}_desc-summary_morph.json").read_text())
        counts = {key: summary["counts"][key] for key in ("n_regions", "n_infra", "n_supra", "n_total")}
        verdict = summary["quality"]["verdict"]
        results[scan.name] = {**counts, "quality": verdict, "model": summary["model"]["name"]}
        messages.append({"type": "success", "msg": said(scan, counts)})
        if verdict != "pass":
            reasons = "; ".join(summary["quality"]["reasons"])
            messages.append({"type": "warning", "msg": f"{scan.name}: quality {verdict}: {reasons}"[:400]})
        noted = [f"{scan.name}: {found['seen']}: {found['effect']}" for found in summary["findings"]]
        messages += [{"type": "warning", "msg": text[:400]} for text in noted[:5]]
    figures = [figure(scored[0], out)] if scored else []
    return {"brainlife": [*messages[:12], *figures], "tags": ["normvol"], "normvol": results}


def said(scan: Scan, counts: dict) -> str:
    return (
        f"{scan.name}: {counts['n_infra']} regions smaller and {counts['n_supra']} larger than expected "
        f"(|z| >= {LIMIT}), of {counts['n_regions']}. For research use only."
    )


def why(scan: Scan, out: Path) -> str:
    """The reason and remedy that normvol gave, and where to set age and sex on Brainlife."""
    path = out / "logs" / "status" / f"{scan.name}.json"
    if not path.exists():
        return "normvol did not come so far; its words are in the log"
    status = json.loads(path.read_text())
    where = [
        f'set "{key}" in the metadata of the data object or as an option of the App'
        for key, value in (("age", scan.age), ("sex", scan.sex))
        if value == "n/a" or re.search(rf"\b{key}\b", status["reason"])
    ]
    return "; ".join(filter(None, [status["reason"], *(where or [status["remedy"]])]))


def fresh(folder: Path) -> Path:
    """A folder of an earlier try goes."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def run(config: dict, here: Path) -> tuple[int, dict]:
    """Run normvol; the exit code for Brainlife and the contents of product.json."""
    scans = read_scans(config)
    if not shutil.which("normvol"):
        raise Unusable("there is neither singularity nor normvol on this machine")
    bids, raw = fresh(here / "bids"), fresh(here / "derivatives")
    out = raw / "output"
    done = subprocess.run(command(config, bids, write_view(scans, bids), out), check=False)
    scored = [scan for scan in scans if (out / scan.anat / f"{scan.name}_desc-summary_morph.json").exists()]
    report, stats = fresh(here / "report"), fresh(here / "parc-stats")
    if scored:
        (report / "html").mkdir(parents=True)
        for subject in dict.fromkeys(scan.subject for scan in scored):
            shutil.copy(out / f"sub-{subject}.html", report / "html")
        write_stats(scored, out, stats / "parc-stats")
    shutil.rmtree(bids)
    if done.returncode not in (0, 4) and not scored:
        print(f"normvol ended with exit code {done.returncode}", file=sys.stderr)
    return (0 if scored else 1), product(scans, scored, out)


def main() -> int:
    """Zero when at least one scan was scored."""
    here = Path.cwd()
    try:
        config = read_config(here / "config.json")
        code, content = run(config, here)
    except (Unusable, OSError) as error:
        code, content = 1, {"brainlife": [{"type": "error", "msg": str(error)}]}
    (here / "product.json").write_text(json.dumps(content, indent=1))
    for item in content["brainlife"]:
        if "msg" in item:
            print(f"{item['type']}: {item['msg']}", file=sys.stderr if item["type"] == "error" else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
