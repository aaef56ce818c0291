"""Site adaptation: recovery, shrinkage, leave-one-out, and what it says."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError, ModelError
from bids_app.normative.base import SITE_TAIL
from bids_app.normative.harmonise import adaptation as adaptation_module
from bids_app.normative.harmonise.adaptation import OTHER_SEX_SD, REPORT_COLUMNS, SiteAdaptation, unadapted_warning
from bids_app.normative.harmonise.adaptation_posterior import Sums, posterior
from bids_app.normative.note_findings import kind_of
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV
from tests.normative.gaussian_model import REGIONS, GaussianModel

MODEL = GaussianModel()
SHIFT = np.array([0.8, -0.5, 0.3, 0.0])


def scans(n, seed, scanner="A", shift=SHIFT, scale=1.0):
    """People of a scanner whose z are N(shift, scale^2) in each region."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{scanner}{i:03d}" for i in range(n)],
            "scanner": scanner,
            "age": rng.uniform(25, 65, n),
            "sex": rng.choice(["female", "male"], n),
            ETIV: 1.5e6,
        }
    )
    volumes = MODEL.median(table) + 10 * (shift + scale * rng.normal(size=(n, 4)))
    return table.assign(**dict(zip(REGIONS, volumes.T)))


def adapted_z(adaptation, data):
    shift, scale, _ = adaptation.parameters(data, REGIONS)
    return (MODEL.deviations(data).z - shift) / scale


def test_a_known_shift_and_scale_are_recovered_from_many_controls():
    adaptation = SiteAdaptation.fit(MODEL, scans(2000, 1, scale=1.5))
    new = scans(3000, 2, scale=1.5)
    shift, scale, se = adaptation.parameters(new, REGIONS)
    np.testing.assert_allclose(shift[0], SHIFT, atol=0.1)
    np.testing.assert_allclose(scale[0], 1.5, rtol=0.05)
    np.testing.assert_allclose(se[0], 1.5 / np.sqrt(2000), rtol=0.05)
    z = adapted_z(adaptation, new)
    assert np.mean(z < -1.96) == pytest.approx(0.025, abs=0.005)


@pytest.mark.parametrize("n_controls", [2, 5, 20])
def test_tails_and_standard_errors_are_honest_with_few_controls(n_controls):
    """Over scanners drawn from the prior, 2.5 % of new people are below -1.96 whatever the controls."""
    rng = np.random.default_rng(3)
    n_sites, p = 3000, 40
    true = rng.normal(0, 0.4, (n_sites, p))
    within = np.full(p, 1 - 0.4**2)
    z = true[:, None] + np.sqrt(within) * rng.normal(size=(n_sites, n_controls, p))
    sums = Sums(np.full(true.shape, float(n_controls)), z.sum(1), (z**2).sum(1), (z**2).sum(1))
    shift, scale, se = posterior(sums, np.full(p, 0.4), within)
    new = (true + np.sqrt(within) * rng.normal(size=true.shape) - shift) / scale
    assert np.mean(new < -1.96) == pytest.approx(0.025, abs=0.002)
    assert np.sqrt(np.mean((shift - true) ** 2)) == pytest.approx(np.sqrt(np.mean(se**2)), rel=0.05)
    raw = z.mean(1)
    assert np.mean((shift - true) ** 2) < np.mean((raw - true) ** 2)


def test_a_scanners_spread_is_learnt_from_all_regions_together():
    """20 controls know little about the spread in one region, but much about the scanner's."""
    rng = np.random.default_rng(20)
    z = 1.5 * rng.normal(size=(20, 60))
    people = Sums.by_person(z, np.arange(20), 20).summed().row()
    scale = posterior(people, np.full(60, 0.4), np.ones(60)).scale
    assert 1.35 < scale.mean() < 1.55
    assert scale.std() < 0.5 * z.std(axis=0, ddof=1).std()


def test_a_control_is_scored_as_if_they_had_not_been_one():
    controls = scans(12, 4)
    whole = SiteAdaptation.fit(MODEL, controls)
    others = SiteAdaptation.fit(MODEL, controls.drop(index=5))
    for mine, expected in zip(
        whole.parameters(controls.iloc[[5]], REGIONS), others.parameters(controls.iloc[[5]], REGIONS)
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-10)
    assert whole.n_controls(controls).tolist() == [11] * 12
    assert whole.n_controls(scans(1, 9).assign(participant_id="sub-new")).tolist() == [12]


def test_repeated_scans_of_a_person_count_once_and_are_left_out_together():
    first = scans(10, 5)
    repeated = pd.concat([first, first.iloc[[0]], first.iloc[[0]]], ignore_index=True)
    once, thrice = SiteAdaptation.fit(MODEL, first), SiteAdaptation.fit(MODEL, repeated)
    new = scans(3, 6).assign(participant_id=["x", "y", "z"])
    for a, b in zip(once.parameters(new, REGIONS), thrice.parameters(new, REGIONS)):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    without = SiteAdaptation.fit(MODEL, first.iloc[1:])
    np.testing.assert_allclose(
        thrice.parameters(repeated.iloc[[0, 10]], REGIONS)[0],
        without.parameters(repeated.iloc[[0, 10]], REGIONS)[0],
        rtol=1e-10,
    )
    assert thrice.levels["all"].n_scans == 12
    assert len(thrice.levels["all"].people) == 10


def test_scanners_have_their_own_shift_and_an_unknown_one_none():
    controls = pd.concat([scans(200, 7, "A"), scans(200, 8, "B", shift=-SHIFT)], ignore_index=True)
    adaptation = SiteAdaptation.fit(MODEL, controls, by="scanner")
    new = pd.concat([scans(1, 9, key) for key in "ABC"], ignore_index=True)
    new["participant_id"] = ["p", "q", "r"]
    new.loc[3] = new.loc[2].where(new.columns != "scanner", np.nan)
    shift, scale, se = adaptation.parameters(new, REGIONS)
    np.testing.assert_allclose(shift, [SHIFT, -SHIFT, 0 * SHIFT, 0 * SHIFT], atol=0.25)
    assert (scale[2:] == 1).all()
    assert (se[2:] == SITE_TAIL * adaptation.site_sd).all()
    notes = adaptation.notes(new)
    assert notes[0] == ""
    assert "no control was scanned on 'C'" in notes[2]
    assert "scanner is not known" in notes[3]
    assert adaptation.n_controls(new).tolist() == [200, 200, 0, 0]


def test_a_missing_region_of_one_control_changes_that_region_only():
    controls = scans(8, 10)
    holed = controls.copy()
    holed.loc[2, REGIONS[1]] = np.nan
    table = SiteAdaptation.fit(MODEL, holed).report()
    assert table["n"].tolist() == [8, 7, 8, 8]
    assert list(table.columns) == list(REPORT_COLUMNS)
    assert np.isfinite(table.drop(columns=["scanner", "region"])).all(axis=None)


def test_a_failed_segmentation_among_the_controls_moves_the_shift_little():
    controls = scans(20, 21)
    broken = controls.copy()
    broken.loc[0, REGIONS[0]] = 0.0
    shifts = [SiteAdaptation.fit(MODEL, table).report()["shift"] for table in (controls, broken)]
    assert abs(shifts[1][0] - shifts[0][0]) < 0.5
    np.testing.assert_allclose(shifts[1][1:], shifts[0][1:], atol=0.1)


def test_regions_may_be_asked_for_in_any_order_and_unknown_ones_stay_unadapted():
    adaptation = SiteAdaptation.fit(MODEL, scans(30, 11))
    new = scans(2, 12).assign(participant_id=["x", "y"])
    shift = adaptation.parameters(new, REGIONS)[0]
    some = adaptation.parameters(new, (REGIONS[2], "unknown", REGIONS[0]))
    np.testing.assert_array_equal(some[0], np.column_stack([shift[:, 2], [0, 0], shift[:, 0]]))
    assert (some[1][:, 1] == 1).all()
    assert np.isnan(some[2][:, 1]).all()


def test_json_round_trip_keeps_estimates_but_nobodys_z():
    controls = scans(9, 13)
    adaptation = SiteAdaptation.fit(MODEL, controls, by="scanner")
    text = json.dumps(adaptation.to_dict(), allow_nan=False)
    for value in MODEL.deviations(controls).z.ravel():
        assert f"{value:.8g}" not in text
    again = SiteAdaptation.from_dict(json.loads(text))
    new = scans(2, 14).assign(participant_id=["x", "y"])
    for mine, expected in zip(again.parameters(new, REGIONS), adaptation.parameters(new, REGIONS)):
        np.testing.assert_allclose(mine, expected, rtol=1e-8)
    assert again.to_dict() == adaptation.to_dict()
    assert "was not left out" in again.notes(controls)[0]
    assert "was not left out" not in adaptation.notes(controls)[0]
    with pytest.raises(InputError, match="estimate it anew"):
        SiteAdaptation.from_dict({"format": "something"})


def test_notes_warn_of_few_controls_and_of_ages_and_sexes_that_they_do_not_cover():
    controls = scans(3, 15).assign(sex="female", age=[30.0, 32.0, 35.0])
    adaptation = SiteAdaptation.fit(MODEL, controls)
    new = scans(1, 16).assign(participant_id="x", age=70.0, sex="male")
    (note,) = adaptation.notes(new)
    assert "3 controls only" in note
    assert "age 70.0 is far outside the 30 to 35 years" in note
    assert "no male control" in note


def test_scores_without_adaptation_come_with_a_warning_in_numbers():
    assert "does not know (often 0.4 SD)" in unadapted_warning(MODEL)
    assert "FreeSurfer" not in unadapted_warning(MODEL)
    packaged = unadapted_warning(load_model("open-calibrated"))
    assert "known (6, 7)" in packaged
    assert "--adapt-controls" in packaged


def test_controls_that_cannot_be_used_are_an_error():
    controls = scans(3, 17)
    with pytest.raises(InputError, match="no column 'machine'"):
        SiteAdaptation.fit(MODEL, controls, by="machine")
    with pytest.raises(InputError, match="no control has a value"):
        SiteAdaptation.fit(MODEL, controls.assign(scanner=np.nan), by="scanner")
    with pytest.raises(InputError, match="none of the 3 controls"):
        SiteAdaptation.fit(MODEL, controls.assign(age=np.nan))
    closed = GaussianModel()
    closed.card = replace(closed.card, adaptation_allowed=False)
    with pytest.raises(ModelError, match="does not allow"):
        SiteAdaptation.fit(closed, controls)


def test_ages_beyond_the_controls_do_not_bias_the_shift():
    """Old people on a scanner with young controls: the model's age effect is not taken for a shift."""
    controls = scans(400, 18)
    controls = controls[controls["age"] < 35]
    old = scans(400, 19)
    old = old[old["age"] > 55].assign(participant_id="new")
    z = adapted_z(SiteAdaptation.fit(MODEL, controls), old)
    assert np.abs(z.mean(0)).max() < 0.4


def test_controls_of_one_sex_widen_the_other_sexs_standard_error_only():
    adaptation = SiteAdaptation.fit(MODEL, scans(12, 17).assign(sex="female"))
    new = scans(2, 18).assign(participant_id=["x", "y"], sex=["female", "male"])
    shift, scale, se = adaptation.parameters(new, REGIONS)
    np.testing.assert_array_equal(shift[0], shift[1])
    np.testing.assert_array_equal(scale[0], scale[1])
    np.testing.assert_allclose(se[1], np.hypot(se[0], OTHER_SEX_SD))
    assert f"widened by {OTHER_SEX_SD}" in adaptation.notes(new)[1]
    assert kind_of(adaptation.notes(new)[1]) == "controls-of-one-sex"
    assert "control was scanned" not in adaptation.notes(new)[0]


def test_a_scanner_without_controls_has_the_heavy_tails_of_scanners_in_its_standard_error():
    adaptation = SiteAdaptation.fit(MODEL, scans(12, 19), by="scanner")
    _, _, se = adaptation.parameters(scans(1, 20, scanner="B"), REGIONS)
    np.testing.assert_allclose(se[0], SITE_TAIL * adaptation.site_sd)
    packaged = load_model("open-calibrated").subset(("Left-Thalamus",))
    people = pd.DataFrame({"age": [30.0], "sex": ["female"], ETIV: [1.45e6], "Left-Thalamus": [7000.0]})
    unadapted = packaged.deviations(people).z_se[0, 0]
    assert unadapted > 1.1 * packaged.site_sd(("Left-Thalamus",))[0]


def test_a_region_without_controls_has_the_spread_between_scanners_with_its_tails():
    """As a scanner without controls has: the region's z says no more of the shift than another scanner's."""
    zeros = np.zeros((1, 2))
    n = np.array([[0.0, 4.0]])
    sums = Sums(n, zeros, zeros + n, zeros + n)
    found = posterior(sums, np.array([0.3, 0.3]), np.ones(2))
    assert found.shift[0, 0] == 0
    assert found.scale[0, 0] == 1
    assert found.se[0, 0] == pytest.approx(SITE_TAIL * 0.3)
    assert found.se[0, 1] < 0.3


def test_tables_without_age_sex_or_scanner_are_adapted_and_the_lack_is_said():
    adaptation = SiteAdaptation.fit(MODEL, scans(12, 4))
    bare = scans(3, 5).assign(participant_id=list("xyz"))[["participant_id"]]
    assert adaptation.notes(bare) == ("", "", "")
    shift, _, _ = adaptation.parameters(bare, REGIONS)
    np.testing.assert_allclose(shift, np.tile(adaptation.report()["shift"], (3, 1)))
    by_scanner = SiteAdaptation.fit(MODEL, scans(12, 4), by="scanner")
    assert by_scanner.notes(bare) == ("not adapted to the scanner: the scanner is not known.",) * 3
    assert by_scanner.n_controls(bare).tolist() == [0, 0, 0]


def test_the_report_numbers_its_rows_and_gives_the_means():
    controls = pd.concat([scans(5, 7, "A"), scans(3, 8, "B")], ignore_index=True)
    table = SiteAdaptation.fit(MODEL, controls, by="scanner").report()
    assert table.index.tolist() == list(range(8))
    assert table["scanner"].tolist() == ["A"] * 4 + ["B"] * 4
    assert table["n"].tolist() == [5] * 4 + [3] * 4
    z = MODEL.deviations(controls).z
    np.testing.assert_allclose(table["mean_z"], np.concatenate([z[:5].mean(0), z[5:].mean(0)]))
    np.testing.assert_allclose(table["mean_z_after"], (table["mean_z"] - table["shift"]) / table["scale"])


@pytest.mark.parametrize("wrong", [{"format": "other"}, {"format_version": 0}])
def test_another_format_or_version_is_refused(wrong):
    values = SiteAdaptation.fit(MODEL, scans(5, 4)).to_dict()
    assert SiteAdaptation.from_dict(values).regions == REGIONS
    with pytest.raises(InputError, match="estimate it anew"):
        SiteAdaptation.from_dict({**values, **wrong})


@pytest.mark.parametrize(("n", "words"), [(1, "on 1 control only"), (2, "on 2 controls only")])
def test_few_controls_are_counted(n, words):
    new = scans(1, 16).assign(participant_id="x", age=50.0, sex="female")
    controls = scans(n, 15).assign(sex="female", age=50.0)
    assert words in SiteAdaptation.fit(MODEL, controls).notes(new)[0]


def test_limits_of_the_notes():
    new = scans(1, 16).assign(participant_id="x", sex="female")
    for n, few in ((adaptation_module.FEW_CONTROLS - 1, True), (adaptation_module.FEW_CONTROLS, False)):
        controls = scans(n, 15).assign(sex="female", age=np.linspace(30, 50, n))
        adaptation = SiteAdaptation.fit(MODEL, controls)
        assert ("controls only" in adaptation.notes(new.assign(age=40.0))[0]) is few
    margin = adaptation_module.AGE_MARGIN
    for age, far in ((30 - margin, False), (50 + margin, False), (29.9 - margin, True), (50.1 + margin, True)):
        assert ("far outside" in adaptation.notes(new.assign(age=age))[0]) is far
    assert adaptation.notes(new.assign(age=np.nan)) == ("",)


class OfSites(GaussianModel):
    """With a spread of sites of every kind."""

    def site_sd(self, regions):
        return np.array([0.3, 0.0, -0.5, np.nan])[: len(regions)]


@pytest.mark.parametrize(
    ("harmonisation", "within"),
    [
        ("none", [0.91, 0.84, 0.84, 0.84]),
        ("full: location and scale", [1.0] * 4),
        ("site as a batch effect", [1.0] * 4),
    ],
)
def test_the_spread_of_sites_and_what_it_leaves(harmonisation, within):
    model = OfSites()
    model.card = replace(model.card, harmonisation=harmonisation)
    adaptation = SiteAdaptation.fit(model, scans(5, 4))
    np.testing.assert_allclose(adaptation.site_sd, [0.3, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(adaptation.within, within)
    assert "shifts z by 0.40 SD (typical region)" in unadapted_warning(model)
    np.testing.assert_allclose(adaptation_module._within(model, np.array([2.0]))[0] < 1, harmonisation == "none")
