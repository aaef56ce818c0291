"""Fetch the templates that reports can use into TEMPLATEFLOW_HOME; used when the image is built.

Each template is optional: one that cannot be fetched is named and left out.
"""

from __future__ import annotations

TEMPLATES = (
    {"template": "fsaverage", "density": "10k", "suffix": "pial", "extension": ".surf.gii"},
    {"template": "fsaverage", "density": "10k", "atlas": "Desikan2006", "suffix": "dseg"},
    {"template": "MNI152NLin2009cAsym", "resolution": 2, "desc": "brain", "suffix": "T1w"},
)


def main() -> None:
    """Try every template once."""
    try:
        from templateflow import api
    except Exception as error:
        print(f"templateflow cannot be set up here ({type(error).__name__}): templates are left out")
        return
    for query in TEMPLATES:
        entities = dict(query)
        name = entities.pop("template")
        try:
            found = api.get(name, **entities)
        except Exception as error:
            print(f"left out {name} {entities}: {type(error).__name__}")
        else:
            print(f"fetched {name} {entities}: {'yes' if found else 'nothing matched'}")


if __name__ == "__main__":
    main()
