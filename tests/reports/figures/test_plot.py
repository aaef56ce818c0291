"""Brain maps as files, and ``normvol-plot``."""

import json
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

from bids_app import regions
from bids_app.cli import exitcodes, plot
from bids_app.clinical.figures import Courses, Forest, Scatter
from bids_app.errors import InputError, UsageError
from bids_app.reports.figures.plot import save_brain_map
from bids_app.reports.figures.values import region_values
from bids_app.tables import write_tsv


@pytest.fixture
def z():
    values = dict.fromkeys(regions.reference_regions(), -0.5)
    return values | {"Left-Thalamus": -2.5, "rh_insula_volume": 2.0}


@pytest.fixture
def table(tmp_path, z):
    rows = pd.DataFrame({"region": list(z), "z": list(z.values()), "share": 0.1})
    both = pd.concat([rows.assign(group="MS"), rows.assign(group="HC", z=0.0)])
    write_tsv(rows, tmp_path / "z.tsv")
    write_tsv(both, tmp_path / "groups.tsv")
    return tmp_path / "z.tsv"


def test_png_has_the_printed_size_that_was_asked_for(tmp_path, z):
    from PIL import Image

    with Image.open(save_brain_map(z, tmp_path / "a.png", width_mm=90, dpi=100)) as picture:
        assert picture.width == pytest.approx(90 / 25.4 * 100, abs=1)


def test_png_shows_the_colours_of_the_scale(tmp_path, z):
    import numpy as np
    from PIL import Image

    from bids_app.reports.figures.colour import Scale

    with Image.open(save_brain_map(z, tmp_path / "a.png", dpi=100)) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    wanted = np.rint(255 * Scale("diverging", -4, 4).rgb(np.array(-0.5)))
    assert (np.abs(pixels - wanted).max(axis=1) <= 1).mean() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_same_values_same_bytes(tmp_path, z, ending):
    first = save_brain_map(z, tmp_path / f"a.{ending}", dpi=60).read_bytes()
    assert save_brain_map(z, tmp_path / f"b.{ending}", dpi=60).read_bytes() == first


def test_svg_file_stands_alone(tmp_path, z):
    root = ET.parse(save_brain_map(z, tmp_path / "a.svg", title="Title")).getroot()
    assert root.get("width")
    assert "var(" not in (tmp_path / "a.svg").read_text()


def test_other_endings_are_refused(tmp_path, z):
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf"):
        save_brain_map(z, tmp_path / "a.gif")


def test_command_writes_a_figure(table, tmp_path):
    assert plot.main([str(table), "-o", str(tmp_path / "out" / "map.svg")]) == exitcodes.OK
    assert "z = −2.5, infra-normal" in (tmp_path / "out" / "map.svg").read_text()


def test_command_takes_one_group_of_a_long_table(table, tmp_path, capsys):
    long, figure = str(tmp_path / "groups.tsv"), str(tmp_path / "map.svg")
    assert plot.main([long, "-o", figure]) == exitcodes.INPUT
    assert "several rows for" in capsys.readouterr().err
    assert plot.main([long, "-o", figure, "--where", "group=MS", "--title", "MS"]) == exitcodes.OK
    assert "z = −2.5" in (tmp_path / "map.svg").read_text()


def test_other_columns_have_no_threshold_unless_asked(table, tmp_path):
    figure = tmp_path / "map.svg"
    assert plot.main([str(table), "-o", str(figure), "--column", "share", "--limits", "-1", "1"]) == exitcodes.OK
    assert "infra-normal" not in figure.read_text()
    assert plot.main([str(table), "-o", str(figure), "--threshold", "0.4", "--limits", "-1", "1"]) == exitcodes.OK
    assert "z ≤ −0.4" in figure.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["z.tsv", "-o", "a.gif"], exitcodes.USAGE, ".svg, .png, .pdf"),
        (["z.tsv", "-o", "a.svg", "--column", "q"], exitcodes.INPUT, "no column `q`; its columns are region, z, share"),
        (["absent.tsv", "-o", "a.svg"], exitcodes.INPUT, "does not exist"),
        (["z.tsv", "-o", "a.svg", "--column", "region"], exitcodes.INPUT, "holds no numbers"),
        (["groups.tsv", "-o", "a.svg", "--where", "group=XX"], exitcodes.USAGE, "there are HC, MS"),
        (["groups.tsv", "-o", "a.svg", "--where", "group"], exitcodes.USAGE, "COLUMN=VALUE"),
        (["z.tsv", "-o", "a.svg", "--views", "top"], exitcodes.USAGE, "unknown view top"),
        (["z.tsv", "-o", "a.svg", "--limits", "3", "1"], exitcodes.USAGE, "the lower first"),
    ],
)
def test_mistakes_are_one_clear_sentence(table, tmp_path, monkeypatch, capsys, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    assert plot.main(arguments) == code
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert not (tmp_path / "a.svg").exists()


def test_regions_that_are_not_in_the_drawing_are_named(tmp_path, capsys):
    write_tsv(pd.DataFrame({"region": ["Left-Thalamus", "TotalGrayVol"], "z": [1.0, 2.0]}), tmp_path / "t.tsv")
    assert plot.main([str(tmp_path / "t.tsv"), "-o", str(tmp_path / "a.svg")]) == exitcodes.OK
    assert "not in the drawing: TotalGrayVol" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from bids_app.cli.plot import build_parser; build_parser().format_help(); "
        "print([m for m in ('pandas', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_region_values_use_todays_names():
    table = pd.DataFrame({"region": ["Left-Thalamus-Proper"], "z": ["1.5"]})
    assert region_values(table).to_dict() == {"Left-Thalamus": 1.5}


def test_old_and_new_name_of_one_region_clash():
    table = pd.DataFrame({"region": ["Left-Thalamus-Proper", "Left-Thalamus"], "z": [1.5, 1.0]})
    with pytest.raises(InputError, match="several rows for Left-Thalamus"):
        region_values(table)


def _results(folder):
    """Tables under the names of the documented examples."""
    prevalence = pd.DataFrame({"region": ["Left-Thalamus", "lh_insula_volume"], "share_infra": [0.3, 0.1]})
    write_tsv(
        pd.concat([prevalence.assign(group="MS"), prevalence.assign(group="HC")]), folder / "group_prevalence.tsv"
    )
    write_tsv(prevalence.assign(z=-1.0), folder / "sub-01_desc-deviations_morph.tsv")
    effects = pd.DataFrame({"score": ["EDSS", "PASAT"], "beta": [0.3, -0.2], "low": [0.1, -0.4], "high": [0.5, 0.1]})
    effects.to_csv(folder / "effects.csv", index=False)
    write_tsv(effects, folder / "group_hazards.tsv")
    figure = Forest(label="score", estimate="beta", low="low", high="high", xlabel="hazard ratio")
    (folder / "group_hazards.json").write_text(json.dumps({"Title": "Hazards", "Figure": figure.to_json()}))
    fan = pd.DataFrame({"age": [20, 40, 60, 80]} | {f"p{p:02}": 7000 + 20 * p for p in (5, 25, 50, 75, 95)})
    fan = fan.assign(p025=7050, p975=8950)
    both = pd.concat([fan.assign(region="Left-Thalamus"), fan.assign(region="Right-Thalamus")])
    write_tsv(both, folder / "sub-01_desc-centiles_morph.tsv")
    visits = prevalence.drop(columns="share_infra").assign(mean_z=[-1.2, 0.4])
    write_tsv(
        pd.concat([visits.assign(panel="first"), visits.assign(panel="last", mean_z=-2.5)]), folder / "group_visits.tsv"
    )
    people = pd.DataFrame({"participant_id": ["a", "a", "b"], "age": [30.0, 33.0, 50.0], "z": [-1.0, -2.5, 0.3]})
    write_tsv(people.assign(region="Left-Thalamus", structure="left thalamus"), folder / "group_courses.tsv")
    drawn = Courses(x="age", y="z", person="participant_id", facet="structure", together=True)
    (folder / "group_courses.json").write_text(json.dumps({"Title": "Courses", "Figure": drawn.to_json()}))
    write_tsv(people.assign(fit=0.0, low=-1.0, high=1.0), folder / "group_scores_people.tsv")
    drawn = Scatter(x="age", y="z", fit="fit", low="low", high="high")
    (folder / "group_scores_people.json").write_text(json.dumps({"Title": "Scores", "Figure": drawn.to_json()}))


def _examples():
    return [shlex.split(line)[1:] for line in plot.EPILOG.splitlines() if line.startswith("  normvol-plot")]


@pytest.mark.parametrize("arguments", _examples(), ids=lambda arguments: arguments[0])
def test_documented_examples_run(tmp_path, monkeypatch, arguments):
    _results(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert plot.main(arguments) == exitcodes.OK
    assert (tmp_path / arguments[arguments.index("-o") + 1]).stat().st_size > 1000


def test_the_page_on_plotting_shows_the_same_examples():
    page = (Path(__file__).parents[3] / "docs" / "plotting.md").read_text()
    for line in plot.EPILOG.splitlines()[1:]:
        assert line.strip() in page


def test_a_forest_shows_its_rows_and_the_axis_that_its_result_names(tmp_path):
    _results(tmp_path)
    out = tmp_path / "f.svg"
    assert plot.main([str(tmp_path / "group_hazards.tsv"), "--kind", "forest", "-o", str(out)]) == exitcodes.OK
    assert all(word in out.read_text() for word in ("EDSS", "PASAT", "hazard ratio"))


def test_a_persons_scans_stand_in_a_centile_chart(tmp_path):
    _results(tmp_path)
    write_tsv(pd.DataFrame({"age": [30.0, 50.0], "volume_mm3": [7100.0, 6900.0]}), tmp_path / "visits.tsv")
    arguments = [str(tmp_path / "sub-01_desc-centiles_morph.tsv"), "--kind", "centile", "-o", str(tmp_path / "c.svg")]
    where = ["--where", "region=Left-Thalamus"]
    assert plot.main([*arguments, *where, "--visits", str(tmp_path / "visits.tsv")]) == exitcodes.OK
    assert (tmp_path / "c.svg").read_text().count("<circle") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["effects.csv", "--kind", "forest"], exitcodes.USAGE, "describes a forest; name the columns with --columns"),
        (["effects.csv", "--kind", "forest", "--columns", "label=score"], exitcodes.USAGE, "estimate, high, low"),
        (["effects.csv", "--kind", "forest", "--columns", "beta"], exitcodes.USAGE, "ROLE=COLUMN"),
        (
            ["effects.csv", "--kind", "forest", "--columns", "label=score", "estimate=b", "low=low", "high=high"],
            exitcodes.INPUT,
            "no column `b`; its columns are score, beta",
        ),
        (["effects.csv", "--kind", "centile"], exitcodes.INPUT, "no column `age`"),
        (["sub-01_desc-centiles_morph.tsv", "--kind", "centile"], exitcodes.INPUT, "holds 2 regions"),
    ],
)
def test_mistakes_with_charts_are_one_clear_sentence(tmp_path, monkeypatch, capsys, arguments, code, words):
    _results(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert plot.main([*arguments, "-o", "a.svg"]) == code
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message


def test_maps_of_a_facet_share_one_scale(tmp_path):
    _results(tmp_path)
    out = tmp_path / "m.svg"
    asked = [str(tmp_path / "group_prevalence.tsv"), "--column", "share_infra", "--scale", "sequential"]
    assert plot.main([*asked, "--facet", "group", "-o", str(out)]) == exitcodes.OK
    drawing = out.read_text()
    assert drawing.count(">0.3<") == 2
    assert ">MS<" in drawing
    assert ">HC<" in drawing


def test_a_facet_that_the_table_lacks_is_said(tmp_path, capsys):
    _results(tmp_path)
    for kind in ("map", "forest"):
        table = str(tmp_path / ("group_visits.tsv" if kind == "map" else "group_hazards.tsv"))
        asked = [table, "--kind", kind, "--column", "mean_z", "--facet", "nothing", "-o", str(tmp_path / "m.svg")]
        assert plot.main(asked) == exitcodes.INPUT
        assert "no column `nothing`" in capsys.readouterr().err
