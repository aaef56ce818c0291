import shutil
from pathlib import Path

import pandas as pd
import pytest

from bids_app.errors import InputError
from bids_app.reports.pages.participant import write_participant_report
from bids_app.tables import read_json, read_table, write_json, write_tsv
from tests.reports import dataset

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dataset.write_root(tmp_path)
    return tmp_path


def test_the_report_is_one_small_file_without_references_to_others(derivatives: Path) -> None:
    page = (derivatives / "sub-01.html").read_text()
    assert len(page) < 3_000_000
    for fetched in ("<link", 'src="http', "@import", "url(http", "<iframe"):
        assert fetched not in page
    assert "For research use only" in page
    assert "diagnos" not in page[: page.index('<section id="methods"')].lower()  # a cited title has the word


def test_two_runs_write_the_same_bytes(root: Path) -> None:
    dataset.write_person(root, "01")
    first = write_participant_report(root, "01").read_bytes()
    figures = {path.name: path.read_bytes() for path in (root / "sub-01/figures").iterdir()}
    assert write_participant_report(root, "sub-01").read_bytes() == first
    assert {path.name: path.read_bytes() for path in (root / "sub-01/figures").iterdir()} == figures


def test_figures_have_names_a_person_can_guess(derivatives: Path) -> None:
    names = {path.name for path in (derivatives / "sub-01/figures").iterdir()}
    assert {
        "sub-01_ses-1_desc-brainmap_morph.svg",
        "sub-01_ses-3_desc-brainmap_morph.svg",
        "sub-01_desc-change_morph.svg",
    } <= names
    assert any(name.startswith("sub-01_region-") and name.endswith("_desc-centiles_morph.svg") for name in names)
    for path in (derivatives / "sub-01/figures").glob("*.svg"):
        assert path.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')


def test_our_own_figures_are_not_taken_for_overlays(derivatives: Path) -> None:
    page = write_participant_report(derivatives, "01").read_text()
    assert "<img" not in page


def test_overlay_images_are_embedded(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    folder = root / "sub-01/figures"
    folder.mkdir()
    (folder / "sub-01_ses-1_desc-overlayAxial_T1w.png").write_bytes(b"\x89PNG small")
    (folder / "sub-01_ses-1_desc-overlayHuge_T1w.png").write_bytes(bytes(1_000_000))
    page = write_participant_report(root, "01").read_text()
    assert "data:image/png;base64,iVBORyBzbWFsbA==" in page
    assert "too large to be embedded" in page
    assert len(page) < 1_500_000


def test_overlays_name_their_colours(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    (root / "sub-01/figures").mkdir()
    (root / "sub-01/figures/sub-01_ses-1_desc-overlayAxial_T1w.png").write_bytes(b"\x89PNG small")
    page = write_participant_report(root, "01").read_text()
    assert 'background:rgb(90 170 255)"></i>border of the white matter' in page
    assert 'background:rgb(255 80 80)"></i>outer border of the cortex' in page


def test_change_between_scans_of_one_age_is_a_whole_sentence(root: Path) -> None:
    dataset.write_person(root, "01", ("1", "2"), years=0.0)
    page = write_participant_report(root, "01").read_text()
    assert "The sessions have the same age, so no change per year is given." in page
    change = page[page.index('<section id="change"') :]
    change = change[: change.index("</section>")]
    for hole in ("nan", "None", "inf ", "n/a years", "> years"):
        assert hole not in change.replace("n_infra", "")


def test_flagged_regions_come_first_with_the_most_extreme_on_top(derivatives: Path) -> None:
    table = read_table(derivatives / "sub-01/ses-3/anat/sub-01_ses-3_desc-deviations_morph.tsv")
    flagged = table[table["deviation"] != "none"].sort_values("z", key=lambda z: -z.abs())["region"]
    page = (derivatives / "sub-01.html").read_text()
    charts = page[page.index('<section id="centiles"') : page.index('<section id="change"')]
    places = [
        charts.index(f'id="centile-{region}"') if f'id="centile-{region}"' in charts else -1 for region in flagged
    ]
    assert places[:9] == [-1] * min(9, len(flagged))  # shown at once, not in the gallery
    assert all(place >= 0 for place in places[9:])


def test_every_region_with_a_fan_has_a_chart(derivatives: Path) -> None:
    fans = read_table(derivatives / "sub-02/anat/sub-02_desc-centiles_morph.tsv")["region"].nunique()
    assert (derivatives / "sub-02.html").read_text().count('<figure class="centile') == fans


def test_text_from_files_is_escaped(root: Path) -> None:
    label = "<b>x"
    dataset.write_person(
        root, label, (HOSTILE.replace("/", ""),), warnings=[HOSTILE, "</script><script>alert(2)</script>"]
    )
    (root / "CITATION.md").write_text(f"# Title\n\n{HOSTILE} **bold** [x](javascript:alert(3)) `code`\n\n- {HOSTILE}\n")
    page = write_participant_report(root, label).read_text()
    assert "<img src=x" not in page
    assert "<b>x" not in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<strong>bold</strong>" in page


def test_a_person_whose_scans_all_failed_still_has_a_report(root: Path) -> None:
    write_json(
        {
            "participant_id": "sub-09",
            "session_id": "ses-1",
            "status": "failed",
            "stage": "volumes",
            "reason": "stats/aseg.stats is truncated",
            "remedy": "run recon-all again",
            "run_uuid": "u",
        },
        root / "logs/status/sub-09_ses-1.json",
    )
    page = write_participant_report(root, "09").read_text()
    assert "stats/aseg.stats is truncated" in page
    assert "run recon-all again" in page


def test_statuses_of_people_with_similar_labels_are_not_mixed(root: Path) -> None:
    dataset.write_person(root, "1", (None,))
    write_json(
        {
            "participant_id": "sub-10",
            "session_id": None,
            "status": "failed",
            "stage": "volumes",
            "reason": "another person's error",
            "remedy": "",
        },
        root / "logs/status/sub-10.json",
    )
    assert "another person" not in write_participant_report(root, "1").read_text()


def test_nobody_is_an_error_with_a_sentence(root: Path) -> None:
    with pytest.raises(InputError, match="nothing about sub-77"):
        write_participant_report(root, "77")


@pytest.mark.parametrize("missing", ["centiles", "change", "extended", "asymmetry", "deviations"])
def test_an_absent_table_leaves_its_section_out(root: Path, missing: str) -> None:
    dataset.write_person(root, "01", ("1", "2"))
    for path in root.glob(f"sub-01/**/*_desc-{missing}_morph.tsv"):
        path.unlink()
    page = write_participant_report(root, "01").read_text()
    assert "At a glance" in page


def test_missing_values_do_not_stop_the_report(root: Path) -> None:
    dataset.write_person(root, "01", ("1", "2"))
    for name in ("ses-2/anat/sub-01_ses-2_desc-deviations_morph.tsv", "anat/sub-01_desc-change_morph.tsv"):
        path = root / "sub-01" / name
        table = read_table(path)
        numeric = table.select_dtypes("number").columns
        table.loc[:40, numeric] = float("nan")
        table.loc[:40, table.columns.intersection(["deviation"])] = None
        write_tsv(table, path)
    assert "NaN" not in write_participant_report(root, "01").read_text()


def test_the_model_card_may_be_absent_or_nested(root: Path) -> None:
    dataset.write_person(root, "01", (None,))
    write_json(
        {"Training": [{"source": "open data", "n": 12}], "Age range (6.0 to 90)": "yes"},
        root / "model_open-calibrated.json",
    )
    assert "open data" in write_participant_report(root, "01").read_text()
    (root / "model_open-calibrated.json").unlink()
    assert "Reference model" in write_participant_report(root, "01").read_text()


def test_reports_can_be_made_again_from_the_derivatives_alone(derivatives: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(derivatives, copy)
    (copy / "sub-01.html").unlink()
    assert write_participant_report(copy, "01").read_text() == (derivatives / "sub-01.html").read_text()


def test_deviations_on_which_a_second_model_disagrees_are_marked(root: Path) -> None:
    dataset.write_person(root, "02", (None,), burden=0.0, seed=3, age=34)
    anat = root / "sub-02/anat"
    first = read_table(anat / "sub-02_desc-deviations_morph.tsv")
    most = first["z"].abs().idxmax()
    first.loc[most, ["z", "deviation"]] = [-2.4, "infra"]
    write_tsv(first, anat / "sub-02_desc-deviations_morph.tsv")
    flags = first["deviation"]
    table = first[["region", "z", "deviation"]].assign(
        z_second=first["z"].where(first.index != most, -1.13),
        z_second_se=0.4,
        deviation_second=flags.where(first.index != most, "none"),
        agree=first.index != most,
    )
    write_tsv(table, anat / "sub-02_desc-second_morph.tsv")
    path = anat / "sub-02_desc-summary_morph.json"
    counts = {"n_regions": 82, "n_both": 0, "n_disagree": 1, "notes": ["site unknown to the model."]}
    write_json({**read_json(path), "second_model": {"name": "open-blr", **counts}}, path)
    page = write_participant_report(root, "02").read_text(encoding="utf-8")
    assert page.count('class="disputed"') == 1
    marked = page[page.index('class="disputed"') :][:200]
    assert "open-blr disagrees" in marked
    assert "1.13" in marked
    assert 'id="second"' in page
    assert "site unknown to the model." in page


def test_without_a_second_model_the_report_has_no_second_opinion(derivatives: Path) -> None:
    assert "Second opinion" not in (derivatives / "sub-01.html").read_text(encoding="utf-8")


def test_what_could_not_be_drawn_in_several_sessions_is_said_once(root: Path) -> None:
    dataset.write_person(root, "01", ("1", "2"))
    (root / "sub-01/figures").mkdir()
    for session in (1, 2):
        notes = ["no image"] if session == 1 else ["no surface", "no image"]
        write_json({"Notes": notes}, root / "sub-01/figures" / f"sub-01_ses-{session}_desc-overlays.json")
    page = write_participant_report(root, "01").read_text()
    assert page.count(">no image<") == 1
    assert "<li>ses-1, ses-2: " in page
    assert "<li>ses-2: " in page


def test_tables_of_earlier_sessions_are_taken_out_when_they_are_unfolded(derivatives: Path) -> None:
    page = (derivatives / "sub-01.html").read_text()
    blocks = page.split('<details class="scan-tables"')[1:]
    assert len(blocks) > 1
    assert all("<noscript>" in block for block in blocks[:-1])
    assert blocks[-1].startswith(" open")


def test_sessions_that_cannot_be_compared_are_joined_by_a_dotted_line(root: Path) -> None:
    dataset.write_person(root, "01", ("1", "2", "3"))
    assert "course apart" not in write_participant_report(root, "01").read_text()
    pairs = [("ses-1", "ses-2", "not comparable"), ("ses-2", "ses-3", "comparable"), ("ses-1", "ses-3", "comparable")]
    table = pd.DataFrame(pairs, columns=["session_from", "session_to", "comparable"])
    table = table.assign(reasons="another scanner", etiv_difference_percent=1.0)
    write_tsv(table, root / "sub-01/anat/sub-01_desc-comparability_morph.tsv")
    page = write_participant_report(root, "01").read_text()
    charts = page.split('<figure class="centile')[1:]
    assert charts
    drawn = [chart[: chart.index("</figure>")] for chart in charts]
    assert all((each.count("course apart"), each.count('class="course"')) == (1, 1) for each in drawn)
    assert "Dotted grey lines" in page


def test_thickness_and_area_without_volumes_have_counts_and_maps_each(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    anat = root / "sub-01/ses-1/anat"
    stem = "sub-01_ses-1_desc-"
    volumes = read_table(anat / f"{stem}deviations_morph.tsv")
    cortex = volumes[volumes["region"].str.endswith("_volume")].rename(
        columns={"volume_mm3": "value", "expected_mm3": "expected"}
    )
    counts = {}
    for measure, n_infra in (("thickness", 7), ("area", 2)):
        names = cortex["region"].str.replace("_volume", f"_{measure}")
        z = [-3.0] * n_infra + [0.0] * (len(cortex) - n_infra)
        flags = ["infra"] * n_infra + ["none"] * (len(cortex) - n_infra)
        write_tsv(cortex.assign(region=names, z=z, deviation=flags), anat / f"{stem}{measure}_morph.tsv")
        known = {"mean": 1.5, "low": 0, "high": 6}
        counts[measure] = {
            "n_regions": 68,
            **{"n_infra": n_infra, "n_supra": 0, "n_total": n_infra},
            "expected": {"n_infra": known, "n_supra": known, "n_total": known},
        }
    write_tsv(volumes.iloc[:0], anat / f"{stem}deviations_morph.tsv")
    summary = read_json(anat / f"{stem}summary_morph.json")
    none = {"n_regions": 0, "n_infra": 0, "n_supra": 0, "n_total": 0, "expected": {}}
    write_json({**summary, "counts": none, "surface_counts": counts}, anat / f"{stem}summary_morph.json")
    page = write_participant_report(root, "01").read_text()
    assert "regions by thickness" in page
    assert "regions by area" in page
    assert page.count("Smaller than expected, ") == 2
    assert "No region is outside the limits" not in page
    assert "Further maps" in page
    drawn = {path.name for path in (root / "sub-01/figures").glob("*brainmap*")}
    assert drawn == {f"{stem}{measure}brainmap_morph.svg" for measure in counts}


def test_a_second_report_takes_no_figure_of_the_first_for_an_overlay_and_leaves_no_stale_one(root: Path) -> None:
    dataset.write_person(root, "01", ("1",))
    first = write_participant_report(root, "01", figure_formats=("svg", "png")).read_text()
    stale = root / "sub-01/figures/sub-01_region-Left-Pallidum_desc-centiles_morph.png"
    stale.write_bytes(b"of an earlier model")
    kept = {path.name for path in stale.parent.iterdir()} - {stale.name}
    second = write_participant_report(root, "01", figure_formats=("svg", "png")).read_text()
    assert second == first
    assert {path.name for path in stale.parent.iterdir()} == kept
    write_participant_report(root, "01", figure_formats=("png",))
    assert {path.name for path in stale.parent.iterdir()} == {name for name in kept if not name.endswith(".svg")}
