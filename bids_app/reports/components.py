"""Small pieces of HTML: numbers that say which file they come from, links, words for a deviation."""

from __future__ import annotations

import base64
import json
import math
import mimetypes
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from bids_app.regions import AREA, THICKNESS, VOLUME, display_name, measure_of, region_table
from bids_app.reports.loading import Record, Sheet

MISSING = "–"
MINUS = "−"
# Whose courses one picture holds
MOST_PEOPLE = 400

PROBABILITIES = (
    "p",
    "p_fdr",
    "q",
    "p_value",
    "pvalue",
    "p_bh",
    "p_logrank",
    "p_log_rank",
    "p_permutation",
    "p_proportional",
)
# decimals of a column
DIGITS = {
    "z": 2,
    "z_se": 2,
    "centile": 1,
    "age": 1,
    "asymmetry_index": 3,
    "expected_index": 3,
    "z_from": 2,
    "z_to": 2,
    "z_change": 2,
    "z_change_se": 2,
    "annual_z_change": 2,
    "years": 1,
    "volume_mm3": 0,
    "expected_mm3": 0,
}


def number(value: Any, digits: int | None = None) -> str:
    """A number as text: fixed decimals, or 3 significant digits (whole numbers stay whole) when `digits` is None."""
    if type(value) is not float:
        if isinstance(value, bool) or (not isinstance(value, int | float) and not hasattr(value, "dtype")):
            return str(value)
        value = float(value)
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    if digits is None:
        text = f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.3g}"
        text = f"{value:.2e}" if value and abs(value) < 1e-3 else text
    else:
        text = f"{value:,.{digits}f}"
        text = text[1:] if text[0] == "-" and not float(text.replace(",", "")) else text
    return text.replace(",", " ").replace("-", MINUS)


def shown(value: Any, column: str = "", digits: int | None = None, scale: float = 1.0) -> str:
    """The text of a table cell: numbers by their column's decimals, booleans as yes or no, missing as a dash."""
    if value is None or value is MISSING:
        return MISSING
    # most cells are plain floats: no text is made of these to ask whether they are booleans
    if type(value) is not float:
        if isinstance(value, bool) or str(value) in ("True", "False", "true", "false"):
            return "yes" if str(value).lower() == "true" else "no"
        if not isinstance(value, int | float) and not hasattr(value, "dtype"):
            return str(value)
    if column == "centile" and not math.isnan(value) and not 0.1 <= value <= 99.9:
        return "< 0.1" if value < 0.1 else "> 99.9"
    if column in PROBABILITIES and not math.isnan(value):
        return "< 0.001" if value < 0.001 else number(value, 3)
    return number(value * scale if scale != 1 else value, DIGITS.get(column) if digits is None else digits)


METRICS = {
    "surface_holes": "surface holes",
    "euler": "Euler number",
    "brainsegvol_to_etiv": "BrainSegVol / eTIV",
    "maskvol_to_etiv": "MaskVol / eTIV",
    "etiv_litres": "eTIV, litres",
    "extreme_share": "share of extreme regions",
    "etiv_session_difference": "eTIV difference between sessions",
    "mean_thickness": "mean thickness, mm",
    "white_area": "white surface, mm²",
    "grey_white_contrast": "grey-white contrast, %",
    "contrast_snr": "contrast / SD",
    "etiv_mm3": "eTIV, mm³",
    "sha256": "SHA-256",
    "other": "other columns",
}


def metric_title(name: str) -> str:
    """Plain words for a quality measure."""
    side = {"lh_": "left ", "rh_": "right "}.get(name[:3], "")
    bare = name[3:] if side else name
    return side + METRICS.get(bare, bare.replace("_", " "))


class Column(NamedTuple):
    """A column of a table in the report; `kind` is text, long (text), number, region, person or gauge."""

    name: str
    title: str
    kind: str = "number"
    digits: int | None = None


def column_digits(values: Any) -> int | None:
    """Decimals that suit a whole column: none for whole numbers, else three digits of the largest value.

    Columns over several orders of magnitude get None: three significant digits in each cell.
    """
    finite = [abs(float(value)) for value in values if math.isfinite(float(value))]
    if not finite or all(value.is_integer() for value in finite):
        return 0 if finite else None
    top = max(finite)
    least = min((value for value in finite if value), default=top)
    if top < 0.01 or (top >= 100 and least < top / 1000):
        return None
    if top >= 1e5:
        return 0
    return max(0, 2 - math.floor(math.log10(top))) if top >= 1 else 3


def cell(file: str, row: int, column: str, value: Any, digits: int | None = None, scale: float = 1.0) -> Markup:
    """A table's value in running text, marked with its file, row and column."""
    text = shown(value, column, digits, scale)
    return _datum(f'data-file="{escape(file)}" data-row="{row}" data-column="{escape(column)}"', text, scale)


def field(record: Record, key: str, digits: int | None = None) -> Markup:
    """A JSON value in running text, marked with its file and dotted key."""
    text = shown(record.get(key), key.rsplit(".", 1)[-1], digits)
    return _datum(f'data-file="{escape(record.file)}" data-key="{escape(key)}"', text)


def _datum(origin: str, text: str, scale: float = 1.0) -> Markup:
    factor = f' data-scale="{scale}"' if scale != 1 else ""
    return Markup(f"<data {origin}{factor}>{escape(text)}</data>")


def table_rows(sheet: Sheet, columns: Sequence[Column], links: Collection[str] = ()) -> Markup:
    """The rows of a table; `links` are the people who have a report. Not in a template, for speed."""
    rows = list(sheet.rows())
    cells = [_cells(column, [row for _, row in rows], links) for column in columns]
    return Markup(
        "".join(
            f'<tr data-row="{index}"{_row_class(row)}>{"".join(line)}</tr>\n'
            for (index, row), line in zip(rows, zip(*cells, strict=True), strict=True)
        )
    )


def _cells(column: Column, rows: Sequence[Mapping[str, Any]], links: Collection[str]) -> list[str]:
    """The cells of a column; floats of one number of decimals are written together."""
    name, kind = column.name, column.kind
    digits = DIGITS.get(name) if column.digits is None or kind != "number" else column.digits
    if kind != "number" or digits is None or name == "centile" or name in PROBABILITIES:
        return [*map(_cell_writer(column, links), rows)]
    values = [row[name] for row in rows]
    if not values or not all(type(value) is float for value in values):
        return [*map(_cell_writer(column, links), rows)]
    place = f'<td data-column="{escape(name)}">'
    return [f"{place}{text}</td>" for text in _numbers(values, digits)]


def _numbers(values: Sequence[float], digits: int) -> list[str]:
    """`number` of many floats."""
    zero = f"{-0.0:.{digits}f}"
    texts = [f"{value:,.{digits}f}" for value in values]
    together = "\n".join([text if text != zero else text[1:] for text in texts])
    for plain, typeset_as in ((",", " "), ("-", MINUS), ("nan", MISSING), ("inf", "∞")):
        together = together.replace(plain, typeset_as)
    return together.split("\n")


def _row_class(row: Mapping[str, Any]) -> str:
    if row.get("deviation") in ("infra", "supra"):
        return f' class="{row["deviation"]}"'
    return ' class="apart"' if row.get("comparable") == "not comparable" else ""


def _cell_writer(column: Column, links: Collection[str]) -> Callable[[Mapping[str, Any]], str]:
    """How the cells of a column are written."""
    name, _, kind, digits = column
    kind_of = "" if kind == "number" else f' class="{kind}"'
    place = f'<td{kind_of} data-column="{escape(name)}">'
    if kind == "region":
        return lambda row: f'<th scope="row" title="{escape(row[name])}">{escape(region_title(row[name]))}</th>'
    if kind == "person":
        return lambda row: f'<th scope="row">{_person(row[name], links)}</th>'
    if kind == "gauge":
        return lambda row: f'<td class="gauge">{gauge(row[name], row.get("deviation", "none"))}</td>'
    return lambda row: f"{place}{escape(shown(row[name], name, digits if kind == 'number' else None))}</td>"


def _person(name: Any, links: Collection[str]) -> str:
    return f'<a href="{quote(name)}.html">{escape(name)}</a>' if name in links else escape(shown(name))


def words(z: float) -> str:
    """A z-score in plain words."""
    if math.isnan(z):
        return "not scored"
    side = "smaller" if z < 0 else "larger"
    if abs(z) >= 3:
        return f"far {side} than expected"
    if abs(z) >= 1.96:
        return f"{side} than expected"
    return f"somewhat {side} than expected" if abs(z) >= 1 else "about as expected"


def capitalised(text: str) -> str:
    """First letter upper case, the rest untouched (`str.capitalize` would lower abbreviations)."""
    return text[:1].upper() + text[1:]


def fact_title(name: str) -> str:
    """Plain words for a key of a JSON file at the start of a line."""
    words = metric_title(name)
    return words if words.startswith("eTIV") else capitalised(words)


@lru_cache(maxsize=2048)
def region_title(region: str) -> str:
    """Plain words for a region at the start of a line."""
    return capitalised(display_name(region))


def gauge(z: Any, deviation: str = "none") -> Markup:
    """A marker on a line from z = -5 to 5; drawn by the stylesheet."""
    if not isinstance(z, float | int) or math.isnan(z):
        return Markup("")
    place = 50 + 10 * max(-5.0, min(5.0, float(z)))
    return Markup(
        f'<i class="gauge{"" if deviation == "none" else f" {escape(deviation)}"}" style="--at:{place:.1f}%"></i>'
    )


def data_uri(path: Path) -> str:
    """A file's bytes for an ``img`` element."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


@lru_cache(maxsize=16)
def asset(name: str) -> str:
    """The text of a packaged stylesheet or script."""
    return (files("bids_app.reports") / "assets" / name).read_text(encoding="utf-8")


def typeset(sentence: str) -> str:
    """A sentence with real minus and comparison signs, and no line break before a per cent sign."""
    signs = sentence.replace("<=", "≤").replace(">=", "≥").replace(" %", "\u00a0%")
    return re.sub(r"(?<![\w)-])-(?=\d)", MINUS, signs)


def measured_words(regions: Iterable[str]) -> str:
    """What the regions are measures of, ``regional brain volumes and cortical thickness``; volumes where none is."""
    words = {VOLUME: "brain volumes", THICKNESS: "cortical thickness", AREA: "cortical surface area"}
    present = {measure_of(name) for name in regions} or {VOLUME}
    *first, last = (text for measure, text in words.items() if measure in present)
    return "regional " + " and ".join(filter(None, [", ".join(first), last]))


@lru_cache(maxsize=4)
def prose(markdown: str) -> Markup:
    """Markdown as HTML: headings one level below the section's, links that tell nobody where they were clicked.

    HTML in it is shown as written, pictures are not drawn. The text's own title (a first line with one ``#``) is left
    out: the section has a heading.
    """
    reader = _markdown()
    tokens = reader.parse(re.sub(r"\A\s*# .*\n", "", markdown))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h3"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noreferrer")
    return Markup(reader.renderer.render(tokens, reader.options, {}))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "linkify": True}).enable("linkify").disable("image")
    reader.add_render_rule("softbreak", lambda *_: " ")
    return reader


def data_block(content: Any) -> Markup:
    """JSON for a ``script type=application/json`` element; no text in it can close the element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def chapter(region: str) -> str:
    """The heading that a region's chart stands under."""
    return _chapters().get(region, "Other")


@lru_cache(maxsize=1)
def _chapters() -> dict[str, str]:
    return {str(row["name"]): _chapter(row) for row in region_table().to_dict("records")}


def _chapter(row: Mapping[Any, Any]) -> str:
    if row["kind"] == "cortical":
        return capitalised(f"{row['lobe']} {'cortex' if row['lobe'] in ('cingulate', 'insula') else 'lobe'}")
    return {
        "subcortical": "Deep grey matter",
        "cerebellum": "Cerebellum",
        "ventricle": "Ventricles and CSF",
        "csf": "Ventricles and CSF",
        "corpus_callosum": "White matter",
        "white_matter": "White matter",
        "hypointensity": "White matter",
        "global": "Whole brain",
    }.get(row["kind"], "Other")
