"""Files made in the form of BrainChart's become a model, or are refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers.brainchart import import_brainchart, measured_as, read_fit
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
