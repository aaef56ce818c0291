"""Covariates, clinical columns and the methods paragraph of one awkward dataset: nothing moves unnoticed."""

from __future__ import annotations

import pytest

from bids_app import __version__
from bids_app.bids.citation import MethodsFacts, methods_text, model_titles
from bids_app.bids.columns import columns_for
from bids_app.bids.covariates import read_covariates
from bids_app.bids.layout import Scan, find_scans
from bids_app.bids.phenotypes import clinical_table
from bids_app.normative.registry import load_model
from tests.bids.conftest import table
from tests.recorded import check_recorded, constants

PEOPLE = """participant_id\tage\tsex\tgroup\tweight
sub-01\t61,5\tF\tMS\t70
sub-02\t89+\tmale\tHC\tn/a
sub-3\t45\tM\tMS\t
sub-04\tn/a\tfemale\tMS\t81.5
sub-05\t20-25\tW\tHC\t64
sub-06\t33 years\t1\tHC\t64
sub-07\t7 months\tf\tHC\t7
sub-08\t200\tO\tHC\t
"""
VISITS = (
    "session_id\tacq_time\tage\tedss\nses-1\t2020-01-01T10:00:00\t40.0\t2.5\nses-2\t2021-07-02T10:00:00\tn/a\t3,0\n"
)
FILES = {
    "participants.tsv": PEOPLE,
    "participants.json": {"age": {"Units": "years"}, "group": {"Levels": {"MS": "multiple sclerosis"}}},
    "sub-04/sub-04_sessions.tsv": VISITS,
    "phenotype/relapses.tsv": table(
        "participant_id onset_date drug", "sub-04 2020-05-01 a", "sub-04 2021-01-09 b", "sub-01 2019-02-03 a"
    ),
    "phenotype/pasat.tsv": table(
        "participant_id session_id pasat3 age", "sub-04 ses-1 50 41", "sub-04 ses-2 48 42", "sub-01 n/a 55 61"
    ),
    **{f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz": "x" for n in (1, 2, 3, 5, 6, 7, 8, 9)},
    **{f"sub-04/ses-{n}/anat/sub-04_ses-{n}_T1w.nii.gz": "x" for n in (1, 2, 3)},
    "sub-04/ses-3/anat/sub-04_ses-3_FLAIR.nii.gz": "x",
}


@pytest.fixture
def root(make_dataset):
    return make_dataset(FILES)


def test_scans_and_covariates_are_as_recorded(root):
    scans = find_scans(root)
    images = {scan.name: [path.name for path in (*scan.t1w, *scan.t2w, *scan.flair)] for scan in scans}
    check_recorded("covariates", {"images": images, **read_covariates(root, scans)})


def test_clinical_columns_are_as_recorded(root):
    every = clinical_table(root)
    some = clinical_table(root, [Scan("04", "1"), Scan("04", "2"), Scan("01")])
    check_recorded("clinical_columns", {"every": every, "notes": every.attrs["notes"], "some": some})


@pytest.mark.parametrize("name", ["open-calibrated", "open-reference"])
def test_the_methods_paragraph_is_as_recorded(name):
    model = load_model(name)
    card, controls = model.card.to_json(), {"one": 12, "two": 1}
    programs = {("freesurfer", "7.4.1"): 3, ("freesurfer", "6.0.0"): 1, ("fastsurfer", ""): 2}
    facts = {
        "plain": MethodsFacts(name, card, "Built so.", model.regions),
        "adapted": MethodsFacts(name, card, regions=model.regions[:5], programs=programs, controls=controls),
        "table": MethodsFacts(
            name, card, scoring="reference-compat", table=True, statistics=("A test.", "A test.", "B.")
        ),
        "without card": MethodsFacts(name, scoring="other", controls={"": 5}),
    }
    texts = {key: methods_text(fact) for key, fact in facts.items()}
    check_recorded(
        f"methods_{name}",
        {
            **{key: text.replace(__version__, "VERSION").splitlines() for key, text in texts.items()},
            "titles": model_titles(card),
        },
    )


def test_the_dictionaries_of_the_tables_are_as_recorded():
    tables = ("deviations", "volumes", "asymmetry", "change", "centiles", "group_deviations", "group_inclusion")
    wide = columns_for("group_zscores")
    check_recorded(
        "dictionaries", {**{name: columns_for(name) for name in tables}, "wide": dict(list(wide.items())[::20])}
    )


def test_limits_and_defaults_are_as_recorded():
    check_recorded("constants_bids", constants("bids"))
