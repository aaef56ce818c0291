"""The Python interface: three lines from a table to z, and everything else that ``bids_app`` offers."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import bids_app
from bids_app import adapt, api, brain_map, centiles, load_model, plot_centiles, read_subject, score
from bids_app.errors import FreeSurferError, InputError, UsageError
from bids_app.freesurfer.synthetic import write_subject
from bids_app.normative import base
from bids_app.regions import ETIV
from bids_app.workbench.score import ScoreConfig, score_table

HEALTHY = {"Left-Thalamus": 7700.0, "Right-Thalamus": 7400.0}


@pytest.fixture(scope="module")
def demo_subject(tmp_path_factory):
    volumes = {"Left-Thalamus": 6840.0, "Right-Thalamus": 6700.0}
    return write_subject(tmp_path_factory.mktemp("fs") / "sub-01_ses-1", volumes, etiv=1.46e6, fs_version="7.4.1")


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "participant_id": ["007", "008", "009"],
            "age": [34.2, 58.0, 41.0],
            "sex": ["F", "M", "F"],
            ETIV: [1.46e6, 1.62e6, np.nan],
            "Left-Thalamus": [7700.0, 5900.0, 7000.0],
            "scanner": [1.0, 2.0, np.nan],
        },
        index=[10, 20, 30],
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*bids_app.__all__, "Picture"])
def test_the_example_of_every_docstring_gives_what_it_shows(name, demo_subject, tmp_path):
    globs = {"demo_subject": demo_subject, "folder": tmp_path}
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs=globs)
    assert example.examples or name == "Picture"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", api.FindingWarning)
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0


def test_the_package_offers_what_it_names_and_nothing_is_imported_before():
    code = "import sys, bids_app; print('pandas' in sys.modules, sorted(set(dir(bids_app)) & set(bids_app.__all__)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"False {sorted(bids_app.__all__)}"
    with pytest.raises(AttributeError, match="nothing"):
        bids_app.nothing  # noqa: B018


def test_the_stub_names_the_same(repository):
    stub = (repository / "bids_app" / "__init__.pyi").read_text()
    assert [name for name in bids_app.__all__ if f"import {name} as {name}" not in stub] == []


def test_every_public_argument_is_typed():
    for name in bids_app.__all__:
        signature = inspect.signature(getattr(api, name))
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(one.annotation is not inspect.Parameter.empty for one in signature.parameters.values())


def test_three_lines_give_the_numbers_of_the_command(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    score_table(ScoreConfig(table=tmp_path / "t.csv", output=str(tmp_path / "z.tsv")), lambda _: None)
    told = pd.read_csv(tmp_path / "z.tsv", sep="\t")["Left-Thalamus"]
    np.testing.assert_allclose(score(table).to_frame()["Left-Thalamus"], told, rtol=1e-11)
    np.testing.assert_allclose(score(tmp_path / "t.csv").z[:, 0], told, rtol=1e-11)


def test_frames_keep_the_index_and_the_identifiers_of_the_table(table):
    found = score(table)
    wide, long = found.to_frame(), found.to_long()
    assert list(wide.index) == list(table.index)
    assert wide["participant_id"].tolist() == ["007", "008", "009"]
    assert wide["Left-Thalamus"].isna().tolist() == [False, False, True]
    assert found.to_frame("centile").loc[20, "Left-Thalamus"] < 1
    assert long["deviation"].fillna("").tolist() == ["none", "infra", ""]
    assert set(long["unit"]) == {"mm^3"}
    assert list(long.index) == list(table.index)
    assert "eTIV" in found.notes[2] or "intracranial" in found.notes[2]


def test_a_table_of_pandas_own_types_scores_alike(table):
    numbers = score(table).z
    odd = table.convert_dtypes().astype({"sex": "category"})
    np.testing.assert_array_equal(score(odd).z, numbers)
    np.testing.assert_array_equal(score(table.set_index("participant_id")).z, numbers)
    before = table.copy()
    score(table)
    pd.testing.assert_frame_equal(table, before)


def test_codes_and_names_are_told_by_arguments(table):
    coded = table.assign(sex=[2, 1, 2]).rename(columns={"age": "Age at MRI"})
    found = score(coded, mapping={"age": "Age at MRI"}, sex_coding={1: "male", 2: "female"})
    np.testing.assert_array_equal(found.z, score(table).z)
    with pytest.raises(UsageError, match="'F'"):
        score(coded, sex_coding={2: "F"})


def test_what_can_change_a_number_is_a_warning_with_every_finding(table):
    with pytest.warns(api.FindingWarning, match="no brain has") as caught:
        score(table.assign(**{"Left-Thalamus": [7.7, 5900, 7000]}))
    assert [finding.kind for finding in caught[0].message.findings] == ["value-impossible"]


def people(n, shift):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"age": rng.uniform(20, 60, n), "sex": ["female", "male"] * (n // 2), ETIV: 1.5e6})
    model = load_model()
    z = rng.normal(shift, 1, (n, len(HEALTHY)))
    return table.assign(**dict(zip(HEALTHY, model.volumes_at(table, z, tuple(HEALTHY)).T)))


def test_an_adaptation_takes_the_scanners_shift_out():
    controls, patients = people(30, 1.5), people(40, 1.5).iloc[30:].reset_index(drop=True)
    adaptation = adapt(controls)
    assert abs(score(controls, adaptation=adaptation).z.mean()) < 0.3
    assert score(patients, adaptation=adaptation).z.mean() < score(patients).z.mean() - 1


def test_people_without_names_are_known_by_their_values_not_by_their_row():
    table = people(32, 0.0)
    controls, other = table.iloc[:31], table.iloc[31:].reset_index(drop=True)
    adaptation = adapt(controls)
    full = dict(zip(adaptation.regions, adaptation.report()["shift"], strict=True))
    shifts = (score(other).z - score(other, adaptation=adaptation).z * adaptation.report()["scale"].to_numpy())[0]
    np.testing.assert_allclose(shifts, list(full.values()))
    own = (score(controls).z - score(controls, adaptation=adaptation).z * adaptation.report()["scale"].to_numpy())[0]
    assert not np.allclose(own, list(full.values()))


def test_a_subject_is_a_row_that_can_be_scored(demo_subject):
    row = read_subject(demo_subject, age=34.2, sex="F", site="north")
    assert row.shape[0] == 1
    assert row.loc[0, ["participant_id", "session_id", "age", "site"]].tolist() == ["sub-01", "ses-1", 34.2, "north"]
    assert score(row).to_frame().loc[0, "Left-Thalamus"] < -1
    (demo_subject / "scripts" / "recon-all.error").touch()
    with pytest.raises(FreeSurferError, match=r"recon-all\.error"):
        read_subject(demo_subject)
    (demo_subject / "scripts" / "recon-all.error").unlink()


def test_centiles_rise_with_the_percentage_and_unknown_regions_are_named():
    table = centiles(["Left-Thalamus", "lh_insula_volume"], sex="male", ages=[30], percent=[5, 50, 95])
    assert table["region"].tolist() == ["Left-Thalamus", "lh_insula_volume"]
    assert (table["p5"] < table["p50"]).all()
    with pytest.raises(InputError, match="Left-Thalamos"):
        centiles("Left-Thalamos")
    with pytest.raises(UsageError, match="'F'"):
        centiles("Left-Thalamus", sex="F")


def test_pictures_show_in_a_notebook_and_are_written(tmp_path, table):
    fan = plot_centiles("Left-Thalamus", scans=table)
    assert fan._repr_svg_().startswith("<svg")
    assert fan.svg.count("<circle") > plot_centiles("Left-Thalamus").svg.count("<circle")
    long = score(table.iloc[:1]).to_long()
    same = [brain_map(long).svg, brain_map(score(table.iloc[:1]).to_frame()).svg]
    assert same[0] == same[1] == brain_map({"Left-Thalamus": long["z"].iloc[0]}).svg
    assert fan.save(tmp_path / "fan.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="3 rows"):
        brain_map(score(table).to_frame())
    with pytest.raises(UsageError, match="jpg"):
        fan.save(tmp_path / "fan.jpg")


def test_deviations_of_an_engine_have_frames_without_identifiers(table):
    data = table.iloc[:2].assign(sex=["female", "male"])
    found = load_model().deviations(data)
    assert found.to_frame().columns.tolist() == ["Left-Thalamus"]
    assert isinstance(found, base.Deviations)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda table: score(table.iloc[0]), "not Series"),
        (lambda table: score(table, age_units="moons"), "'moons'; it is one of years"),
        (lambda table: score(table.drop(columns="age")), "name it with mapping, age=COLUMN"),
        (lambda table: score(table.assign(sex=[0, 1, 0])), "sex_coding 0=female"),
        (lambda table: score(table).to_frame("size"), "no values 'size'"),
        (lambda table: score(table.iloc[:0]), "no rows"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_this_interface(table, call, words):
    with pytest.raises((InputError, UsageError), match=words):
        call(table)


def test_a_table_whose_index_repeats_and_a_model_without_head_size_work(table):
    assert len(score(table.set_axis([1, 1, 1])).to_long()) == 3
    found = centiles("lh_insula_thickness", "open-thickness", ages=[40])
    assert found["etiv_mm3"].isna().all()
    assert plot_centiles("lh_insula_thickness", "open-thickness").svg.startswith("<svg")
