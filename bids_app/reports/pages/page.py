"""From a template and its context to one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bids_app.regions import display_name
from bids_app.reports import components

MOST_TABLE_ROWS = 1000
MOST_PERSON_ROWS = 300
# Sentences of one analysis on paper, after the first
MOST_PRINTED = 5


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The Jinja2 environment: everything is escaped unless it is marked as safe by us."""
    env = Environment(
        loader=PackageLoader("bids_app.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        cell=components.cell,
        field=components.field,
        table_rows=components.table_rows,
        shown=components.shown,
        gauge=components.gauge,
        words=components.words,
        typeset=components.typeset,
        region_title=components.region_title,
        display_name=display_name,
        capitalised=components.capitalised,
        fact_title=components.fact_title,
        metric_title=components.metric_title,
        MOST_TABLE_ROWS=MOST_TABLE_ROWS,
        MOST_PERSON_ROWS=MOST_PERSON_ROWS,
        MOST_PRINTED=MOST_PRINTED,
        MOST_PEOPLE=components.MOST_PEOPLE,
    )
    return env


def render(template: str, **context: Any) -> str:
    """One page with its style and script inside and a policy that lets no other script run."""
    script = components.asset("report.js") + components.asset("linked.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # strict-dynamic: what this script loads may run (the viewer in assets/), and nothing else
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}' 'strict-dynamic'; "
        "base-uri 'none'; form-action 'none'"
    )
    style = components.asset("report.css") + components.asset("chart.css")
    return (
        environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy, **context)
    )
