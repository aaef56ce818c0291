"""Models of PCNtoolkit score as PCNtoolkit itself does, quietly, and from any folder that it saved."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import CovariateError, ModelError, UsageError
from bids_app.normative.base import NormativeModel
from bids_app.normative.card import ModelCard
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV

pytestmark = pytest.mark.slow

REGIONS = ("Left-Thalamus", "lh_insula_volume")
CARD = ModelCard(name="pcn", version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01")


def people(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, male, site = rng.uniform(10, 80, n), rng.integers(0, 2, n), rng.choice(["a", "b", "c"], n)
    etiv = rng.normal(1.45e6, 1e5, n) + 1.5e5 * male
    shift = pd.Series(site).map({"a": 0, "b": 200, "c": -150}).to_numpy()
    noise = rng.normal(0, 1, n) * (300 + 3 * age)
    return pd.DataFrame(
        {
            "age": age,
            "sex": np.where(male, "male", "female"),
            ETIV: etiv,
            "site": site,
            "Left-Thalamus": 4000 + 0.0025 * etiv - 12 * age + shift + noise,
            "lh_insula_volume": 3000 + 0.003 * etiv - 9 * age + shift + noise * 0.8,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit

    path = tmp_path_factory.mktemp("pcn") / "model"
    train_pcntoolkit(people(240), path, REGIONS, CARD, PCNtoolkitOptions(site_effect=True))
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder)


def z_by_pcntoolkit(folder, data: pd.DataFrame) -> np.ndarray:
    from pcntoolkit import NormativeModel as Toolkit
    from pcntoolkit import NormData

    toolkit = Toolkit.load(str(folder))
    scaled = data.assign(age=data["age"] / 10, **{ETIV: data[ETIV] / 1e6})
    norm_data = NormData.from_dataframe(
        "x",
        scaled,
        covariates=list(toolkit.covariates),
        batch_effects=list(toolkit.unique_batch_effects),
        response_vars=list(REGIONS),
    )
    toolkit.compute_zscores(norm_data)
    return norm_data.Z.sel(response_vars=list(REGIONS)).to_numpy()


def test_z_is_what_pcntoolkit_computes(model, folder):
    data = people(50, seed=1)
    found = model.deviations(data)
    assert isinstance(model, NormativeModel)
    assert found.regions == REGIONS
    np.testing.assert_allclose(found.z, z_by_pcntoolkit(folder, data), atol=1e-10, rtol=0)


def test_volumes_are_the_inverse_of_z(model):
    data = people(20, seed=2)
    found = model.deviations(data)
    np.testing.assert_allclose(model.volumes_at(data, found.z, found.regions), found.observed, rtol=1e-9)
    np.testing.assert_allclose(model.volumes_at(data, np.zeros((20, 2)), REGIONS), found.expected, rtol=1e-12)


def test_scoring_writes_nothing(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(folder.rglob("*"))
    model.deviations(people(5))
    assert sorted(folder.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_no_path_of_this_machine_and_no_person_is_in_the_folder(folder):
    for path in folder.rglob("*.json"):
        text = path.read_text()
        assert str(folder.parent) not in text
        assert len(text) < 300_000


def test_an_unknown_site_gets_the_mean_over_sites_and_less_certainty(model):
    data = people(10, seed=3)
    known, unknown = model.deviations(data), model.deviations(data.assign(site="new"))
    each = np.mean([model.deviations(data.assign(site=site)).z for site in "abc"], axis=0)
    np.testing.assert_allclose(unknown.z, each)
    assert (unknown.z_se > known.z_se).all()
    assert all("site unknown" in note for note in unknown.notes)
    assert not any("site unknown" in note for note in known.notes)
    without = model.deviations(data.drop(columns="site"))
    np.testing.assert_allclose(without.z, unknown.z)


def test_unknown_sites_can_be_refused(folder):
    from bids_app.normative.engines.pcntoolkit_load import load_pcntoolkit_model

    strict = load_pcntoolkit_model(folder, unknown_sites="refuse")
    with pytest.raises(ModelError, match=r"does not know the site\(s\) new; it knows"):
        strict.deviations(people(4).assign(site="new"))


def test_site_adaptation_brings_a_new_site_home(model):
    from bids_app.normative.harmonise.adaptation import SiteAdaptation

    data = people(120, seed=4).assign(site="new")
    data[list(REGIONS)] += 400
    adaptation = SiteAdaptation.fit(model, data[:40])
    raw, adapted = model.deviations(data[40:]), model.deviations(data[40:], adaptation)
    assert abs(adapted.z.mean()) < 0.35 < abs(raw.z.mean())


def test_scans_without_covariates_are_not_scored_and_say_so(model):
    data = people(3)
    data.loc[0, "age"] = np.nan
    data.loc[1, "sex"] = None
    found = model.deviations(data)
    assert np.isnan(found.z[:2]).all()
    assert np.isfinite(found.z[2]).all()
    assert "not scored" in found.notes[0]
    with pytest.raises(CovariateError, match=ETIV):
        model.deviations(data.drop(columns=ETIV))
    with pytest.raises(ModelError, match="none of the 2 regions"):
        model.deviations(data.drop(columns=list(REGIONS)))


def test_a_missing_volume_leaves_the_others(model):
    data = people(3)
    data.loc[0, "Left-Thalamus"] = np.nan
    found = model.deviations(data)
    assert np.isnan(found.z[0, 0])
    assert np.isfinite(found.z[0, 1])


def test_covariates_out_of_range_are_flagged_in_our_units(model):
    found = model.deviations(people(2).assign(age=[95.0, 40.0]))
    assert found.in_range[:, 0].tolist() == [False, True]
    assert "age 95 is outside" in found.notes[0]


def test_the_card_says_what_is_done_to_z(model):
    assert model.card.engine == "pcntoolkit"
    assert model.card.sites == 3
    assert "heteroscedastic" in model.card.transform
    assert "batch effects: sex, site" in model.card.covariates


def toolkit_save(path: Path, covariates, effects, data, **options) -> Path:
    """A folder that PCNtoolkit itself saved."""
    from pcntoolkit import BLR, NormData
    from pcntoolkit import NormativeModel as Toolkit

    toolkit = Toolkit(
        BLR(fixed_effect=bool(effects)),
        savemodel=True,
        evaluate_model=False,
        saveresults=False,
        saveplots=False,
        save_dir=str(path),
        inscaler="standardize",
        outscaler="standardize",
        **options,
    )
    toolkit.fit(
        NormData.from_dataframe(
            "x", data, covariates=covariates, batch_effects=effects, response_vars=["Left-Thalamus"]
        )
    )
    return path


def test_a_folder_saved_by_pcntoolkit_itself_is_understood(tmp_path):
    data = people(100).rename(columns={ETIV: "eTIV"}).assign(sex=lambda d: d["sex"].str[0].str.upper())
    folder = toolkit_save(tmp_path / "own", ["age", "eTIV"], ["sex"], data, y_transform="log")
    found = load_model(folder).deviations(people(10, seed=5))
    from pcntoolkit import NormativeModel as Toolkit
    from pcntoolkit import NormData

    new = people(10, seed=5).rename(columns={ETIV: "eTIV"}).assign(sex=lambda d: d["sex"].str[0].str.upper())
    norm_data = NormData.from_dataframe(
        "x", new, covariates=["age", "eTIV"], batch_effects=["sex"], response_vars=["Left-Thalamus"]
    )
    Toolkit.load(str(folder)).compute_zscores(norm_data)
    np.testing.assert_allclose(found.z, norm_data.Z.to_numpy(), atol=1e-10, rtol=0)


def test_columns_that_are_not_understood_are_refused_until_the_card_says(tmp_path):
    data = people(100).rename(columns={"age": "jahre"}).assign(sex=lambda d: (d["sex"] == "male").astype(int))
    folder = toolkit_save(tmp_path / "own", ["jahre", ETIV], ["sex"], data)
    with pytest.raises(ModelError, match="jahre"):
        load_model(folder)
    card = {"format": "normvol-pcntoolkit", "columns": {"jahre": "age"}}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="which is female"):
        load_model(folder)
    (folder / "card.json").write_text(json.dumps({**card, "levels": {"sex": {"0": "female", "1": "male"}}}))
    assert np.isfinite(load_model(folder).deviations(people(5)).z).all()


@pytest.mark.parametrize("damage", ["truncate", "kind", "empty", "card"])
def test_damaged_folders_are_model_errors(folder, tmp_path, damage):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    part = copy / "model" / "Left-Thalamus" / "regression_model.json"
    if damage == "truncate":
        part.write_text(part.read_text()[:500])
    elif damage == "kind":
        part.write_text(part.read_text().replace('"type": "BLR"', '"type": "os"'))
    elif damage == "card":
        (copy / "card.json").write_text("{}")
    else:
        shutil.rmtree(copy / "model")
    with pytest.raises(ModelError):
        load_model(copy)


@pytest.mark.parametrize("file", ["Left-Thalamus/regression_model.json", "normative_model.json"])
@pytest.mark.parametrize("key", ["warp_name", "type"])
def test_names_that_would_be_evaluated_are_refused(folder, tmp_path, file, key):
    """PCNtoolkit evaluates the name of a warp, and looks classes up by name."""
    mark = tmp_path / "mark"
    evil = f"Warp if open({str(mark)!r}, 'w') else Warp"
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / "model" / file
    content = json.loads(path.read_text())
    part = content.get("model") or content["template_regression_model"]
    part[key] = evil
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="none of PCNtoolkit"):
        load_model(copy)
    assert not mark.exists()


def test_impossible_options_are_refused(tmp_path):
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit

    with pytest.raises(UsageError, match="unknown model"):
        train_pcntoolkit(people(60), tmp_path / "m", REGIONS, CARD, PCNtoolkitOptions(basis="wavelet"))
    with pytest.raises(UsageError, match="at most 10"):
        train_pcntoolkit(people(60), tmp_path / "m", tuple("abcdefghijkl"), CARD, PCNtoolkitOptions(model="hbr"))
    with pytest.raises(ModelError, match="too few"):
        train_pcntoolkit(people(20), tmp_path / "m", REGIONS, CARD)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="not an empty folder"):
        train_pcntoolkit(people(60), tmp_path / "full", REGIONS, CARD)


@pytest.mark.parametrize("basis", ["linear", "polynomial", "fractional-polynomial"])
def test_other_bases_are_trained_and_score(tmp_path, basis):
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit

    options = PCNtoolkitOptions(basis=basis, warp=False, heteroscedastic=False)
    model = train_pcntoolkit(people(150), tmp_path / "m", REGIONS[:1], CARD, options)
    z = model.deviations(people(100, seed=9)).z
    assert abs(z.mean()) < 0.4
    assert 0.7 < z.std() < 1.4


def test_a_read_only_home_is_no_obstacle(folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    script = textwrap.dedent(f"""
        import os, sys
        import pandas as pd
        from bids_app.normative.registry import load_model
        assert "pcntoolkit" not in sys.modules
        model = load_model({str(folder)!r})
        data = pd.DataFrame({{"age": [40.0], "sex": ["male"], "site": ["a"], {ETIV!r}: [1.5e6],
                             "Left-Thalamus": [7500.0]}})
        assert abs(model.deviations(data).z[0, 0]) < 5
        assert os.environ["PCN_HOME_DIR"].startswith(os.environ["TMPDIR"])
        assert "base_compiledir" in os.environ["PYTENSOR_FLAGS"]
    """)
    (tmp_path / "tmp").mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PCN_", "XDG_", "MPL", "NUMBA_CACHE", "PYTENSOR"))
    }
    environment = {**kept, "HOME": str(home), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(home.iterdir()) == []
    assert list((tmp_path / "tmp").glob("normvol-pcntoolkit-*")) == []


def test_a_hierarchical_model_is_trained_and_scores(tmp_path):
    from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions, train_pcntoolkit

    options = PCNtoolkitOptions(
        model="hbr", basis="linear", warp=False, heteroscedastic=False, draws=60, tune=100, chains=1
    )
    model = train_pcntoolkit(people(80), tmp_path / "m", REGIONS[:1], CARD, options)
    data = people(40, seed=6)
    found = model.deviations(data)
    assert "Hierarchical" in model.card.transform
    assert abs(found.z.mean()) < 0.6
    assert 0.6 < found.z.std() < 1.6
    larger = model.deviations(data.assign(**{REGIONS[0]: data[REGIONS[0]] + 500}))
    assert (larger.z > found.z).all()
