import numpy as np
import pandas as pd

from bids_app.clinical.analyses.group_tables import (
    TABLE_STEPS,
    cohort_table,
    counts_table,
    expected_table,
    flow_table,
    inclusion_table,
    quality_table,
    scan_table,
    site_table,
)
from bids_app.clinical.deviations import expected_count
from bids_app.clinical.results import describe


def summary(label, session=None, n_infra=3, holes=20):
    return {
        "participant_id": label,
        "session_id": session,
        "covariates": {"age": 41.0, "sex": "female", "etiv_mm3": 1.4e6},
        "counts": {"n_regions": 82, "n_infra": n_infra, "n_supra": 1, "n_total": n_infra + 1},
        "quality": {"verdict": "pass", "metrics": {"holes": holes, "edited": False, "note": "x"}},
        "freesurfer": {"version": "7.4.1"},
        "model": {"name": "open", "version": "1.0"},
    }


def status(label, state, stage=None):
    return {"participant_id": label, "session_id": None, "status": state, "stage": stage, "reason": "r"}


def test_a_scan_table_has_one_row_per_summary():
    table = scan_table([summary("sub-01", "ses-1"), summary("sub-02", "ses-1", 5)])
    assert list(table["n_infra"]) == [3, 5]
    assert list(table["model"]) == ["open 1.0", "open 1.0"]
    assert describe(table)


def test_an_incomplete_summary_does_not_stop_the_group():
    assert scan_table([{"participant_id": "sub-01"}])["n_infra"].isna().all()


def test_the_flow_of_a_table_has_no_step_of_freesurfer():
    inclusion = inclusion_table(
        [status("sub-1", "scored"), status("sub-2", "omitted", "covariates"), status("sub-3", "omitted", "volumes")]
    )
    flow = flow_table(inclusion, TABLE_STEPS)
    assert flow["step"].tolist() == ["found", "covariates", "scored"]
    assert flow["n_scans"].tolist() == [3, 2, 1]


def test_the_flow_adds_up():
    inclusion = inclusion_table(
        [
            status("sub-04", "scored"),
            status("sub-01", "omitted", "FreeSurfer"),
            status("sub-02", "omitted", "covariates"),
            status("sub-03", "failed", "score"),
        ]
    )
    flow = flow_table(inclusion)
    assert list(inclusion["participant_id"]) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert list(flow["step"]) == ["found", "complete", "covariates", "scored", "kept"]
    assert list(flow["n_scans"]) == [4, 3, 2, 1, 1]
    assert list(flow["n_left_out"]) == [0, 1, 1, 1, 0]
    assert describe(flow)


def test_scans_that_quality_keeps_out_were_scored():
    inclusion = inclusion_table([status("sub-1", "scored"), status("sub-2", "excluded", "quality")])
    flow = flow_table(inclusion).set_index("step")
    assert flow["n_scans"].tolist() == [2, 2, 2, 2, 1]


def test_groups_follow_the_whole_cohort():
    scans = scan_table([summary("sub-01"), summary("sub-02", n_infra=9)]).assign(group=["MS", "HC"])
    assert list(cohort_table(scans)["group"]) == ["all", "HC", "MS"]
    counts = counts_table(scans)
    assert counts.query("group == 'HC' and tail == 'infra'")["mean"].item() == 9
    assert describe(counts)
    assert describe(cohort_table(scans))
    assert list(cohort_table(scans.drop(columns="group"))["group"]) == ["all"]


def test_a_site_offset_shows():
    scans = scan_table([summary(f"sub-{i}") for i in range(4)]).assign(site=["A", "A", "B", "B"])
    z = pd.DataFrame({"Left-Thalamus": [1.0, 1.0, 0.0, 0.0], "Left-Caudate": [-1.0, -1.0, 0.0, np.nan]})
    table = site_table(scans, z).set_index("site")
    assert table.loc["A", "mean_abs_shift"] == 1.0
    assert table.loc["B", "mean_abs_shift"] == 0.0
    assert describe(table.reset_index())


def test_an_extreme_quality_value_is_an_outlier():
    usual = [summary(f"sub-{i:02}", holes=20 + i) for i in range(11)]
    table = quality_table([*usual, summary("sub-99", holes=300)])
    assert list(table.loc[table["outlier"], "participant_id"]) == ["sub-99"]
    assert set(table["metric"]) == {"holes"}
    assert quality_table([]).empty
    assert describe(table)


def test_the_cohort_counts_people_beside_scans():
    scans = scan_table([summary("sub-01", f"ses-{i}") for i in (1, 2, 3)] + [summary("sub-02", "ses-1")])
    scans["age"], scans["sex"] = [40.0, 41.0, 42.0, 30.0], ["female"] * 3 + ["male"]
    row = cohort_table(scans).iloc[0]
    assert row[["n_participants", "n_scans", "n_female"]].tolist() == [2, 4, 1]
    assert row[["age_mean", "age_max"]].tolist() == [35.0, 40.0]
    changed = cohort_table(scans.assign(group=["MS", "HC", "HC", "HC"]))
    assert changed.set_index("group")["n_participants"].to_dict() == {"all": 2, "MS": 1, "HC": 1}


def test_one_expected_range_wherever_a_count_is_shown():
    told = summary("sub-01")
    told["counts"]["expected"] = {
        f"n_{tail}": {"mean": 3.0, "low": 0.0, "high": 14.0} for tail in ("infra", "supra", "total")
    }
    other = summary("sub-02")
    other["counts"]["n_regions"] = 41
    scans = scan_table([told, other])
    expected = expected_table(scans, [told, other])
    assert expected["infra_high"].tolist() == [14, expected_count(41, "infra").high]
    counts = counts_table(scans.iloc[:1], expected.iloc[:1]).set_index("tail")
    assert counts.loc["infra", ["expected_mean", "expected_high"]].tolist() == [3.0, 14.0]
