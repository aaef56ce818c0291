from functools import partial

import numpy as np
import pandas as pd
import pytest

import bids_app.clinical.analysis as analysis_module
from bids_app.clinical.analyses import group_comparison, score_analyses
from bids_app.clinical.analyses.group_comparison import file_suffixes
from bids_app.clinical.analyses.group_tables import expected_table
from bids_app.clinical.analysis import Analysis
from bids_app.clinical.analysis_file import AnalysisConfig, propose
from bids_app.clinical.cohort import prepare
from bids_app.clinical.figures import BrainMap
from bids_app.clinical.results import found_by, read_result, write_result
from bids_app.clinical.stats.linear import false_discovery
from bids_app.errors import AnalysisError
from tests.clinical.simulated import simulated_cohort

# Groups and scores; the analyses over time have their own tests.
ANALYSES = tuple(
    analysis
    for analysis in analysis_module.ANALYSES
    if analysis.run.__module__ in (group_comparison.__name__, score_analyses.__name__)
)
run_analysis = partial(analysis_module.run_analysis, analyses=ANALYSES)


@pytest.fixture(scope="module")
def cohort():
    return simulated_cohort()


@pytest.fixture(scope="module")
def results(cohort):
    return {result.name: result for result in run_analysis(*cohort, propose(cohort[0])[0])}


def test_everything_that_the_roles_allow_is_computed(results):
    expected = {
        "roles",
        "burden",
        "deviation_prevalence",
        "matching",
        "matching_pairs",
        "case_control",
        "region_differences",
        "scores_counts",
        "scores_counts_longitudinal",
        "scores_regions",
        "scores_regions_longitudinal",
    }
    assert expected <= set(results)
    for name in expected:
        assert list(results[name].table.columns) != ["analysis", "reason"], results[name].sentences


def test_every_result_survives_the_way_to_disk(results, tmp_path):
    for result in results.values():
        back = read_result(write_result(result, tmp_path))
        assert list(back.table.columns) == list(result.table.columns)
        assert back.sentences == result.sentences


def test_a_figure_names_columns_of_its_table(results):
    for result in results.values():
        figure = {} if result.figure is None else result.figure.to_json()
        for key in ("label", "estimate", "low", "high", "facet", "p", "region", "value", "before", "after"):
            assert figure.get(key, result.table.columns[0]) in result.table.columns, (result.name, key)


def test_colours_of_maps_of_shares_start_at_zero_and_of_differences_are_symmetric(results):
    maps = [
        result.figure for result in results.values() if isinstance(result.figure, BrainMap) and result.figure.limits
    ]
    assert {figure.scale for figure in maps} == {"sequential", "diverging"}
    for figure in maps:
        low, high = figure.limits
        assert low == (0.0 if figure.scale == "sequential" else -high)


def test_patients_are_compared_once_each_and_matched(results):
    assert results["matching_pairs"].table["treated"].nunique() == 30
    assert results["case_control"].table["n_control"].unique().tolist() == [30]
    assert (results["region_differences"].table["n_control"] == 30).all()


def test_scores_are_related_in_patients_only(results):
    assert results["scores_counts"].table.set_index("score").loc["edss", "n_people"] == 30
    longitudinal = results["scores_counts_longitudinal"].table.set_index("score")
    assert (longitudinal.loc["edss", "n_scans"] == 90).all()


def test_roles_that_nobody_plays_are_said(cohort):
    results = {result.name: result for result in run_analysis(*cohort, AnalysisConfig())}
    assert "no column has the role diagnosis" in results["case_control"].sentences[0]
    assert "edss or pasat" in results["scores_regions"].sentences[0]
    assert "diagnosis, edss" in results["roles"].sentences[0]


def test_roles_that_somebody_plays_are_not_called_missing(results):
    said = results["roles"].sentences[0].split(" the roles ")[1].split(";")[0].split(", ")
    table = results["roles"].table
    assert said == table.loc[table["column"].isna(), "role"].tolist()
    assert "diagnosis" not in said


def test_each_tail_of_the_burden_is_drawn_beside_its_own_expectation(results):
    burden = results["burden"]
    expected = burden.table.groupby("tail")[burden.figure.null].first()
    assert expected["total"] > 1.9 * expected["infra"]


def test_a_column_that_is_not_there_is_named(cohort):
    config = AnalysisConfig(roles={"edss": "EDSS_total", "diagnosis": "dx"}, control="HC")
    results = {result.name: result for result in run_analysis(*cohort, config)}
    assert "the column EDSS_total (role edss) is not in the cohort" in results["scores_counts"].sentences[0]
    assert results["case_control"].table["irr"].iloc[0] > 1


def test_a_wrong_control_level_is_answered_with_the_levels(cohort):
    results = {
        result.name: result
        for result in run_analysis(*cohort, AnalysisConfig(roles={"diagnosis": "dx"}, control="healthy"))
    }
    assert "the levels are HC, MS" in results["case_control"].sentences[0]


def test_a_failing_analysis_does_not_stop_the_others(cohort):
    def broken(data):
        raise ZeroDivisionError("oops")

    analyses = (Analysis("broken", "Broken", (), broken), ANALYSES[0])
    results = run_analysis(*cohort, AnalysisConfig(), analyses=analyses)
    assert [result.name for result in results] == ["roles", "broken", "burden"]
    assert "unexpected ZeroDivisionError" in results[1].sentences[0]
    assert 'raise ZeroDivisionError("oops")' in results[1].failure
    assert not results[2].failure


def test_too_few_controls_are_compared_without_matching(cohort):
    config = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC", match_ratio=3)
    results = {result.name: result for result in run_analysis(*cohort, config)}
    assert "matching" not in results
    assert results["case_control"].table["n_control"].iloc[0] == 60
    said = " ".join(results["case_control"].sentences)
    assert "60 controls for 30 people, and 3 each" in said
    assert "adjusted for age, sex and etiv_mm3 instead" in said
    assert "linear model with age, sex and etiv_mm3" in results["region_differences"].methods


@pytest.mark.parametrize(
    ("sexes", "why"),
    [(("female", "female"), "is the same for everybody"), (("female", "male"), "tells the groups apart completely")],
)
def test_a_covariate_that_cannot_be_matched_is_left_out_and_said(cohort, sexes, why):
    table, z = cohort
    table = table.assign(sex=np.where(table["dx"] == "MS", *sexes))
    results = {r.name: r for r in run_analysis(table, z, AnalysisConfig(roles={"diagnosis": "dx"}, control="HC"))}
    for name in ("case_control", "region_differences"):
        assert f"not matched for sex: it {why}" in " ".join(results[name].sentences)
    assert set(results["matching"].table["covariate"]) == {"propensity score", "age", "etiv_mm3"}


def test_each_of_several_groups_has_the_same_controls_in_both_comparisons(cohort):
    table, z = cohort
    halves = np.where(table["participant_id"] < "sub-015", "PPMS", "RRMS")
    table = table.assign(dx=np.where(table["dx"] == "MS", halves, "HC"))
    results = {r.name: r for r in run_analysis(table, z, AnalysisConfig(roles={"diagnosis": "dx"}, control="HC"))}
    regional = results["region_differences"].table
    for group in ("PPMS", "RRMS"):
        counts = results[f"case_control_{group}"].table.iloc[0]
        rows = regional[regional["group"] == group]
        assert (rows["n_group"] == counts["n_group"]).all()
        assert (rows["n_control"] == counts["n_control"]).all()
        np.testing.assert_allclose(rows["q"], false_discovery(rows["p"].to_numpy()))


def test_a_group_of_one_does_not_take_the_others_along(cohort):
    table, z = cohort
    lone = table["participant_id"] == table.loc[table["dx"] == "MS", "participant_id"].iloc[0]
    table = table.assign(dx=np.where(lone, "CIS", table["dx"]))
    results = {r.name: r for r in run_analysis(table, z, AnalysisConfig(roles={"diagnosis": "dx"}, control="HC"))}
    assert len(results["case_control_MS"].table)
    assert results["case_control_CIS"].sentences[0].startswith("Not computed: ")


def test_a_region_that_the_cohorts_table_names_too_is_not_lost(cohort):
    table, z = cohort
    config = AnalysisConfig(roles={"diagnosis": "dx", "edss": "edss"}, control="HC")
    named = {r.name: r for r in run_analysis(table.assign(**{z.columns[0]: 1.0}), z, config)}
    assert z.columns[0] in set(named["scores_regions"].table["region"])


def test_several_groups_get_their_own_files(cohort):
    table, z = cohort
    table = table.assign(dx=np.where(table["participant_id"] < "sub-015", "MS type 1", table["dx"]))
    results = run_analysis(table, z, AnalysisConfig(roles={"diagnosis": "dx"}, control="HC"))
    assert {"case_control_MS", "case_control_MStype1", "matching_MS"} <= {result.name for result in results}
    assert len({result.title for result in results}) == len(results)


def test_people_and_controls_of_different_sites_are_counted_unless_matched_within_sites(cohort):
    table, z = cohort
    control = (table["dx"] == "HC").to_numpy()
    table = table.assign(site=np.where(control & (np.arange(len(table)) % 3 == 0), "south", "north"))
    for exact, said in (((), True), (("site",), False)):
        config = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC", match_exact=exact)
        results = {result.name: result for result in run_analysis(table, z, config)}
        assert results["matching"].table is not None
        for name in ("case_control", "region_differences"):
            found = [text for text in results[name].sentences if text.startswith("0 of 30 people and")]
            assert bool(found) == said


def test_counts_follow_the_configuration(cohort):
    data = prepare(*cohort, AnalysisConfig(regions="subcortical", threshold=3.0))
    assert data.scans["n_regions"].eq(14).all()
    stricter = prepare(*cohort, AnalysisConfig())
    assert data.scans["n_infra"].sum() < stricter.scans["n_infra"].sum()


def test_tables_that_do_not_belong_together_are_refused(cohort):
    table, z = cohort
    with pytest.raises(AnalysisError, match="z-scores 149"):
        run_analysis(table, z.iloc[1:], AnalysisConfig())
    with pytest.raises(AnalysisError, match="reference regions"):
        run_analysis(table, pd.DataFrame({"x": np.zeros(len(table))}), AnalysisConfig())


def test_the_same_input_gives_the_same_bytes(cohort, tmp_path):
    config = propose(cohort[0])[0]
    quick = tuple(analysis for analysis in ANALYSES if "longitudinal" not in analysis.name)
    for folder in ("a", "b"):
        for result in run_analysis(*cohort, config, analyses=quick):
            write_result(result, tmp_path / folder)
    first, second = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}
        for folder in ("a", "b")
    )
    assert len(first) > 10
    assert first == second


def study_row(results):
    table = results["scores_counts_longitudinal"].table
    return table[table["effect"] == "study's model"].iloc[0]


@pytest.mark.parametrize("missing", ["impute", "average"])
def test_missing_scores_can_be_imputed(cohort, missing):
    table, z = cohort
    holes = (np.arange(len(table)) % 7 == 2) & (table["dx"] == "MS")
    table, z = table.assign(edss=table["edss"].mask(holes)), z.iloc[:, :6]
    config = AnalysisConfig(roles={"diagnosis": "dx", "edss": "edss"}, control="HC", missing=missing)
    results = {result.name: result for result in run_analysis(table, z, config)}
    row = study_row(results)
    assert row["n_scans"] == 90
    assert f"EDSS: {holes.sum()} of 90 scans" in results["scores_regions"].methods
    assert ("missing_information" in results["scores_counts"].table) == (missing == "impute")
    regional = results["scores_regions_longitudinal"].table
    for _, part in regional.groupby("effect"):
        assert len(part) == 6
        np.testing.assert_allclose(part["q"], false_discovery(part["p"].to_numpy()))
    complete = {r.name: r for r in run_analysis(table, z, AnalysisConfig(roles=config.roles, control="HC"))}
    assert study_row(complete)["n_scans"] == 90 - holes.sum()
    assert row["beta"] == pytest.approx(study_row(complete)["beta"], abs=0.15)


def test_disease_duration_is_never_imputed(cohort):
    table, z = cohort
    table = table.assign(duration=np.where(np.arange(len(table)) % 5 == 0, np.nan, table["age"] - 20))
    config = AnalysisConfig(roles={"disease_duration": "duration"}, missing="impute")
    results = {result.name: result for result in run_analysis(table, z, config)}
    assert study_row(results)["n_scans"] == table["duration"].notna().sum()


def test_what_could_not_be_joined_is_passed_on(cohort):
    visits = cohort[0].copy()
    visits.attrs["notes"] = ["phenotype/relapses.tsv has several rows per visit"]
    roles = run_analysis(*cohort, AnalysisConfig(), visits=visits)[0]
    assert roles.sentences[-1] == "phenotype/relapses.tsv has several rows per visit."


def test_prevalence_is_that_of_first_scans(cohort):
    config = AnalysisConfig(roles={"diagnosis": "dx"}, control="HC", threshold=2.5)
    results = {result.name: result for result in run_analysis(*cohort, config)}
    prevalence = results["deviation_prevalence"]
    assert set(prevalence.table["n"]) == {30, 60}
    assert "z <= -2.5" in prevalence.sentences[0]
    assert prevalence.columns["share_infra"]["Description"] == "Share of people with z <= -2.5, 0 to 1"


@pytest.mark.parametrize(
    "keep",
    [
        lambda table: table["participant_id"] == "sub-000",
        lambda table: (table["participant_id"] == "sub-000") | (table["dx"] == "HC"),
        lambda table: (table["participant_id"] == "sub-040") | (table["dx"] == "MS"),
        lambda table: table["dx"] == "HC",
    ],
)
def test_tiny_and_one_sided_cohorts_end_in_sentences(cohort, keep):
    table, z = cohort
    rows = keep(table).to_numpy()
    config = AnalysisConfig(roles={"diagnosis": "dx", "edss": "edss"}, control="HC")
    results = run_analysis(table[rows], z[rows].iloc[:, :4], config)
    assert not any("unexpected" in sentence for result in results for sentence in result.sentences)


def test_values_that_cannot_be_read_end_in_sentences(cohort):
    table, z = cohort
    config = AnalysisConfig(roles={"diagnosis": "dx", "edss": "edss"}, control="HC", missing="impute")
    for odd in (table.assign(edss="x"), table.assign(age=np.nan), table.assign(dx=None)):
        results = run_analysis(odd, z.iloc[:, :4], config)
        assert not any("unexpected" in sentence for result in results for sentence in result.sentences)
    with pytest.raises(AnalysisError, match="no scan has a z-score"):
        run_analysis(table, z * np.nan, config)
    for constant in (0.0, -5.0):
        results = run_analysis(table, z.iloc[:, :4] * 0 + constant, config)
        assert not any("unexpected" in sentence for result in results for sentence in result.sentences)


def test_the_models_own_yardstick_is_used_where_it_is_given(cohort):
    table, z = cohort
    told = expected_table(pd.DataFrame({"n_regions": np.full(len(table), 82)})).assign(infra_high=3.0, infra_mean=1.5)
    config = AnalysisConfig(roles={"diagnosis": "dx", "edss": "edss"}, control="HC", bootstrap=10)
    results = {r.name: r for r in analysis_module.run_analysis(table, z, config, expected=told)}
    row = results["burden"].table.query("group == 'MS' and region_set == 'all' and tail == 'infra'").iloc[0]
    assert row[["expected", "expected_high"]].tolist() == [1.5, 3.0]
    assert "than 3, the upper end" in " ".join(results["burden"].sentences)
    assert (
        results["risk_groups"].table["definition"].iloc[0].startswith("at least 4 infra-normal deviations, more than")
    )


def test_groups_whose_names_give_one_file_name_keep_their_own_files():
    assert file_suffixes(["MS+", "MS-", "ms", "\u7fa4A", "\u7fa4", "MS2"]) == {
        "MS+": "MS",
        "MS-": "MS2",
        "MS2": "MS22",
        "ms": "ms3",
        "\u7fa4": "group",
        "\u7fa4A": "A",
    }
    names = file_suffixes(["a b", "A-B", "a_b", "ab2"])
    assert len({name.casefold() for name in names.values()}) == 4


def test_several_groups_have_a_term_of_their_own_unless_they_are_pooled(cohort):
    table, z = cohort
    second = (table["participant_id"] < "sub-015").to_numpy() & (table["dx"] == "MS").to_numpy()
    # the second group is worse in both, which relates them
    table = table.assign(dx=np.where(second, "PPMS", table["dx"]), edss=(table["edss"] + 2 * second).clip(upper=9.5))
    z = z - 0.7 * second[:, None]
    roles = {"diagnosis": "dx", "edss": "edss"}
    apart, pooled = (
        {r.name: r for r in run_analysis(table, z, AnalysisConfig(roles=roles, control="HC", pool_groups=pool))}
        for pool in (False, True)
    )
    assert apart["scores_counts"].table["covariates"].iloc[0] == "group"
    betas = [found["scores_regions"].table["beta"].mean() for found in (apart, pooled)]
    assert betas[1] < betas[0] - 0.05
    assert "in one model with a term for the group" in " ".join(apart["scores_counts"].sentences)
    assert "are pooled, as pool_groups asks" in " ".join(pooled["scores_regions"].sentences)


def test_levels_without_a_known_control_are_named_with_what_to_write(cohort):
    table, z = cohort
    coded = table.assign(group=np.where(table["dx"] == "HC", 2, 1)).drop(columns="dx")
    found = {result.name: result for result in run_analysis(coded, z, propose(coded)[0])}
    words = " ".join(found["case_control"].sentences)
    assert "no level of the column group (1 and 2) is known to mean healthy" in words
    assert 'set diagnosis = "group" in [roles] and control in [options]' in words


def test_groups_that_cannot_be_made_alike_are_a_finding(cohort):
    table, z = cohort
    split = table.assign(
        sex=np.where(table["dx"] == "HC", "male", "female"), site=np.where(table["dx"] == "HC", "B", "A")
    )
    found = found_by(run_analysis(split, z, propose(split)[0]))
    said = [finding.seen for finding in found if finding.kind == "groups-compared"]
    assert any("Groups were not matched for sex: it tells the groups apart completely" in words for words in said)
    assert any("are from sites (column site) that the others are not from" in words for words in said)
