"""Scans that no z can be given to are left out with their reason; the others are scored, both levels end to end."""

import json

import pytest

from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.findings import kinds
from bids_app.freesurfer.synthetic import write_subject
from bids_app.tables import read_json, read_table

PEOPLE = {"01": (30, "F"), "02": (40, "M"), "03": (50, "F"), "04": (2, "M"), "05": (33, "F"), "06": (61, "M")}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Both levels on six people: 01 and 05 fine, and the others each with a trouble of its own."""
    root = tmp_path_factory.mktemp("unfit")
    bids, out = root / "bids", root / "out"
    bids.mkdir()
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "t", "BIDSVersion": "1.9.0"}))
    rows = [f"sub-{label}\t{age}\t{sex}" for label, (age, sex) in PEOPLE.items()]
    (bids / "participants.tsv").write_text("\n".join(["participant_id\tage\tsex", *rows]) + "\n")
    trees = bids / "derivatives" / "freesurfer"
    etiv = {"02": 4.0e5}
    for number, label in enumerate(PEOPLE):
        (bids / f"sub-{label}" / "anat").mkdir(parents=True)
        thalamus = 0.0 if label == "05" else 7000.0 + number
        write_subject(trees / f"sub-{label}", {"Left-Thalamus": thalamus}, etiv=etiv.get(label, 1.5e6))
    # FastSurfer's segmentation without its surfaces: no eTIV, no cortex
    seg = trees / "sub-03"
    text = (seg / "stats" / "aseg.stats").read_text()
    kept = [line for line in text.splitlines(keepends=True) if "# Measure" not in line]
    (seg / "stats" / "aseg+DKT.stats").write_text("".join(kept))
    for name in ("aseg.stats", "lh.aparc.stats", "rh.aparc.stats"):
        (seg / "stats" / name).unlink()
    # the right hemisphere of somebody else
    stranger = write_subject(root / "other", {}, etiv=1.7e6)
    right = (stranger / "stats" / "rh.aparc.stats").read_text().replace("other", "sub-06")
    (trees / "sub-06" / "stats" / "rh.aparc.stats").write_text(right)
    arguments = [str(bids), str(out)]
    codes = [main([*arguments, "participant", "--recon", "ingest", "--nprocs", "1"]), main([*arguments, "group"])]
    return out, codes


def test_the_others_are_scored_and_the_codes_say_omissions(outputs):
    out, codes = outputs
    assert codes == [exitcodes.OMISSIONS, exitcodes.OMISSIONS]
    assert {path.name for path in out.glob("sub-*.html")} >= {"sub-01.html", "sub-05.html"}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("02", "400 cm^3 is outside 600 to 2,600 cm^3"),
        ("03", "no estimated total intracranial volume"),
        ("04", "more than a year below 3.5"),
        ("06", "are not of one brain"),
    ],
)
def test_each_is_left_out_with_its_reason_and_a_remedy(outputs, label, words):
    status = read_json(outputs[0] / "logs" / "status" / f"sub-{label}.json")
    assert status["status"] == "omitted"
    assert words in status["reason"]
    assert status["remedy"]


def test_a_volume_of_zero_is_a_finding_and_has_no_z(outputs):
    out, _ = outputs
    table = read_table(out / "sub-05" / "anat" / "sub-05_desc-deviations_morph.tsv").set_index("region")
    assert table["z"].isna()["Left-Thalamus"]
    summary = read_json(out / "sub-05" / "anat" / "sub-05_desc-summary_morph.json")
    found = {item["kind"]: item["seen"] for item in summary["findings"]}
    assert found["value-impossible"] == "left thalamus is 0"
    assert set(found) <= set(kinds())
    assert read_table(out / "group_findings.tsv")["kind"].isin(list(kinds())).all()


def test_a_technical_failure_is_out_of_the_group_unless_it_is_asked_for(outputs):
    out, _ = outputs
    assert read_json(out / "sub-05" / "anat" / "sub-05_desc-summary_morph.json")["quality"]["technical"] == "fail"
    assert read_table(out / "group_deviations.tsv")["participant_id"].tolist() == ["sub-01"]
    flow = read_table(out / "group" / "group_flow.tsv").set_index("step")["n_scans"]
    assert (flow["found"], flow["scored"], flow["kept"]) == (6, 2, 1)
    bids = str(out.parent / "bids")
    assert main([bids, str(out), "group", "--include-quality", "fail"]) == exitcodes.OMISSIONS
    assert read_table(out / "group_deviations.tsv")["participant_id"].tolist() == ["sub-01", "sub-05"]


def test_a_verdict_in_both_options_is_a_wrong_command(outputs, capsys):
    out, _ = outputs
    both = ["--include-quality", "fail", "--exclude-quality", "warn", "fail"]
    assert main([str(out.parent / "bids"), str(out), "group", *both]) == exitcodes.USAGE
    assert "fail is in both" in capsys.readouterr().err


def test_the_methods_paragraph_names_program_and_version(outputs):
    text = (outputs[0] / "CITATION.md").read_text()
    assert "FreeSurfer's recon-all (Fischl 2012)" in text
    assert "normative model open-calibrated" in text
