"""Score a table: the z of every region of every row, no BIDS dataset needed."""

from __future__ import annotations

import argparse
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_app.cli import exitcodes
from bids_app.cli.model_options import add_table, reader, say

if TYPE_CHECKING:
    import pandas as pd

    from bids_app.cli.model_score_outputs import ScoreOutputs
    from bids_app.normative.harmonise.adaptation import SiteAdaptation
    from bids_app.workbench.table_input import TableInput, TableReader

HELP = "z-scores of a table of volumes"
DEFAULT_MODEL = "open-calibrated"
CHUNK_ROWS = 50_000
# Methods of a column whose result depends on more rows than one.
_WHOLE_COLUMN = re.compile(
    r"\.(mean|median|mode|min|max|sum|std|var|sem|quantile|rank|count|nunique|value_counts|"
    r"shift|diff|duplicated|cum\w+|idx\w+|n(largest|smallest)|rolling|expanding)\b"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TABLE, model, adaptation, outputs."""
    add_table(parser)
    add_scoring(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="OUT.tsv",
        help="z: TABLE's identifying columns and one column per region (default -, the terminal); "
        "OUT.json beside it says which model made it",
    )
    parser.add_argument("--se", type=Path, metavar="FILE.tsv", help="standard errors of z, in the same form")
    parser.add_argument("--centiles", type=Path, metavar="FILE.tsv", help="centiles, in the same form")
    parser.add_argument(
        "--counts",
        type=Path,
        metavar="FILE.tsv",
        help="deviations per row over the reference regions, and the notes on each row",
    )
    parser.add_argument(
        "--chunk-rows",
        type=_positive,
        default=CHUNK_ROWS,
        metavar="N",
        help="rows of TABLE that are held in memory at a time; the outputs do not depend on it "
        f"(default {CHUNK_ROWS:,})",
    )
    parser.add_argument(
        "--adaptation",
        type=Path,
        metavar="FILE.json",
        help="write the adaptation here, and its table beside it (FILE_regions.tsv)",
    )


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """How z is made: model, scoring, adaptation."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help=f"default {DEFAULT_MODEL}; see normvol-model list"
    )
    parser.add_argument(
        "--scoring",
        choices=("own-sex", "reference-compat"),
        help="reference-compat divides by the male RMSE for everyone, as the published script does",
    )
    parser.add_argument(
        "--adapt-controls",
        metavar="QUERY",
        help="local healthy people among the rows of TABLE, for example 'group == \"control\"'",
    )
    parser.add_argument("--adapt-by", metavar="COLUMN", help="one adaptation per level of this column (scanner)")


def run(arguments: argparse.Namespace) -> int:
    """Score and write piece by piece; OMISSIONS when rows could not be scored."""
    from bids_app.cli.model_score_outputs import ScoreOutputs
    from bids_app.normative.registry import load_model

    model: Any = load_model(arguments.model)
    if arguments.scoring:
        model = _with_scoring(model, arguments.scoring)
    table = reader(arguments, arguments.chunk_rows)
    adaptation = _adaptation(arguments, model, table)
    if adaptation is None and model.card.adaptation_allowed:
        from bids_app.normative.harmonise.adaptation import unadapted_warning

        say(unadapted_warning(model))
    with ExitStack() as stack:
        outputs = ScoreOutputs(arguments, model, adaptation, stack)
        for piece in table.pieces():
            data = _model_input(model, piece)
            outputs.write(piece.ids, data, model.deviations(data, adaptation))
            if table.n_rows > arguments.chunk_rows:
                say(f"{outputs.n_rows} of {table.n_rows} rows scored")
    if arguments.output != "-":
        _describe(table.id_columns, outputs, model, adaptation, arguments)
    outputs.say_what_is_unusual()
    return exitcodes.OMISSIONS if outputs.unscored else exitcodes.OK


def _describe(
    ids: tuple[str, ...],
    outputs: ScoreOutputs,
    model: Any,
    adaptation: SiteAdaptation | None,
    arguments: argparse.Namespace,
) -> None:
    """The JSON beside z: its columns and what made them; ``normvol-model analyse`` reads it."""
    from bids_app.workbench.score_tables import Origin, describe_scores, write_description

    path = Path(arguments.output)
    origin = Origin(
        model.card.to_json(),
        arguments.scoring or model.card.scoring,
        adaptation.to_dict() if adaptation else None,
        outputs.digest.hexdigest(),
    )
    if write_description(describe_scores(ids, outputs.names, origin), path) is None:
        say(
            f"{path.with_suffix('.json')} is a file of another origin and was left alone; with another -o the table "
            "gets a description of its columns and model"
        )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _with_scoring(model: Any, scoring: str) -> Any:
    if not hasattr(model, "with_scoring"):
        from bids_app.errors import UsageError

        raise UsageError(f"{model.card.name} has one way of scoring only", "leave --scoring out")
    return model.with_scoring(scoring)


def _model_input(model: Any, piece: TableInput) -> pd.DataFrame:
    from bids_app.regions import add_asymmetry

    data = piece.labelled
    return add_asymmetry(data) if any(name.startswith("asymmetry_") for name in model.regions) else data


def _adaptation(arguments: argparse.Namespace, model: Any, table: TableReader) -> SiteAdaptation | None:
    from bids_app.errors import UsageError

    if not arguments.adapt_controls:
        if arguments.adapt_by or arguments.adaptation:
            raise UsageError("--adapt-by and --adaptation need --adapt-controls QUERY")
        return None
    from bids_app.normative.harmonise.adaptation import REPORT_COLUMNS, SiteAdaptation
    from bids_app.tables import write_json, write_tsv

    adaptation = SiteAdaptation.fit(model, _controls(arguments, model, table), arguments.adapt_by)
    for key, level in adaptation.levels.items():
        say(f"adapted to scanner {key} on {len(level.people)} controls")
    if arguments.adaptation:
        write_json(adaptation.to_dict(), arguments.adaptation)
        beside = arguments.adaptation.with_name(arguments.adaptation.stem + "_regions.tsv")
        write_tsv(adaptation.report(), beside, REPORT_COLUMNS)
    return adaptation


def _controls(arguments: argparse.Namespace, model: Any, table: TableReader) -> pd.DataFrame:
    """The rows of the whole table that the query picks."""
    import pandas as pd

    from bids_app.errors import UsageError

    query = arguments.adapt_controls
    if table.n_rows > arguments.chunk_rows and _WHOLE_COLUMN.search(query):
        raise UsageError(
            f"--adapt-controls {query!r} compares rows with each other, and TABLE is read in pieces",
            f"give --chunk-rows {table.n_rows} or more, or a column that says who is a control",
        )
    found = []
    for piece in table.pieces():
        try:
            rows = piece.data.query(query).index
        except Exception as error:
            raise UsageError(
                f"--adapt-controls {query!r} cannot be applied to the columns of TABLE ({error})"
            ) from error
        found.append(_model_input(model, piece).loc[rows])
    return pd.concat(found)
