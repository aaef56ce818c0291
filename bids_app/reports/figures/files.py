"""Drawings as files that open everywhere: SVG whose colours stand in it, and PDF and PNG made from that SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from textwrap import wrap
from xml.etree import ElementTree

from markupsafe import escape

from bids_app.errors import UsageError
from bids_app.reports.components import asset
from bids_app.reports.figures.typeset import Typesetter, typeset
from bids_app.tables import atomic_write

FORMATS = ("svg", "png", "pdf")
FONTS = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
DPI = 300
CSS_PIXEL_MM = 25.4 / 96
SVG = "http://www.w3.org/2000/svg"
INK = "#23211e"
LINE, LETTER, GAP = 16.0, 7.0, 16.0
SIZE = re.compile(r'<svg [^>]*?\bwidth="([\d.]+)" height="([\d.]+)"')
VARIABLE = re.compile(r"var\((--[\w-]+)(?:,\s*([^)]*))?\)")
ATTRIBUTES = re.compile(r"(fill|stroke|font-(size|weight|family))\b.*")


def standalone(drawing: str) -> str:
    """An inline chart as a file of its own, on white, with every style resolved to plain attributes; empty as it is."""
    if not drawing:
        return ""
    from cssselect2 import ElementWrapper

    root = ElementTree.fromstring(drawing.replace("<svg ", f'<svg xmlns="{SVG}" ', 1))
    for element in ElementWrapper.from_xml_root(root).iter_subtree():
        for name, value in _styles(element).items():
            element.etree_element.set(name, value)
        element.etree_element.attrib.pop("class", None)
    root.set("font-family", FONTS)
    root.insert(0, ElementTree.Element(f"{{{SVG}}}rect", {"width": "100%", "height": "100%", "fill": "#fff"}))
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def panels(drawings: Sequence[tuple[str, str]], columns: int = 2) -> str:
    """Files of drawings as one file: a grid of `columns`, each drawing under its heading.

    Parameters
    ----------
    drawings : sequence of (str, str)
        Heading and text of an SVG file with ``width`` and ``height`` (`standalone`).
    """
    sizes = [_size(svg) for _, svg in drawings]
    wide = max(size[0] for size in sizes)
    headings = [wrap(title, int(wide / LETTER)) for title, _ in drawings]
    top = LINE * max(map(len, headings)) + 6
    high = max(size[1] for size in sizes) + top
    across = min(columns, len(drawings))
    width, height = across * (wide + GAP) - GAP, -(-len(drawings) // across) * (high + GAP) - GAP
    cells = []
    for index, (_, svg) in enumerate(drawings):
        x, y = (index % across) * (wide + GAP), index // across * (high + GAP)
        for row, words in enumerate(headings[index]):
            cells.append(f'<text x="{x + 4:g}" y="{y + LINE * (row + 1):g}">{escape(words)}</text>')
        cells.append(svg.replace("<svg ", f'<svg x="{x:g}" y="{y + top:g}" ', 1))
    return (
        f'<svg xmlns="{SVG}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape("; ".join(title for title, _ in drawings))}" font-family="{FONTS}" font-size="13" '
        f'fill="{INK}"><rect width="100%" height="100%" fill="#fff"/>{"".join(cells)}</svg>\n'
    )


def _size(svg: str) -> tuple[float, float]:
    """Width and height of an SVG file in CSS pixels."""
    size = SIZE.search(svg)
    if not size:
        raise ValueError("an SVG without width and height")
    return float(size[1]), float(size[2])


def _styles(element) -> dict[str, str]:
    """The presentation attributes that the stylesheet gives an element, with no variable left in them."""
    given: dict[str, str] = {}
    for *_, declarations in _matcher().match(element):
        given.update(declarations)
    return {
        name: VARIABLE.sub(lambda found: _fallback(found, given), value).removesuffix("px")
        for name, value in given.items()
        if ATTRIBUTES.fullmatch(name)
    }


def _fallback(found: re.Match[str], given: Mapping[str, str]) -> str:
    """A variable of the element itself, else the colour on white that stands behind every variable."""
    value = given.get(found[1], found[2])
    return VARIABLE.sub(lambda inner: inner[2], value)


@lru_cache(maxsize=1)
def _matcher():
    """``chart.css`` as rules with their declarations."""
    from cssselect2 import Matcher, compile_selector_list
    from tinycss2 import parse_blocks_contents, parse_stylesheet, serialize

    matcher = Matcher()
    for rule in parse_stylesheet(asset("chart.css"), skip_comments=True, skip_whitespace=True):
        declared = parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True)
        declarations = {item.name: serialize(item.value).strip() for item in declared}
        for selector in compile_selector_list(rule.prelude):
            matcher.add_selector(selector, declarations)
    return matcher


def rendered(
    svg: str, file_format: str, *, width_mm: float | None = None, dpi: float = DPI, by: Typesetter = typeset
) -> bytes:
    """An SVG file as ``pdf`` or ``png``.

    Parameters
    ----------
    svg : str
        With ``width`` and ``height`` in CSS pixels (1/96 inch).
    width_mm : float, optional
        Width on paper; by default that of the SVG.
    dpi : float
        Resolution of a PNG.
    by : callable
        `typeset`, or what `typeset_apart` gives.
    """
    width, height = _size(svg)
    across = width_mm or width * CSS_PIXEL_MM
    down = across * height / width
    size = f"width: {across}mm, height: {down}mm"
    page = f'#set document(date: none)\n#set page({size}, margin: 0pt)\n#image("f.svg", width: 100%)'
    return by(page, svg, file_format, float(dpi))


def write_formats(path: Path, svg: str, formats: Iterable[str], by: Typesetter = typeset) -> list[Path]:
    """Write the file `svg` once per format, under the name `path` (which ends in ``.svg``) with the format's ending."""
    return [save_figure(svg, path.with_suffix(f".{ending}"), by=by) for ending in formats]


def checked_ending(path: Path) -> str:
    """The format that a file's ending names.

    Raises
    ------
    UsageError
        For another ending than .svg, .png and .pdf.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UsageError(f"cannot write {path.name}: the name must end in one of .{', .'.join(FORMATS)}")
    return ending


def save_figure(
    svg: str, path: Path, *, width_mm: float | None = None, dpi: float = DPI, by: Typesetter = typeset
) -> Path:
    """Write the file `svg` to `path`; the ending decides the format (see `rendered`)."""
    ending = checked_ending(path)
    return atomic_write(path, svg if ending == "svg" else rendered(svg, ending, width_mm=width_mm, dpi=dpi, by=by))
