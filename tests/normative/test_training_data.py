"""Who and what is trained on: each reason to leave out a row or a region, alone and at its limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative import training_data
from bids_app.normative.training_data import TrainingReport, prepare
from bids_app.regions import ETIV

THALAMUS, VENTRICLE, THICKNESS = "Left-Thalamus", "Left-Lateral-Ventricle", "lh_insula_thickness"


def people(n=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:02}" for i in range(n)],
            "age": np.linspace(20, 60, n),
            "sex": ["female", "male"] * (n // 2),
            ETIV: rng.normal(1.5e6, 1e5, n),
            "site": ["a", "a", "b", "b"] * (n // 4),
            THALAMUS: rng.normal(7000, 500, n),
            VENTRICLE: rng.normal(9000, 900, n),
        }
    )


def prepared(table, regions=(THALAMUS, VENTRICLE), **changed):
    return prepare(table, regions, **{"logarithms": True, "min_per_site": 1, "min_per_sex": 1, **changed})


def test_complete_rows_are_used_on_the_scale_of_their_region():
    table = people()
    table.loc[0, VENTRICLE] = 0.2
    data = prepared(table)
    assert (data.regions, data.log.tolist(), data.uses_etiv) == ((THALAMUS, VENTRICLE), [False, True], True)
    np.testing.assert_array_equal(data.modelled()[:, 0], table[THALAMUS])
    np.testing.assert_array_equal(data.modelled()[1:, 1], np.log(table[VENTRICLE][1:]))
    assert data.modelled()[0, 1] == 0.0
    assert data.table[VENTRICLE][0] == 0.2
    assert prepared(table, logarithms=False).log.tolist() == [False, False]
    assert (data.report.n_rows, data.report.n_used, len(data.report.dropped)) == (40, 40, 0)
    for name, column in (("age", "age"), ("sex", "sex"), ("etiv", ETIV), ("site", "site")):
        assert getattr(data, name).tolist() == table[column].tolist()
    assert data.fs_version.tolist() == [""] * 40
    some = data.subset(data.age > 40)
    assert some.table.index.tolist() == list(range(20))
    assert some.regions == data.regions


def test_versions_and_sites_are_text_where_they_are_known():
    table = people().assign(fs_version=[None, 7] * 20, site=[3, 3, 4, 4] * 10)
    data = prepared(table)
    assert data.fs_version.tolist()[:2] == ["", "7.0"]
    assert data.site.tolist()[:3] == ["3", "3", "4"]
    bare = prepared(table.drop(columns=["site", "participant_id"]))
    assert bare.site.tolist() == ["site"] * 40
    assert bare.report.dropped.columns.tolist() == ["row", "reason"]
    blank = prepared(table.assign(site=None))
    assert "site" not in blank.table
    assert len(blank.table) == 40


REASONS = {
    "age is missing or negative": {"age": [np.nan, -0.1, np.inf, "x"]},
    "sex is neither female nor male": {"sex": [None, "n/a", "F"]},
    "intracranial volume is missing or not positive": {ETIV: [np.nan, 0.0, -1.0, np.inf]},
    "a region's volume is missing": {THALAMUS: [np.nan, np.inf]},
    "site is missing": {"site": [None]},
}
CASES = [(reason, name, value) for reason, of in REASONS.items() for name, values in of.items() for value in values]


@pytest.mark.parametrize(("reason", "column", "value"), CASES)
def test_each_unusable_row_has_its_reason(reason, column, value):
    table = people()
    table[column] = table[column].astype(object)
    table.loc[3, column] = value
    if column != "age" or value != "x":
        table[column] = table[column].infer_objects()
    report = prepared(table).report
    assert report.dropped.to_dict("list") == {"row": [3], "participant_id": ["sub-03"], "reason": [reason]}
    assert report.sentences() == ("39 of 40 rows were used.", f"1 left out: {reason}.")


def test_the_first_reason_counts_and_a_newborn_may_be_of_age_0():
    table = people()
    table.loc[0, "age"] = 0.0
    table.loc[1, ["sex", ETIV, THALAMUS]] = ["n/a", np.nan, np.nan]
    report = prepared(table).report
    assert report.dropped["reason"].tolist() == ["sex is neither female nor male"]


def test_of_a_persons_scans_the_first_usable_one_counts():
    table = people()
    table.loc[[2, 5, 9], "participant_id"] = "same"
    table.loc[2, "age"] = 59.0
    table.loc[5, THALAMUS] = np.nan
    report = prepared(table).report
    assert report.dropped["row"].tolist() == [2, 5]
    assert report.dropped["reason"].tolist() == ["a later scan of the same person", "a region's volume is missing"]


@pytest.mark.parametrize(("least", "dropped"), [(1, 0), (2, 0), (3, 2), (4, 2)])
def test_a_site_is_kept_from_its_least_number_on(least, dropped):
    table = people()
    table["site"] = ["small", "small", *["large"] * 38]
    report = prepared(table, min_per_site=least).report
    assert len(report.dropped) == dropped
    if dropped:
        assert set(report.dropped["reason"]) == {f"fewer than {least} people at the site"}
    table.loc[0, THALAMUS] = np.nan
    reasons = prepared(table, min_per_site=2).report.dropped["reason"].tolist()
    assert reasons == ["a region's volume is missing", "fewer than 2 people at the site"]


@pytest.mark.parametrize(("missing", "left_out"), [(2, False), (3, True)])
def test_a_region_that_is_missing_in_more_than_one_of_twenty_rows_is_left_out(missing, left_out):
    table = people()
    table.loc[: missing - 1, THALAMUS] = np.nan
    data = prepared(table)
    assert (THALAMUS in data.report.left_out_regions) is left_out
    assert data.regions == ((VENTRICLE,) if left_out else (THALAMUS, VENTRICLE))
    assert len(data.table) == (40 if left_out else 38)
    assert data.log.tolist() == ([True] if left_out else [False, True])


def test_a_constant_region_is_left_out_and_with_all_of_them_nothing_is_left():
    table = people().assign(**{THALAMUS: 7000.0})
    data = prepared(table)
    assert data.report.left_out_regions == {THALAMUS: "the same value in every row"}
    assert "Region Left-Thalamus left out: the same value in every row." in data.report.sentences()
    table[VENTRICLE] = np.nan
    with pytest.raises(ModelError, match="no region of the training table"):
        prepared(table)
    with pytest.raises(ModelError, match="0 female people"):
        prepared(people().iloc[:0])


@pytest.mark.parametrize(("least", "enough"), [(20, True), (21, False)])
def test_people_of_each_sex_are_needed(least, enough):
    if enough:
        assert len(prepared(people(), min_per_sex=least).table) == 40
        return
    with pytest.raises(ModelError, match="20 female people remain"):
        prepared(people(), min_per_sex=least)
    with pytest.raises(ModelError, match="0 male people remain"):
        prepared(people().assign(sex="female"), min_per_sex=1)


def test_lacking_columns_are_named_up_to_five():
    with pytest.raises(ModelError, match=r"lacks 2 column\(s\): age, Left-Thalamus$"):
        prepared(people().drop(columns=["age", THALAMUS]))
    five = tuple("abcde")
    with pytest.raises(ModelError, match=r"lacks 5 column\(s\): a, b, c, d, e$"):
        prepared(people(), five)
    with pytest.raises(ModelError, match=r"lacks 6 column\(s\): a, b, c, d, e \.\.\.$"):
        prepared(people(), (*five, "f"))


def test_a_model_without_etiv_does_without_the_column():
    bare = people().drop(columns=ETIV)
    with pytest.raises(ModelError, match=ETIV):
        prepared(bare)
    data = prepared(bare, uses_etiv=False)
    assert (data.knows_etiv, data.uses_etiv, data.etiv.tolist()) == (False, False, [0.0] * 40)
    assert not prepared(people().assign(**{ETIV: np.nan}), uses_etiv=False).knows_etiv
    known = prepared(people(), uses_etiv=False)
    assert known.knows_etiv
    with pytest.raises(ModelError, match="0 female people"):
        prepared(people().assign(**{ETIV: np.nan}))


def test_failed_surfaces_are_looked_for_where_surfaces_are_modelled(monkeypatch):
    failed = np.arange(40) == 7
    monkeypatch.setattr(training_data, "surface_failures", lambda table: failed)
    table = people().assign(**{THICKNESS: np.linspace(2, 3, 40)})
    assert len(prepared(table).table) == 40
    report = prepared(table, (THALAMUS, THICKNESS)).report
    assert report.dropped["row"].tolist() == [7]
    assert report.dropped["reason"].tolist() == [training_data.SURFACES_FAILED]


def test_the_report_counts_simpler_fits_and_ends_with_warnings():
    fallbacks = pd.DataFrame({"region": ["a", "b", "c"], "sex": "male", "fallback": ["x", "y", "x"]})
    report = TrainingReport(5, 4, pd.DataFrame({"row": [1], "reason": ["r"]}), {}, fallbacks, ("w.",))
    assert report.sentences() == (
        "4 of 5 rows were used.",
        "1 left out: r.",
        "2 of the fits are simpler: x.",
        "1 of the fits are simpler: y.",
        "w.",
    )
