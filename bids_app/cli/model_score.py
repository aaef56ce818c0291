"""Score a table: the z of every region of every row, no BIDS dataset needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import add_table, read, say

if TYPE_CHECKING:
    import pandas as pd

    from bids_app.normative.adaptation import SiteAdaptation
    from bids_app.normative.base import Deviations, NormativeModel
    from bids_app.normative.table_input import TableInput

HELP = "z-scores of a table of volumes"
DEFAULT_MODEL = "open-calibrated"
NAMED_AT_MOST = 5
CHUNK_ROWS = 50_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TABLE, model, adaptation, outputs."""
    add_table(parser)
    add_scoring(parser)
    parser.add_argument("-o", "--output", default="-", metavar="OUT.tsv",
                        help="z: TABLE's identifying columns and one column per region (default -, the terminal); "
                        "OUT.json beside it says which model made it")
    parser.add_argument("--se", type=Path, metavar="FILE.tsv", help="standard errors of z, in the same form")
    parser.add_argument("--centiles", type=Path, metavar="FILE.tsv", help="centiles, in the same form")
    parser.add_argument("--counts", type=Path, metavar="FILE.tsv",
                        help="deviations per row over the reference regions, and the notes on each row")
    parser.add_argument("--adaptation", type=Path, metavar="FILE.json",
                        help="write the adaptation here, and its table beside it (FILE_regions.tsv)")


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """How z is made: model, scoring, adaptation."""
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH",
                        help=f"default {DEFAULT_MODEL}; see normvol-model list")
    parser.add_argument("--scoring", choices=("own-sex", "reference-compat"),
                        help="reference-compat divides by the male RMSE for everyone, as the published script does")
    parser.add_argument("--adapt-controls", metavar="QUERY",
                        help="local healthy people among the rows of TABLE, for example 'group == \"control\"'")
    parser.add_argument("--adapt-by", metavar="COLUMN", help="one adaptation per level of this column (scanner)")


def run(arguments: argparse.Namespace) -> int:
    """Score and write; OMISSIONS when rows could not be scored."""
    import numpy as np

    from bids_app.normative.registry import load_model
    from bids_app.regions import add_asymmetry

    model: Any = load_model(arguments.model)
    if arguments.scoring:
        model = _with_scoring(model, arguments.scoring)
    table = read(arguments)
    data = add_asymmetry(table.data) if any(r.startswith("asymmetry_") for r in model.regions) else table.data
    adaptation = _adaptation(arguments, model, data)
    if adaptation is None and model.card.adaptation_allowed:
        from bids_app.normative.adaptation import unadapted_warning

        say(unadapted_warning(model))
    found = _deviations(model, data, adaptation)
    ids = table.data[list(table.id_columns)]
    names = _columns(model, found)
    _write(ids, found.z, found.regions, names, arguments.output)
    if arguments.output != "-":
        _describe(table, names, model, adaptation, arguments)
    for values, path in ((found.z_se, arguments.se), (found.centile, arguments.centiles)):
        if path:
            _write(ids, values, found.regions, names, path)
    notes = _notes(found, data, adaptation)
    if arguments.counts:
        _write_counts(ids, found, notes, arguments.counts)
    _report(model, found, names, notes)
    return exitcodes.OMISSIONS if not np.isfinite(found.z).any(axis=1).all() else exitcodes.OK


def _with_scoring(model: Any, scoring: str) -> Any:
    if not hasattr(model, "with_scoring"):
        from bids_app.errors import UsageError

        raise UsageError(f"{model.card.name} has one way of scoring only; leave --scoring out")
    return model.with_scoring(scoring)


def _adaptation(arguments: argparse.Namespace, model: NormativeModel, data: pd.DataFrame) -> SiteAdaptation | None:
    from bids_app.errors import UsageError

    if not arguments.adapt_controls:
        if arguments.adapt_by or arguments.adaptation:
            raise UsageError("--adapt-by and --adaptation need --adapt-controls QUERY")
        return None
    from bids_app.normative.adaptation import REPORT_COLUMNS, SiteAdaptation
    from bids_app.tables import write_json, write_tsv

    try:
        controls = data.query(arguments.adapt_controls)
    except Exception as error:
        raise UsageError(f"--adapt-controls {arguments.adapt_controls!r} cannot be applied to the columns of TABLE "
                         f"({error})") from error
    adaptation = SiteAdaptation.fit(model, controls, arguments.adapt_by)
    for key, level in adaptation.levels.items():
        say(f"adapted to scanner {key} on {len(level.people)} controls")
    if arguments.adaptation:
        write_json(adaptation.to_dict(), arguments.adaptation)
        table = arguments.adaptation.with_name(arguments.adaptation.stem + "_regions.tsv")
        write_tsv(adaptation.report(), table, REPORT_COLUMNS)
    return adaptation


def _deviations(model: NormativeModel, data: pd.DataFrame, adaptation: SiteAdaptation | None) -> Deviations:
    """Score large tables in pieces: memory stays bounded, and progress is shown."""
    if len(data) <= CHUNK_ROWS:
        return model.deviations(data, adaptation)
    from dataclasses import fields, replace

    import numpy as np

    parts = []
    for start in range(0, len(data), CHUNK_ROWS):
        parts.append(model.deviations(data.iloc[start:start + CHUNK_ROWS], adaptation))
        say(f"{min(start + CHUNK_ROWS, len(data))} of {len(data)} rows scored")
    joined = {field.name: np.concatenate([getattr(part, field.name) for part in parts])
              for field in fields(parts[0]) if field.name not in ("regions", "notes")}
    return replace(parts[0], notes=tuple(note for part in parts for note in part.notes), **joined)


def _columns(model: NormativeModel, found: Deviations) -> tuple[str, ...]:
    """Every scored region, and the reference regions that TABLE lacks, in the model's order."""
    from bids_app.regions import reference_regions

    wanted = set(found.regions) | set(reference_regions())
    return tuple(name for name in model.regions if name in wanted)


def _write(ids: pd.DataFrame, values: Any, regions: tuple[str, ...], names: tuple[str, ...], path: Any) -> None:
    import pandas as pd

    from bids_app.tables import format_tsv, write_tsv

    scores = pd.DataFrame(values, columns=list(regions), index=ids.index).reindex(columns=list(names))
    table = pd.concat([ids, scores], axis=1)
    if str(path) == "-":
        sys.stdout.write(format_tsv(table))
    else:
        write_tsv(table, path)


def _describe(table: TableInput, names: tuple[str, ...], model: NormativeModel, adaptation: SiteAdaptation | None,
              arguments: argparse.Namespace) -> None:
    """The JSON beside z: its columns and what made them; ``normvol-model analyse`` reads it."""
    from bids_app.study.score_tables import Origin, describe_scores, rows_digest, write_description

    path = Path(arguments.output)
    origin = Origin(model.card.to_json(), arguments.scoring or model.card.scoring,
                    adaptation.to_dict() if adaptation else None, rows_digest(table.data))
    content = describe_scores(table.id_columns, names, origin)
    if write_description(content, path) is None:
        say(f"{path.with_suffix('.json')} is a file of another origin and was left alone; with another -o the table "
            "gets a description of its columns and model")


def _notes(found: Deviations, data: pd.DataFrame, adaptation: SiteAdaptation | None) -> list[str]:
    notes = list(found.notes) or [""] * len(data)
    if adaptation is None:
        return notes
    return [" ".join(filter(None, pair)) for pair in zip(notes, adaptation.notes(data))]


def _write_counts(ids: pd.DataFrame, found: Deviations, notes: list[str], path: Path) -> None:
    import numpy as np

    from bids_app.normative.base import Z_CRITICAL
    from bids_app.regions import reference_regions
    from bids_app.tables import write_tsv

    reference = set(reference_regions())
    z = found.z[:, [name in reference for name in found.regions]]
    infra, supra = (z <= -Z_CRITICAL).sum(axis=1), (z >= Z_CRITICAL).sum(axis=1)
    write_tsv(ids.assign(n_infra=infra, n_supra=supra, n_total=infra + supra,
                         n_regions=np.isfinite(z).sum(axis=1), note=[note or None for note in notes]), path)


def _report(model: NormativeModel, found: Deviations, names: tuple[str, ...], notes: list[str]) -> None:
    """Everything that is missing or unusual, counted, on standard error."""
    import numpy as np

    absent = [name for name in names if name not in found.regions]
    if absent:
        more = " ..." if len(absent) > NAMED_AT_MOST else ""
        say(f"{len(absent)} reference region(s) are not in TABLE and n/a: {', '.join(absent[:NAMED_AT_MOST])}{more}")
    scored = np.isfinite(found.z)
    if not scored.any(axis=1).all():
        say(f"{int((~scored.any(axis=1)).sum())} of {len(scored)} rows were not scored (all n/a)")
    holes = int((~scored[scored.any(axis=1)]).sum())
    if holes:
        say(f"{holes} single volumes are missing (n/a)")
    for sentence in _common(notes):
        say(sentence)
    for sentence in model.card.z_notes:
        say(sentence)
    say(f"{int(scored.any(axis=1).sum())} rows scored in {len(found.regions)} regions with {model.card.name} "
        f"{model.card.version}. For research use only.")


def _common(notes: list[str]) -> list[str]:
    """The commonest kinds of note with their number of rows; digits make no difference in kind."""
    import re
    from collections import Counter

    kinds: Counter[str] = Counter()
    kept: dict[str, dict[str, None]] = {}
    for note in notes:
        for sentence in filter(None, re.split(r"(?<=\.) +(?=[A-Za-z])", note)):
            kind = re.sub(r"\d+(\.\d+)?", "#", sentence)
            kinds[kind] += 1
            kept.setdefault(kind, {})[sentence] = None
    out = []
    for kind, count in kinds.most_common(NAMED_AT_MOST):
        rows = "1 row" if count == 1 else f"{count} rows"
        out.append(f"{rows}{', for example' if len(kept[kind]) > 1 else ''}: {next(iter(kept[kind]))}")
    return out
