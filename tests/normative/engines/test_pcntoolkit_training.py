"""What PCNtoolkit is asked for when a model is trained: every part, with a package that only writes down its calls."""

from __future__ import annotations

import json
import stat
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError, UsageError
from bids_app.normative.card import ModelCard
from bids_app.normative.engines import pcntoolkit_training as training
from bids_app.normative.engines.pcntoolkit_load import CITATION
from bids_app.normative.engines.pcntoolkit_training import PCNtoolkitOptions as Options
from bids_app.regions import ETIV

CARD = ModelCard(name="pcn", version="1", title="t", summary="s", licence="CC0-1.0", date="2026-01-01", sites=7)
REGIONS = ("Left-Thalamus", "lh_insula_volume")


class Package:
    """Every name is a maker of (name, positional arguments, keyword arguments)."""

    def __getattr__(self, name):
        return lambda *arguments, **options: (name, arguments, options)


def basis(name, **options):
    return (name, (), {"basis_column": 0, **options})


def prior(**options):
    return ("make_prior", (), options)


def normal(mean, sd, **options):
    return prior(dist_name="Normal", dist_params=(mean, sd), **options)


def people(n=60):
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(7000, 500, n) for name in REGIONS}
    return pd.DataFrame(
        {
            "age": np.linspace(10, 80, n),
            "sex": ["female", "male", "male"] * (n // 3),
            ETIV: np.linspace(1.2e6, 1.8e6, n),
            "site": ["a", "b"] * (n // 2),
            **columns,
        }
    )


BSPLINE = basis("BsplineBasisFunction", nknots=5)
BLR = {
    "name": "template",
    "fixed_effect": True,
    "heteroskedastic": True,
    "fixed_effect_var": True,
    "warp_name": "WarpSinhArcsinh",
    "warp_reparam": True,
    "basis_function_mean": BSPLINE,
    "basis_function_var": BSPLINE,
    "optimizer": "l-bfgs-b",
}
QUIET = {"heteroskedastic": False, "fixed_effect_var": False}


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({}, {}),
        ({"warp": False}, {"warp_name": None, "warp_reparam": False}),
        ({"heteroscedastic": False}, QUIET),
        ({"effects_in_variance": False}, {"fixed_effect_var": False}),
        ({"heteroscedastic": False, "effects_in_variance": False}, QUIET),
    ],
)
def test_a_linear_regression_is_asked_for(options, differs):
    assert training._template(Package(), Options(**options)) == ("BLR", (), {**BLR, **differs})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"knots": 7}, basis("BsplineBasisFunction", nknots=7)),
        ({"basis": "polynomial"}, basis("PolynomialBasisFunction", degree=3)),
        ({"basis": "linear"}, basis("LinearBasisFunction")),
        ({"basis": "fractional-polynomial"}, basis("FractionalPolynomialBasisFunction", order=2, powers=[0.5, 1.0])),
        (
            {"basis": "fractional-polynomial", "powers": (3.0,)},
            basis("FractionalPolynomialBasisFunction", order=1, powers=[3.0]),
        ),
    ],
)
def test_the_basis_is_the_one_of_the_options(options, expected):
    assert training._basis(Package(), Options(**options)) == expected


MU = prior(
    linear=True,
    slope=normal(0.0, 5.0),
    intercept=prior(random=True, mu=normal(0.0, 1.0), sigma=prior(dist_name="HalfNormal", dist_params=(1.0,))),
    basis_function=BSPLINE,
)
SIGMA = prior(
    linear=True,
    slope=normal(0.0, 2.0),
    intercept=normal(1.0, 1.0),
    basis_function=basis("LinearBasisFunction"),
    mapping="softplus",
    mapping_params=(0.0, 3.0),
)
CONSTANT = prior(dist_name="HalfNormal", dist_params=(1.0,))
SHAPE = {"epsilon": normal(0.0, 1.0), "delta": normal(1.0, 1.0, mapping="softplus", mapping_params=(0.0, 3.0, 0.6))}


@pytest.mark.parametrize(
    ("options", "likelihood"),
    [
        ({}, ("SHASHbLikelihood", (MU, SIGMA), SHAPE)),
        ({"heteroscedastic": False}, ("SHASHbLikelihood", (MU, CONSTANT), SHAPE)),
        ({"warp": False}, ("NormalLikelihood", (MU, SIGMA), {})),
    ],
)
def test_a_hierarchical_regression_is_asked_for(options, likelihood):
    expected = {
        "name": "template",
        "likelihood": likelihood,
        "draws": 500,
        "tune": 500,
        "chains": 2,
        "cores": 1,
        "progressbar": False,
        "nuts_sampler": "pymc",
    }
    assert training._template(Package(), Options(model="hbr", **options)) == ("HBR", (), expected)
    found = training._template(Package(), Options(model="hbr", draws=3, tune=4, chains=5, **options))
    assert found == ("HBR", (), {**expected, "draws": 3, "tune": 4, "chains": 5})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "hbr"},
        {"exact_gradient": True},
        {"basis": "fractional-polynomial", "powers": (1.0,)},
        {"basis": "fractional-polynomial", "powers": (1.0, 2.0, 3.0)},
        {"basis": "linear", "powers": ()},
    ],
)
def test_possible_options_are_accepted(tmp_path, options):
    ten = tuple("abcdefghij")
    training._check_options(Options(**options), tmp_path / "new", ten)
    training._check_options(Options(**options), tmp_path, ten)
    training._check_options(Options(), tmp_path, (*ten, "k"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "gam"}, "unknown model 'gam'"),
        ({"basis": "wavelet"}, "basis 'wavelet'"),
        ({"model": "hbr"}, "at most 10 regions"),
        ({"exact_gradient": True, "warp": False}, "exact gradient"),
        ({"exact_gradient": True, "heteroscedastic": False}, "exact gradient"),
        ({"basis": "fractional-polynomial", "powers": ()}, "one to three powers"),
        ({"basis": "fractional-polynomial", "powers": (1.0, 2.0, 3.0, 3.0)}, "one to three powers"),
    ],
)
def test_each_impossible_option_is_refused(tmp_path, options, reason):
    with pytest.raises(UsageError, match=reason):
        training._check_options(Options(**options), tmp_path, tuple("abcdefghijk"))


def test_the_exact_gradient_is_not_that_of_a_hierarchical_model(tmp_path):
    with pytest.raises(UsageError, match="exact gradient"):
        training._check_options(Options(model="hbr", exact_gradient=True), tmp_path, REGIONS)


def test_a_place_that_is_taken_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="not an empty folder"):
            training._check_options(Options(), place, REGIONS)


def test_complete_rows_are_in_decades_and_litres():
    table = people(54)
    table.loc[0, "age"] = np.nan
    table.loc[1, REGIONS[1]] = np.nan
    table["site"] = None
    data = training._complete_rows(table, REGIONS, Options())
    assert data.columns.tolist() == ["age", "sex", ETIV, *REGIONS]
    assert data.index.tolist() == list(range(52))
    np.testing.assert_allclose(data["age"], table["age"][2:] / 10)
    np.testing.assert_allclose(data[ETIV], table[ETIV][2:] / 1e6)
    table.loc[2:4, "sex"] = None
    with pytest.raises(ModelError, match="49 complete rows are too few"):
        training._complete_rows(table, REGIONS, Options())
    table.loc[2, "sex"] = "male"
    assert len(training._complete_rows(table, REGIONS, Options())) == 50
    with pytest.raises(ModelError, match="0 complete rows"):
        training._complete_rows(table, REGIONS, Options(site_effect=True))
    with pytest.raises(ModelError, match=r"no column age, site$"):
        training._complete_rows(people().drop(columns=["site", "age"]), REGIONS, Options(site_effect=True))


class Regression:
    def __init__(self, calls, region, broken):
        self.calls, self.region, self.broken = calls, region, broken

    def fit(self, *arguments):
        if self.region == self.broken:
            raise RuntimeError("no minimum")
        self.calls.append((self.region, arguments))


class Toolkit:
    """`NormativeModel` of PCNtoolkit as far as the training asks it."""

    broken = ""

    def __init__(self, template, **options):
        self.template, self.options, self.calls, self.steps = template, options, [], []

    def register_data_info(self, data):
        self.steps.append(("registered", data))

    def preprocess(self, data):
        self.steps.append(("preprocessed", data))

    def extract_data(self, data):
        return f"x {data}", "codes", "maps", f"y {data}", "z"

    def __getitem__(self, region):
        return Regression(self.calls, region, self.broken)

    def save(self, folder):
        self.saved = folder
        from pathlib import Path

        for name in ("results", "plots", "model/Left-Thalamus"):
            (Path(folder) / name).mkdir(parents=True)
        (Path(folder) / "model" / "normative_model.json").write_text(json.dumps({"save_dir": folder, "name": "x"}))


class Data:
    def __init__(self, name, table, **options):
        self.name, self.table, self.options = name, table, options

    def sel(self, which):
        return which["response_vars"]


@pytest.fixture
def package():
    made = []

    def toolkit(template, **options):
        made.append(Toolkit(template, **options))
        return made[-1]

    package = Package()
    package.made = made
    package.NormData = SimpleNamespace(from_dataframe=Data)
    package.NormativeModel = toolkit
    return package


@pytest.mark.parametrize(
    ("options", "effects", "scaler"),
    [
        ({}, ["sex"], "standardize"),
        ({"site_effect": True}, ["sex", "site"], "standardize"),
        ({"basis": "fractional-polynomial"}, ["sex"], "none"),
    ],
)
def test_regions_are_fitted_one_by_one(package, tmp_path, options, effects, scaler):
    said, data = [], people()
    model = training._fitted(package, data, tmp_path / "m", REGIONS, Options(**options), said.append)
    assert model.is_fitted is True
    assert model.template == training._template(Package(), Options(**options))
    assert model.options == {
        "savemodel": False,
        "evaluate_model": False,
        "saveresults": False,
        "saveplots": False,
        "save_dir": str(tmp_path / "m"),
        "inscaler": scaler,
        "outscaler": "standardize",
        "name": "m",
    }
    (first, given), (second, same) = model.steps
    assert (first, second, given) == ("registered", "preprocessed", same)
    assert given.table is data
    assert given.options == {"covariates": ["age", ETIV], "batch_effects": effects, "response_vars": list(REGIONS)}
    assert model.calls == [(name, (f"x {name}", "codes", "maps", f"y {name}")) for name in REGIONS]
    assert said == ["Left-Thalamus fitted, 1 of 2", "lh_insula_volume fitted, 2 of 2"]


def test_the_exact_gradient_takes_the_place_of_the_toolkits_search(package, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(training.pcntoolkit_gradient, "fit", lambda *given: called.append(given[1:]))
    options = Options(exact_gradient=True)
    model = training._fitted(package, people(), tmp_path, REGIONS[:1], options, lambda _: None)
    assert called == [("x Left-Thalamus", "codes", "maps", "y Left-Thalamus")]
    assert model.calls == []


def test_a_failure_names_its_region(package, tmp_path, monkeypatch):
    monkeypatch.setattr(Toolkit, "broken", "lh_insula_volume")
    with pytest.raises(ModelError, match=r"failed on lh_insula_volume \(RuntimeError: no minimum\)"):
        training._fitted(package, people(), tmp_path, REGIONS, Options(), lambda _: None)


def test_paths_of_this_machine_are_taken_out(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "plots").mkdir()
    part = tmp_path / "model" / "Left-Thalamus"
    part.mkdir(parents=True)
    root, region, other = part.parent / "normative_model.json", part / "regression_model.json", part / "other.json"
    root.write_text(json.dumps({"save_dir": "/here", "name": "x", "kept": 1}))
    region.write_text(json.dumps({"model": {"idata_path": "/here/idata.nc", "a": 1}, "name": "y"}))
    other.write_text(json.dumps({"model": {"a": 1}}))
    training._tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert json.loads(root.read_text()) == {"save_dir": ".", "name": None, "kept": 1}
    assert json.loads(region.read_text()) == {"model": {"idata_path": "idata.nc", "a": 1}, "name": "y"}
    assert json.loads(other.read_text()) == {"model": {"a": 1}}


@pytest.mark.parametrize(
    ("options", "sites", "covariates", "harmonisation"),
    [
        ({}, 7, "sex", "none"),
        ({"site_effect": True}, 2, "sex, site", "site as a batch effect"),
        ({"effects_in_variance": False}, 7, "sex, in the mean alone", "none"),
    ],
)
def test_the_card_is_filled_in(monkeypatch, options, sites, covariates, harmonisation):
    monkeypatch.setattr(training, "describe", lambda model: f"kind of {model}")
    table = people()
    data = training._complete_rows(table, REGIONS, Options(site_effect=True))
    card = CARD if not options else ModelCard(**{**vars(CARD), "citations": (CITATION,)})
    document = training._card_document(card, "model", data, Options(**options))
    assert (document["format"], document["scale"]) == ("normvol-pcntoolkit", {"age": 10.0, ETIV: 1e6})
    assert document["options"] == {**training.asdict(Options()), **options}
    found = document["card"]
    sexes = {sex: table[table["sex"] == sex] for sex in ("female", "male")}
    assert found["n"] == {"female": 20, "male": 40}
    for name, column in (("age_range", "age"), ("etiv_range", ETIV)):
        for sex, rows in sexes.items():
            assert found[name][sex] == pytest.approx([rows[column].min(), rows[column].max()], rel=1e-12)
    assert (found["engine"], found["mode"], found["transform"]) == ("pcntoolkit", "calibrated", "kind of model")
    assert (found["sites"], found["harmonisation"]) == (sites, harmonisation if options else card.harmonisation)
    assert found["covariates"].endswith(f"(mm^3); batch effects: {covariates}")
    assert found["citations"] == [CITATION]


@pytest.fixture
def trained(package, monkeypatch):
    monkeypatch.setattr(training, "pcntoolkit", lambda: package)
    monkeypatch.setattr(training, "describe", lambda model: "described")
    monkeypatch.setattr(training, "load_pcntoolkit_model", lambda folder: ("loaded", folder))

    def run(table, folder, options=None):
        return training.train_pcntoolkit(table, folder, REGIONS, CARD, options)

    return run


def test_the_folder_appears_when_all_is_done(trained, package, tmp_path):
    folder = tmp_path / "deep" / "model"
    assert trained(people(), str(folder)) == ("loaded", folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["model"]
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    document = json.loads((folder / "card.json").read_text())
    assert document["options"] == json.loads(json.dumps(training.asdict(Options())))
    assert "site_versions" not in document
    (tmp_path / "empty").mkdir()
    trained(people(), tmp_path / "empty")
    assert (tmp_path / "empty" / "card.json").is_file()


def test_versions_of_sites_are_kept_where_they_are_an_effect(trained, tmp_path):
    table = people().assign(fs_version=["7.4.1", "n/a"] * 30)
    trained(table, tmp_path / "with", Options(site_effect=True))
    assert json.loads((tmp_path / "with" / "card.json").read_text())["site_versions"] == {"a": "7"}
    trained(table, tmp_path / "without")
    assert "site_versions" not in json.loads((tmp_path / "without" / "card.json").read_text())
    trained(people(), tmp_path / "unversioned", Options(site_effect=True))
    assert "site_versions" not in json.loads((tmp_path / "unversioned" / "card.json").read_text())


def test_nothing_is_left_of_a_training_that_failed(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Toolkit, "broken", "Left-Thalamus")
    with pytest.raises(ModelError, match="failed on"):
        trained(people(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_defaults_of_the_options():
    assert training.asdict(Options()) == {
        "model": "blr",
        "basis": "bspline",
        "knots": 5,
        "powers": (0.5, 1.0),
        "heteroscedastic": True,
        "warp": True,
        "site_effect": False,
        "effects_in_variance": True,
        "exact_gradient": False,
        "draws": 500,
        "tune": 500,
        "chains": 2,
    }


def test_a_site_of_two_versions_has_none():
    rows = [("b", "7.4.1"), ("b", "7.1.0"), ("a", "6.0.0"), ("c", "6.0.0"), ("c", "7.1.0"), ("d", None), ("e", None)]
    table = pd.DataFrame([*rows, ("e", "8.1.0"), (np.nan, "7.1.0")], columns=["site", "fs_version"])
    assert training.site_versions(table) == {"a": "6", "b": "7", "e": "8"}
    assert list(training.site_versions(table)) == ["a", "b", "e"]
