"""Pickles in the form of PCNtoolkit 0.x score as that version's formulas do."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

from bids_app.errors import ModelError
from bids_app.normative.engines import terms as terms_model
from bids_app.normative.importers.braincharts import KNOTS, import_braincharts
from bids_app.normative.registry import load_model

SITES = ("KCL", "ABCD 1", "ukb")


class WarpSinArcsinh:
    n_params = 2


class WarpBoxCox:
    n_params = 1


class BLR:
    """Attributes as `pcntoolkit.model.bayesreg.BLR` has them after estimation."""


class NormBLR:
    """Attributes as `pcntoolkit.normative_model.norm_blr.NormBLR` has them."""


def design(age, male, site) -> np.ndarray:
    sites = np.array([[float(s == name) for name in SITES] for s in site])
    spline = BSpline.design_matrix(np.asarray(age, dtype=float), np.array(KNOTS), 3).toarray()
    return np.column_stack([np.ones(len(age)), age, male, sites, spline])


def trained(seed: int, warp=True) -> NormBLR:
    rng = np.random.default_rng(seed)
    n = 200
    phi = design(rng.uniform(5, 90, n), rng.integers(0, 2, n), rng.choice(SITES, n))
    blr = BLR()
    blr.hyp = np.array([0.3, -0.2, -0.1, -2.0]) if warp else np.array([0.3, -2.0])
    blr.warp, blr.warp_reparam, blr.n_warp_param = (WarpSinArcsinh(), True, 2) if warp else (None, False, 0)
    beta = np.exp(0.3) / (np.exp(-0.1) ** 2 if warp else 1)
    blr.A = beta * phi.T @ phi + np.exp(-2.0) * np.eye(phi.shape[1])
    blr.m = np.linalg.solve(blr.A, beta * phi.T @ rng.normal(9, 1, n))
    blr.hetero_var, blr.var_groups, blr.N, blr.D = False, None, n, phi.shape[1]
    blr.lambda_n_vec = np.full(n, beta)
    model = NormBLR()
    model.blr, model._model_order = blr, 1
    return model


def z_of_pcntoolkit(blr: BLR, phi: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`BLR.predict` and the z of ``normative.predict`` in PCNtoolkit 0.20."""
    beta = np.exp(blr.hyp[0])
    if blr.warp is not None:
        b = np.exp(blr.hyp[2])
        beta, y = beta / b**2, np.sinh(b * np.arcsinh(y) + blr.hyp[1] * b)
    s2 = 1 / beta + np.sum(phi * np.linalg.solve(blr.A, phi.T).T, axis=1)
    return (y - phi @ blr.m) / np.sqrt(s2)


def write(folder, models: dict) -> None:
    for name, model in models.items():
        (folder / name / "Models").mkdir(parents=True)
        (folder / name / "Models" / "NM_0_0_estimate.pkl").write_bytes(pickle.dumps(model))
    (folder / "sites.txt").write_text("\n".join(SITES) + "\n")


@pytest.fixture
def people():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "age": rng.uniform(10, 85, 8),
            "sex": ["female", "male"] * 4,
            "site": rng.choice(SITES, 8),
            "Left-Thalamus": rng.normal(7000, 500, 8),
            "Left-Hippocampus": rng.normal(4000, 300, 8),
        }
    )


@pytest.mark.parametrize("warp", [True, False])
def test_z_equals_the_formulas_of_the_toolkit(tmp_path, people, warp):
    models = {"Left-Thalamus-Proper": trained(0, warp), "Left-Hippocampus": trained(1, warp)}
    write(tmp_path, models)
    path = terms_model.save(import_braincharts(tmp_path, tmp_path / "sites.txt"), tmp_path / "b.json")
    model = load_model(path)
    assert set(model.regions) == {"Left-Thalamus", "Left-Hippocampus"}
    found = model.deviations(people)
    phi = design(people["age"], people["sex"] == "male", people["site"])
    for j, name in enumerate(found.regions):
        published = "Left-Thalamus-Proper" if name == "Left-Thalamus" else name
        expected = z_of_pcntoolkit(models[published].blr, phi, people[name].to_numpy())
        np.testing.assert_allclose(found.z[:, j], expected, rtol=1e-9)
    np.testing.assert_allclose(model.volumes_at(people, found.z, found.regions), found.observed, rtol=1e-9)


def test_an_unknown_site_is_scored_at_the_mean_of_the_sites_and_is_less_certain(tmp_path, people):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    model = import_braincharts(tmp_path, tmp_path / "sites.txt")
    known, unknown = model.deviations(people), model.deviations(people.drop(columns="site"))
    assert (unknown.z_se > known.z_se).all()
    assert "site unknown" in unknown.notes[0]
    assert "site unknown" not in known.notes[0]


def test_the_card_states_licence_and_the_missing_covariate(tmp_path):
    write(tmp_path, {"Left-Hippocampus": trained(1), "lh_G_cuneus_thickness": trained(2)})
    card = import_braincharts(tmp_path, tmp_path / "sites.txt").card
    assert card.licence == "GPL-3.0"
    assert "NOT intracranial volume" in card.covariates
    assert "head size" in card.z_notes[0]
    assert any("1 models of cortical thickness" in text for text in card.limitations)


def test_a_wrong_list_of_sites_is_refused(tmp_path):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    (tmp_path / "sites.txt").write_text("a\nb\n")
    with pytest.raises(ModelError, match="which is 3 sites; the list of sites has 2"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


def test_other_warps_variance_models_and_scalers_are_refused(tmp_path):
    model = trained(1)
    model.blr.warp = WarpBoxCox()
    write(tmp_path, {"Left-Hippocampus": model})
    with pytest.raises(ModelError, match="WarpBoxCox"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")
    model = trained(1)
    model.blr.hetero_var = True
    (tmp_path / "Left-Hippocampus" / "Models" / "NM_0_0_estimate.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="variance model"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")
    (tmp_path / "Left-Hippocampus" / "Models" / "meta_data.md").write_bytes(pickle.dumps({"inscaler": "standardize"}))
    with pytest.raises(ModelError, match="inscaler"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


@pytest.mark.parametrize("lost", ["hyp", "m", "A"])
def test_an_unfitted_model_is_refused(tmp_path, lost):
    model = trained(1)
    delattr(model.blr, lost)
    write(tmp_path, {"Left-Hippocampus": model})
    with pytest.raises(ModelError):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


def test_an_empty_folder_says_where_the_models_are(tmp_path):
    write(tmp_path, {})
    with pytest.raises(ModelError, match="predictive-clinical-neuroscience/braincharts"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


def rewritten(folder, change):
    """The importer on one model of which `change` made something else."""
    model = trained(1)
    change(model)
    write(folder, {"Left-Hippocampus": model})
    return lambda: import_braincharts(folder, folder / "sites.txt")


def test_without_reparametrisation_the_noise_is_that_of_the_precision(tmp_path, people):
    def change(model):
        model.blr.warp_reparam = False

    imported = rewritten(tmp_path, change)()
    blr = trained(1).blr
    phi = design(people["age"], people["sex"] == "male", people["site"])
    b = np.exp(blr.hyp[2])
    y = np.sinh(b * np.arcsinh(people["Left-Hippocampus"].to_numpy()) + blr.hyp[1] * b)
    s2 = np.exp(-blr.hyp[0]) + np.sum(phi * np.linalg.solve(blr.A, phi.T).T, axis=1)
    np.testing.assert_allclose(imported.deviations(people).z[:, 0], (y - phi @ blr.m) / np.sqrt(s2), rtol=1e-9)


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("blr", "var_groups", np.zeros(3), "variance model or basis"),
        ("model", "_model_order", 2, "variance model or basis"),
        ("blr", "A", np.eye(3), "coefficients, which is 3 sites"),
        ("blr", "m", np.zeros(4), "has 4 coefficients, which is -6 sites"),
        ("blr", "A", -np.eye(13), "lacks parts of a fitted model"),
        ("blr", "warp", {"kind": "text"}, "warp that cannot be converted"),
        ("model", "blr", WarpBoxCox(), "not a Bayesian linear regression"),
        ("model", "blr", {"no": "regression"}, "not a Bayesian linear regression"),
    ],
)
def test_each_part_that_cannot_be_converted_is_refused(tmp_path, part, name, value, reason):
    def change(model):
        setattr(model if part == "model" else model.blr, name, value)

    with pytest.raises(ModelError, match=reason):
        rewritten(tmp_path, change)()


@pytest.mark.parametrize("order", [None, 0, 1])
def test_a_basis_of_first_order_is_what_is_published_whether_stated_or_not(tmp_path, order):
    def change(model):
        model._model_order = order

    assert rewritten(tmp_path, change)().regions == ("Left-Hippocampus",)


@pytest.mark.parametrize("text", ["", "\n \n", "a\nb\na\n"])
def test_an_empty_list_of_sites_or_one_with_repeats_is_refused(tmp_path, text):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    (tmp_path / "sites.txt").write_text(text)
    with pytest.raises(ModelError, match="not a list of sites"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


@pytest.mark.parametrize("meta", [{"inscaler": "None", "outscaler": None}, ["no", "table"], {}])
def test_without_scalers_the_model_is_read(tmp_path, meta):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    (tmp_path / "Left-Hippocampus" / "Models" / "meta_data.md").write_bytes(pickle.dumps(meta))
    card = import_braincharts(tmp_path, tmp_path / "sites.txt").card
    assert (card.sites, card.training[0]["n"]) == (3, 58836)
    assert not any("cortical thickness" in text for text in card.limitations)


def test_a_scaler_of_the_response_is_refused(tmp_path):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    meta = {"inscaler": None, "outscaler": "standardize"}
    (tmp_path / "Left-Hippocampus" / "Models" / "meta_data.md").write_bytes(pickle.dumps(meta))
    with pytest.raises(ModelError, match="says that outscaler were used"):
        import_braincharts(tmp_path, tmp_path / "sites.txt")


def test_the_precision_is_kept_with_twelve_digits(tmp_path):
    write(tmp_path, {"Left-Hippocampus": trained(1)})
    root = import_braincharts(tmp_path, tmp_path / "sites.txt").fits["Left-Hippocampus"].root
    assert all(value == float(f"{value:.12g}") for value in root)
    assert any(value != float(f"{value:.11g}") for value in root)
