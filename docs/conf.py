"""Sphinx: the documentation site, built by .ci/docs without a network."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import bids_app  # noqa: E402

project = "normvol"
author = "The normvol developers"
copyright = f"{author}, Apache-2.0"
version = release = bids_app.__version__
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
exclude_patterns = ["_build", "package-index.md"]
html_theme = "pydata_sphinx_theme"
html_title = "normvol"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
nitpicky = False
suppress_warnings = ["myst.xref_missing.external"]


def outside(app: object, docname: str, source: list[str]) -> None:
    """Links to files that are no pages of the site become their text."""
    import re

    def text(found: re.Match[str]) -> str:
        path = (HERE / docname).parent / found[2].partition("#")[0]
        page = path.suffix == ".md" and path.resolve().is_relative_to(HERE)
        return found[0] if page or path.suffix in (".png", ".svg") else f"{found[1]} (`{found[2].lstrip('./')}`)"

    source[0] = re.sub(r"(?<!!)\[([^]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)", text, source[0])


def setup(app: object) -> None:
    """Hook `outside` in."""
    app.connect("source-read", outside)  # type: ignore[attr-defined]
