"""Files made in the form of BrainChart's become a model, or are refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.errors import ModelError, UsageError
from bids_app.normative.importers.brainchart import import_brainchart, measured_as, read_fit
from bids_app.regions import TOTAL_CEREBRAL
from tests.normative.importers.r_writer import Classed, Vector, write_rds

FP = "bfpNA(AgeTransformed, powers = c({}))"
LEVELS = ["Custom", "FS53", "FS6_T1"]


def part(formula, values, names, sd=0.05):
    fields = {"fixef": Vector(np.array(values), names), "equ": {"fixef": [formula]}}
    return fields if sd is None else {**fields, "sigma": sd}


def made(family="GGalt", levels=LEVELS, powers="-2, 3", sigma_sd=0.1):
    curve = FP.format(powers)
    names = ["(Intercept)", "sexMale", "fs_version1", "fs_version2", f"{curve}1", f"{curve}2", "random(study)"]
    fields = {
        "family": [family],
        "N": 1234,
        "mu": part(f"1 + sex + fs_version + {curve} + 1", [-1.0, 0.1, 0.2, 0.05, -8.0, 1e-4, np.nan], names),
        "sigma": part("1 + sex", [-2.0, 0.01], ["(Intercept)", "sexMale"], sigma_sd),
        "nu": part("1", [0.6], ["(Intercept)"], None),
    }
    attributes = {} if levels is None else {"levels": {"sex": ["Female", "Male"], "fs_version": levels}}
    return {"param": Classed("ParamObj", fields, attributes)}


def test_coefficients_levels_and_spreads_are_read_by_name(tmp_path):
    fit = read_fit(write_rds(tmp_path / "FIT_CaudateTransformed.gz", made()))
    assert fit.levels == pytest.approx({"Custom": 0.2, "FS53": 0.05, "FS6_T1": -0.25})
    assert (fit.n, fit.mu_sd, fit.sigma_sd, fit.nu) == (1234, 0.05, 0.1, 0.6)
    assert (fit.mu.powers, fit.mu.coefficients, fit.mu.male) == ((-2.0, 3.0), (-8.0, 1e-4), 0.1)
    assert fit.sigma.powers == ()


def test_phenotypes_have_freesurfers_columns():
    assert measured_as("bankssts") == (("lh_bankssts_volume", "rh_bankssts_volume"), "mean_bankssts")
    assert measured_as("Thalamus.Proper") == (("Left-Thalamus", "Right-Thalamus"), "mean_Thalamus")
    assert measured_as("CT_bankssts")[1] == "mean_bankssts_thickness"
    assert measured_as("CC_Central") == (("CC_Central",), "CC_Central")
    assert measured_as("GMV") == (("CortexVol",), "CortexVol")
    assert measured_as("SA_insula") == (("lh_insula_area", "rh_insula_area"), "mean_insula_area")
    assert measured_as("TCV")[0] == ("CortexVol", "CerebralWhiteMatterVol")
    assert measured_as("Ventricles") == measured_as("CT") == measured_as("eTIV") == ((), "")


def test_a_folder_becomes_a_model_and_says_what_was_left_out(tmp_path):
    write_rds(tmp_path / "FIT_CaudateTransformed.gz", made())
    write_rds(tmp_path / "FIT_Ventricles.rds", made(sigma_sd=None))
    model = import_brainchart(tmp_path)
    assert model.regions == ("mean_Caudate",)
    assert any("1 phenotypes were left out" in text for text in model.card.limitations)
    assert "NC-ND" in model.card.licence


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"family": "NO"}, "of the family NO"),
        ({"powers": "-2, 3, 3"}, "are not those of its 2 coefficients"),
        ({"levels": LEVELS[:2]}, "2 FreeSurfer versions for 2 effects"),
        ({"levels": None}, "do not name their levels"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path, options, reason):
    write_rds(tmp_path / "FIT_CaudateTransformed.gz", made(**options))
    with pytest.raises(ModelError, match=reason):
        import_brainchart(tmp_path)


def test_other_files_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no FIT_ file"):
        import_brainchart(tmp_path)
    write_rds(tmp_path / "FIT_CaudateTransformed.gz", {"x": np.ones(2)})
    with pytest.raises(ModelError, match="no param"):
        import_brainchart(tmp_path)


def changed(name, formula="1", values=(0.6,), names=("(Intercept)",), sd=None):
    document = made()
    document["param"].fields[name] = part(formula, list(values), list(names), sd)
    return document


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (changed("nu", "1 + sex", (0.6, 0.1), ("(Intercept)", "sexMale")), "formula that cannot be converted"),
        (changed("sigma", "1", (0.6, 0.1), ("(Intercept)", "fs_version1")), "formula that cannot be converted"),
        (changed("sigma", "1", (0.6, 0.1), ("(Intercept)", "handedness")), "sigma has the terms handedness"),
        (changed("sigma", "1", (0.6, 0.1, 0.2), ("(Intercept)", "sexMale")), "lacks parts"),
        (changed("sigma", "1", (np.inf,)), "coefficient of sigma is not finite"),
        (made(powers="-2, 5"), "are not those of its 2 coefficients"),
        (made(powers="3, -2"), "are not those of its 2 coefficients"),
        (made(levels=[*LEVELS, "FS7"]), "4 FreeSurfer versions for 2 effects"),
        ({"param": Classed("ParamObj", {"family": ["GG"]})}, "lacks parts of a fitted model"),
    ],
)
def test_each_part_that_cannot_be_converted_is_refused(tmp_path, document, reason):
    with pytest.raises(ModelError, match=reason):
        read_fit(write_rds(tmp_path / "FIT_CaudateTransformed.gz", document))


def test_both_spellings_of_the_family_and_repeated_powers_are_read(tmp_path):
    fit = read_fit(write_rds(tmp_path / "FIT_Caudate.rds", made(family="GG", powers="3, 3")))
    assert (fit.mu.intercept, fit.mu.powers, fit.combine, fit.columns) == (-1.0, (3.0, 3.0), "mean", ())
    assert (fit.sigma.intercept, fit.sigma.male) == (-2.0, 0.01)


@pytest.mark.parametrize(("sd", "expected"), [(None, None), (0.0, 0.0), ([0.1, 0.2], None), (np.nan, None)])
def test_without_one_finite_spread_of_studies_there_is_none_and_without_sex_no_effect_of_it(tmp_path, sd, expected):
    fit = read_fit(write_rds(tmp_path / "FIT_Caudate", changed("sigma", sd=sd)))
    assert fit.sigma_sd == expected
    assert fit.sigma.male == 0.0


def test_whole_brain_volumes_come_last_and_total_cerebral_is_a_sum(tmp_path):
    for phenotype in ("GMV", "TCV", "Caudate", "Pallidum"):
        write_rds(tmp_path / f"FIT_{phenotype}Transformed.gz", made())
    model = import_brainchart(tmp_path)
    assert model.regions == ("mean_Caudate", "mean_Pallidum", "CortexVol", TOTAL_CEREBRAL)
    combined = {name: (fit.columns, fit.combine) for name, fit in model.fits.items()}
    assert combined["mean_Caudate"] == (("Left-Caudate", "Right-Caudate"), "mean")
    assert combined["CortexVol"] == (("CortexVol",), "sum")
    assert combined[TOTAL_CEREBRAL] == (("CortexVol", "CerebralWhiteMatterVol"), "sum")
    assert "2 regions are means of left and right" in model.card.z_notes[0]
    assert not any("left out" in text for text in model.card.limitations)
    assert (model.card.sites, model.card.training[0]["n"]) == (0, 1234)
    assert model.card.age_range == {"female": (0.0, 100.0), "male": (0.0, 100.0)}


def test_phenotypes_that_are_no_column_are_left_out(tmp_path):
    for phenotype in ("CT_nowhere", "Left-Caudate", "Caudate"):
        write_rds(tmp_path / f"FIT_{phenotype}Transformed.gz", made())
    model = import_brainchart(tmp_path)
    assert model.regions == ("mean_Caudate",)
    assert any("2 phenotypes were left out" in text for text in model.card.limitations)


@pytest.mark.parametrize(
    ("names_of_levels", "level", "versions"),
    [
        (LEVELS, "", ("5.3", "6.0")),
        (["Custom", "FS6_T1", "FS7_T1"], "", ("5.3", "6.0", "7")),
        (LEVELS, "FS6_T1", ()),
        (LEVELS, "MEAN", ()),
        (None, "MEAN", ()),
    ],
)
def test_the_level_is_chosen_by_scan_or_for_all(tmp_path, names_of_levels, level, versions):
    write_rds(tmp_path / "FIT_Caudate.gz", made(levels=names_of_levels))
    model = import_brainchart(tmp_path, level)
    assert (model.level, model.card.fs_versions) == (level, versions)
    assert (f"the level {level} for all scans" if level else "by scan (") in model.card.covariates


def test_a_level_that_the_models_do_not_have_is_refused_with_those_that_they_have(tmp_path):
    write_rds(tmp_path / "FIT_Caudate.gz", made())
    with pytest.raises(UsageError, match=r"FS9 is not a level.*Custom, FS53, FS6_T1"):
        import_brainchart(tmp_path, "FS9")
    write_rds(tmp_path / "FIT_Caudate.gz", made(levels=None))
    with pytest.raises(ModelError, match="do not name their levels"):
        import_brainchart(tmp_path, "FS6_T1")
