"""Fetch the templates that reports can use into TEMPLATEFLOW_HOME; used when the image is built.

    python scripts/fetch_templates.py [--optional]

One that cannot be fetched is named; unless they are optional, that is an error.
"""

from __future__ import annotations

import argparse
import sys

TEMPLATES = (
    {"template": "fsaverage", "density": "10k", "suffix": "pial", "extension": ".surf.gii"},
    {"template": "fsaverage", "density": "10k", "atlas": "Desikan2006", "suffix": "dseg"},
    {"template": "MNI152NLin2009cAsym", "resolution": 2, "desc": "brain", "suffix": "T1w"},
)


def fetch() -> int:
    """Try every template once; how many were left out."""
    try:
        from templateflow import api
    except Exception as error:
        print(f"templateflow cannot be set up here ({type(error).__name__}): templates are left out")
        return len(TEMPLATES)
    lost = 0
    for query in TEMPLATES:
        entities = dict(query)
        name = entities.pop("template")
        try:
            found = api.get(name, **entities)
        except Exception as error:
            found, why = None, type(error).__name__
        else:
            why = "nothing matched"
        print(f"{'fetched' if found else 'left out'} {name} {entities}{'' if found else ': ' + why}")
        lost += not found
    return lost


def main() -> int:
    """Exit code: 1 when a template is lost that is required."""
    parser = argparse.ArgumentParser(description="Fetch the templates of the reports.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--required", action="store_true", help="fail when one cannot be fetched (default)")
    group.add_argument("--optional", action="store_true", help="go on without those that cannot be fetched")
    optional = parser.parse_args().optional
    lost = fetch()
    if lost and not optional:
        print(f"{lost} template(s) lost; build with TEMPLATES=optional to do without")
    return int(bool(lost) and not optional)


if __name__ == "__main__":
    sys.exit(main())
