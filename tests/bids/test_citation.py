"""Every clause of the methods paragraph against the model file and what was run."""

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from bids_app.bids.citation import MethodsFacts, _references, methods_text, model_titles, of_one_person, without_html
from bids_app.normative.engines.native_file import load, save
from bids_app.normative.importers.brain_reference import import_brain_reference
from bids_app.normative.registry import load_model, model_names
from bids_app.normative.structure import structure
from bids_app.regions import counted_regions

IMPORTED = Path(__file__).parents[1] / "data" / "brain_reference"


@pytest.fixture(scope="module", params=[*sorted(set(model_names()) - {"open-blr"}), "imported"])
def model_file(request, tmp_path_factory):
    """A model and its file's content: the packaged ones and an imported one."""
    if request.param != "imported":
        path = files("bids_app.data") / "models" / f"{request.param}.json"
        return load_model(request.param), json.loads(path.read_text(encoding="utf-8"))
    path = save(import_brain_reference(IMPORTED), tmp_path_factory.mktemp("m") / "imported.json")
    return load(path), json.loads(path.read_text())


def facts(model, **run):
    return MethodsFacts(model.card.name, model.card.to_json(), structure(model), model.regions, **run)


def fits(content):
    return [region[sex] for region in content["regions"].values() for sex in ("female", "male")]


def test_the_model_is_named_with_its_people_ages_and_sites(model_file):
    model, content = model_file
    text, card = methods_text(facts(model)), content["card"]
    assert f"the normative model {card['name']} {card['version']}" in text
    total = sum((card.get("n") or {}).values())
    assert (f"trained on {total:,} scans" in text) == bool(total)
    assert (f"from {card.get('sites')} sites" in text) == bool(card.get("sites"))
    assert ("Sites were harmonised" in text) == (card.get("harmonisation", "none") not in ("", "none"))


def test_the_structure_is_that_of_the_parameters(model_file):
    model, content = model_file
    text, every = methods_text(facts(model)), fits(content)
    shared = all(
        region["female"]["coefficients"][1:] == region["male"]["coefficients"][1:]
        and region["female"]["powers"] == region["male"]["powers"]
        for region in content["regions"].values()
    )
    assert ("the sexes share the curve of age" in text) == shared
    assert ("Per sex and region" in text) == (not shared)
    assert ("eTIV squared" in text) == any(fit.get("etiv_power", 1) == 2 for fit in every)
    assert f"up to {max(len(fit['powers']) for fit in every)} terms" in text
    assert ("sinh-arcsinh" in text) == any(fit.get("shape") for fit in every)
    assert ("the spread is constant" in text) == (not any(fit.get("sigma") for fit in every))
    versions = sorted({version for region in content["regions"].values() for version in region.get("versions", {})})
    assert ("Offsets of FreeSurfer" in text) == bool(versions)
    logs = sum(region.get("transform") == "log" for region in content["regions"].values())
    assert (f"the logarithm in {logs} of" in text) == bool(logs)


def test_the_regions_are_those_of_the_model(model_file):
    model, content = model_file
    text = methods_text(facts(model))
    names = set(content["regions"])
    for measure, words in (("volume", "volumes"), ("thickness", "values of mean thickness"), ("area", "areas of")):
        cortical = sum(name.startswith(("lh_", "rh_")) for name in names & set(counted_regions(measure)))
        found = re.findall(rf"{words}[a-z ]* of (\d+) Desikan-Killiany regions|$", text)[0]
        assert found == (str(cortical) if cortical else "")
    assert " of 0 " not in text
    assert ("asymmetries were scored apart" in text) == any(name.startswith("asymmetry_") for name in names)


def test_no_reference_is_there_twice_and_every_citation_has_one(model_file):
    text = methods_text(facts(model_file[0], programs={("fastsurfer", ""): 1}))
    body, _, references = text.partition("## References")
    dois = re.findall(r"10\.\d{4,9}/\S+?(?=[,;]|\s|$)", references)
    assert len(dois) == len(set(dois))
    for name in ("Henschel", "Gorgolewski", "Korbmacher"):
        assert name in body
        assert name in references
    cortex = any(name.startswith(("lh_", "rh_")) for name in model_file[0].regions)
    assert (("Desikan" in body), ("Desikan" in references)) == (cortex, cortex)
    assert ("Royston P, Altman DG" in references) == ("Royston & Altman 1994" in body)


@pytest.mark.parametrize(
    ("name", "first", "scored"),
    [
        ("open-calibrated", "brain volumes", "Grey-matter volumes of 68 Desikan-Killiany regions"),
        ("open-thickness", "values of cortical thickness", "and of 2 hemispheres were scored."),
        ("open-area", "surface areas", "The areas of the white surface of 68 Desikan-Killiany regions"),
        ("open-sums", "brain volumes", "8 volumes of left and right together (Fischl et al. 2002) were scored."),
        (
            "open-calibrated+open-area",
            "brain volumes and surface areas",
            "structures (Fischl et al. 2002) and the areas of",
        ),
    ],
)
def test_a_model_is_said_to_be_of_its_own_measure(name, first, scored):
    text = methods_text(facts(load_model(name)))
    assert f"Regional {first} were compared" in text
    assert scored in text


def test_intracranial_volume_is_named_where_it_is_a_covariate():
    both = load_model("open-calibrated+open-thickness")
    assert "eTIV squared (but in 70 regions) and a fractional" in methods_text(facts(both))
    for name, uses in (("open-thickness", False), ("open-area", True), ("open-blr", False)):
        assert ("linear function of eTIV" in methods_text(facts(load_model(name)))) == uses
    text = methods_text(facts(load_model("open-thickness"), table=True))
    assert "Regional values of cortical thickness, as of FreeSurfer (Fischl 2012), were read from a table." in text
    assert "the spread depends, where the data ask for it, on age" in text


def test_the_second_opinion_says_its_engine_people_and_sites():
    model = load_model("open-blr")
    text = methods_text(facts(model))
    assert f"the normative model open-blr {model.card.version}, trained on 3,536 scans of healthy people" in text
    assert "aged 3.53 to 88 years, from 97 sites. Sites were harmonised: site as a batch effect." in text
    assert "It is a model of the engine pcntoolkit. Warped Bayesian linear regression of 82 regional volumes" in text
    assert "Grey-matter volumes of 68 Desikan-Killiany regions" in text
    assert "sinh-arcsinh distribution" not in text
    assert "doi:10.1162/imag_a_00132" in text.partition("## References")[2]


def test_programs_and_versions_are_those_of_the_scans():
    model = load_model("open-reference")
    programs = {("freesurfer", "6.0.1"): 1, ("freesurfer", "7.4.1"): 12, ("fastsurfer", "2.2.0"): 3}
    text = methods_text(facts(model, programs=programs))
    assert "FreeSurfer's recon-all (Fischl 2012), versions 6.0.1 (1 scan), 7.4.1 (12 scans)" in text
    assert "by FastSurfer (Henschel et al. 2020), version 2.2.0 (3 scans)" in text
    only = methods_text(facts(model, programs={("fastsurfer", ""): 3}))
    assert "recon-all" not in only.partition("## References")[0]


def test_adaptation_scoring_and_statistics_are_said_only_where_they_were_done():
    model = load_model("open-reference")
    plain = methods_text(facts(model))
    assert "local healthy people" not in plain
    done = methods_text(facts(model, controls={"A": 12, "B": 9}, statistics=("Ridits.", "Ridits.", "Probits.")))
    assert "each of 2 scanners against the reference was estimated from 21 local healthy people" in done
    assert done.count("Ridits.") == 1
    assert "Probits." in done
    assert of_one_person(done) == methods_text(facts(model, controls={"A": 12, "B": 9}))
    assert of_one_person(plain) == plain
    assert of_one_person("Written by hand.") == "Written by hand."
    assert of_one_person(None) is None
    compat = methods_text(replace(facts(model), scoring="reference-compat", table=True))
    assert "too small by about 12 %" in compat
    assert "were read from a table" in compat


def test_a_model_without_readable_parameters_says_its_engine_and_summary():
    text = methods_text(
        MethodsFacts("x", {"name": "x", "engine": "terms"}, "It is a model of the engine terms. Words.")
    )
    assert "It is a model of the engine terms. Words." in text
    assert "Royston" not in text


def test_a_card_brings_no_html_into_markdown():
    card = {"name": "<img src=x onerror=alert(1)>", "citations": ["A <script>b</script> 10.1/<x>", "p < 0.05"]}
    text = methods_text(MethodsFacts("m", card))
    assert re.findall(r"<[A-Za-z/!?]", text) == []
    assert "&lt;script>" in text
    assert "p < 0.05" in text


VOLUMES = tuple(counted_regions("volume"))


def clauses(**facts):
    return methods_text(MethodsFacts(**{"model": "m", **facts})).partition("## References")[0]


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ({("freesurfer", "7.4.1"): 1}, "recon-all (Fischl 2012), version 7.4.1 (1 scan)."),
        ({("freesurfer", "7.4.1"): 2}, "recon-all (Fischl 2012), version 7.4.1 (2 scans)."),
        ({("freesurfer", ""): 2}, "segmented by FreeSurfer's recon-all (Fischl 2012)."),
        (
            {("fastsurfer", "2"): 2, ("freesurfer", "7"): 1},
            "by FreeSurfer's recon-all (Fischl 2012), version 7 (1 scan) and by FastSurfer (Henschel et al. 2020), "
            "version 2 (2 scans).",
        ),
    ],
)
def test_each_program(programs, words):
    assert words in clauses(programs=programs)


def test_the_refined_surface_is_counted_over_all_scans():
    one = clauses(programs={("freesurfer", "7"): 1}, pial={"T2w": 1})
    assert "In 1 of 1 scan the pial surface was refined with the T2w image." in one
    both = clauses(programs={("freesurfer", "7"): 3, ("fastsurfer", "2"): 2}, pial={"T2w": 1, "FLAIR": 2})
    assert "In 2 of 5 scans the pial surface was refined with the FLAIR image. In 1 of 5 scans" in both


def test_volumes_of_a_table():
    found = clauses(table=True, regions=VOLUMES, programs={("", "7.4.1"): 3})
    assert (
        "Regional volumes and intracranial volume, as of FreeSurfer (Fischl 2012), were read from a table, "
        "version 7.4.1 (3 scans)." in found
    )
    thickness = clauses(table=True, regions=tuple(counted_regions("thickness")))
    assert "Regional values of cortical thickness, as of FreeSurfer (Fischl 2012), were read from a table." in thickness
    areas = clauses(table=True, regions=(*counted_regions("thickness"), *counted_regions("area")))
    assert "Regional values of cortical thickness, surface areas and intracranial volume, as" in areas


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ((), "Regional volumes (Desikan et al. 2006; Fischl et al. 2002) were scored."),
        (("lh_insula_volume",), "Grey-matter volumes of 1 Desikan-Killiany regions (Desikan et al. 2006) were scored."),
        (
            ("Left-Thalamus",),
            "The volumes of 1 subcortical and cerebellar structures (Fischl et al. 2002) were scored.",
        ),
        (
            ("lh_insula_volume", "Left-Thalamus", "CSF", "asymmetry_Thalamus"),
            "(Fischl et al. 2002) were scored; 1 further volumes and 1 left-right asymmetries were scored apart.",
        ),
        (("CSF",), "1 further volumes were scored."),
        (
            ("lh_insula_thickness", "lh_MeanThickness_thickness"),
            "The values of mean thickness of 1 Desikan-Killiany regions (Desikan et al. 2006) and of 1 hemispheres "
            "were scored.",
        ),
        (
            ("lh_insula_area", "rh_insula_area"),
            "The areas of the white surface of 2 Desikan-Killiany regions (Desikan et al. 2006) were scored.",
        ),
    ],
)
def test_each_kind_of_region(regions, words):
    assert words in " ".join(clauses(regions=regions).split())


def test_scanners_of_the_adaptation():
    assert "The shift of the scanner against the reference was estimated from 5 local healthy people" in clauses(
        controls={"A": 5}
    )
    assert "The shift of each of 2 scanners against the reference was estimated from 7" in clauses(
        controls={"A": 5, "B": 2}
    )
    assert "The shift" not in clauses()


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({}, "The reference is the normative model m."),
        ({"name": "x"}, "The reference is the normative model x."),
        ({"version": "2"}, "The reference is the normative model m 2."),
        ({"n": {"female": 1, "male": 3}}, "m, trained on 4 scans of healthy people (25.0 % female)."),
        ({"n": {"male": 1}}, "m, trained on 1 scans of healthy people (0.0 % female)."),
        ({"n": {"female": 0}, "sites": 3}, "m, from 3 sites."),
        ({"age_range": {"a": [10, 50], "b": [8.25, 40]}}, "m, aged 8.25 to 50 years."),
        ({"harmonisation": "none"}, "model m."),
        ({"harmonisation": "ComBat"}, "model m. Sites were harmonised: ComBat."),
        (
            {"n": {"female": 1000}, "age_range": {"a": [1, 2]}, "sites": 2},
            "m, trained on 1,000 scans of healthy people (100.0 % female), aged 1 to 2 years, from 2 sites.",
        ),
    ],
)
def test_each_part_of_the_model(card, words):
    assert words in " ".join(clauses(card=card).split())


def test_engine_and_scoring():
    assert "Engine of the model: blr." in clauses(card={"engine": "blr"})
    assert "Engine of the model: see the model card." in clauses()
    assert "Engine of the model" not in clauses(structure="It is so.")
    assert "Scoring mode: other." in clauses(scoring="other")
    assert "z is the deviation in standard normal units" in clauses()


def test_a_reference_is_there_once_by_its_doi():
    citations = [
        "A. doi:10.1234/abc.",
        "A again. https://doi.org/10.1234/abc",
        "B. 10.1000/x(1)y, 10.1000/z",
        "No DOI.",
        "No DOI.",
    ]
    found = _references(MethodsFacts("m", {"citations": citations}), "")
    assert found == ["A. doi:10.1234/abc.", "B. 10.1000/x(1)y, 10.1000/z", "No DOI."]
    assert len(_references(MethodsFacts("m"), "Fischl 2012 and ComBat")) == 2
    assert _references(MethodsFacts("m"), "") == []


def test_titles_of_a_card():
    card = {
        "name": "x",
        "licence": "CC0",
        "ages": [1],
        "limitations": [],
        "sites": 0,
        "n": {"female": 1000},
        "age_range": {"male": [1, 20000.5]},
        "age_bands": {"male": {"20": 3}},
        "training": [{"source": "X", "n": 2}, "text"],
        "z_notes": None,
        "harmonisation": {},
        "engine": "",
    }
    assert model_titles(card) == {
        "Name": "x",
        "Licence": "CC0",
        "Sites": 0,
        "People by sex": ["female: 1,000"],
        "Age range by sex (years)": ["male: 1 to 20,000.5"],
        "People by sex and age": ["male: 20 3"],
        "Training": ["source X, n 2", "text"],
    }


def test_only_what_can_be_a_tag_is_no_html():
    assert without_html("a < b, <i>, </i>, <!x>, <?x>, <5") == "a < b, &lt;i>, &lt;/i>, &lt;!x>, &lt;?x>, <5"
