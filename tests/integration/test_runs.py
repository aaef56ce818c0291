"""Whole runs on small synthetic datasets: recon-all, failures, re-runs, reports alone, exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bids_app.bids.status import read_statuses
from bids_app.cli import exitcodes
from bids_app.cli.main import main
from bids_app.freesurfer.synthetic import write_subject
from bids_app.tables import read_json, read_table
from tests.freesurfer.fake_recon_all import install

pytestmark = pytest.mark.slow


def make_dataset(folder: Path, sessions: tuple[str, ...] = (), labels: tuple[str, ...] = ("01", "02")) -> Path:
    folder.mkdir()
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}))
    covariates = {"02": ("41", "M")}
    rows = [("participant_id", "age", "sex"), *((f"sub-{x}", *covariates.get(x, ("30", "F"))) for x in labels)]
    (folder / "participants.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    for label in labels:
        for session in sessions or ("",):
            anat = folder / f"sub-{label}" / (f"ses-{session}" if session else "") / "anat"
            anat.mkdir(parents=True)
            stem = f"sub-{label}_ses-{session}" if session else f"sub-{label}"
            (anat / f"{stem}_T1w.nii.gz").write_bytes(b"image")
        if sessions:
            rows = "".join(f"ses-{session}\t{30 + number}\n" for number, session in enumerate(sessions))
            (folder / f"sub-{label}" / f"sub-{label}_sessions.tsv").write_text("session_id\tage\n" + rows)
    return folder


@pytest.fixture
def freesurfer(tmp_path, monkeypatch):
    """A FREESURFER_HOME whose recon-all honours the contract in a second."""

    def use(**settings):
        for name in ("FAKE_RECON_FAIL", "FAKE_RECON_KILL"):
            monkeypatch.delenv(name, raising=False)
        shutil.rmtree(tmp_path / "freesurfer", ignore_errors=True)
        for name, value in install(tmp_path / "freesurfer", **settings).items():
            monkeypatch.setenv(name, value)

    monkeypatch.delenv("FS_LICENSE", raising=False)
    return use


@pytest.fixture
def ingested(tmp_path):
    """Dataset with two complete subjects, scored once; returns dataset and output folder."""
    bids = make_dataset(tmp_path / "bids")
    for label in ("01", "02"):
        write_subject(bids / "derivatives/freesurfer" / f"sub-{label}", {"Left-Thalamus": 7000.0}, etiv=1.5e6)
    assert main([str(bids), str(tmp_path / "out"), "participant", "--nprocs", "1"]) == exitcodes.OK
    return bids, tmp_path / "out"


def scored(output):
    statuses = read_statuses(output)
    return sorted(statuses.loc[statuses["status"] == "scored", "participant_id"])


def test_recon_all_runs_and_a_second_run_does_nothing(tmp_path, freesurfer, capsys):
    freesurfer()
    bids, output = make_dataset(tmp_path / "bids"), tmp_path / "out"
    assert main([str(bids), str(output), "participant", "--nprocs", "2"]) == exitcodes.OK
    assert scored(output) == ["sub-01", "sub-02"]
    assert (output / "sourcedata/freesurfer/sub-01/stats/aseg.stats").exists()
    capsys.readouterr()
    assert main([str(bids), str(output), "participant", "--nprocs", "2"]) == exitcodes.OK
    assert "0 to score, 2 up to date" in capsys.readouterr().err


def test_failing_recon_all_stops_nobody_else_and_is_named(tmp_path, freesurfer, capsys):
    freesurfer(FAKE_RECON_FAIL="Surfaces")
    bids, output = make_dataset(tmp_path / "bids"), tmp_path / "out"
    write_subject(bids / "derivatives/freesurfer/sub-02", {}, etiv=1.5e6)
    assert main([str(bids), str(output), "participant", "--nprocs", "2"]) == exitcodes.FAILED
    assert scored(output) == ["sub-02"]
    statuses = read_statuses(output).set_index("participant_id")
    assert statuses.loc["sub-01", "status"] == "failed"
    assert "recon-all" in statuses.loc["sub-01", "reason"]
    assert list((output / "sub-01" / "log").rglob("crash-recon.txt"))
    assert "failed: sub-01" in capsys.readouterr().err


def test_the_next_run_resumes_what_failed(tmp_path, freesurfer, capsys):
    freesurfer(FAKE_RECON_KILL="Surfaces")
    bids, output = make_dataset(tmp_path / "bids"), tmp_path / "out"
    assert main([str(bids), str(output), "participant", "--nprocs", "1"]) == exitcodes.FAILED
    freesurfer()
    capsys.readouterr()
    assert main([str(bids), str(output), "participant", "--nprocs", "1"]) == exitcodes.OK
    assert scored(output) == ["sub-01", "sub-02"]


def test_longitudinal_stream_has_freesurfers_names(tmp_path, freesurfer):
    freesurfer()
    bids, output = make_dataset(tmp_path / "bids", sessions=("1", "2")), tmp_path / "out"
    assert main([str(bids), str(output), "participant", "--longitudinal", "--participant-label", "01"]) == exitcodes.OK
    subjects = output / "sourcedata" / "freesurfer"
    for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-01", "sub-01_ses-1.long.sub-01", "sub-01_ses-2.long.sub-01"):
        assert (subjects / name).is_dir(), name
    summary = read_json(output / "sub-01/ses-1/anat/sub-01_ses-1_desc-summary_morph.json")
    assert summary["freesurfer"]["stream"] == "long"


def test_licence_is_asked_for_only_when_recon_all_has_to_run(tmp_path, freesurfer):
    freesurfer(licensed=False)
    bids, output = make_dataset(tmp_path / "bids"), tmp_path / "out"
    write_subject(bids / "derivatives/freesurfer/sub-01", {}, etiv=1.5e6)
    assert main([str(bids), str(output), "participant", "--participant-label", "01"]) == exitcodes.OK
    assert main([str(bids), str(output), "participant"]) == exitcodes.OMISSIONS
    reason = read_statuses(output).set_index("participant_id").loc["sub-02", "reason"]
    assert "licence" in reason


def test_only_the_changed_person_is_scored_again(ingested, capsys):
    bids, output = ingested
    write_subject(bids / "derivatives/freesurfer/sub-02", {"Left-Thalamus": 6000.0}, etiv=1.5e6)
    kept = (output / "sub-01.html").stat().st_mtime_ns
    assert main([str(bids), str(output), "participant", "--nprocs", "1"]) == exitcodes.OK
    assert "1 to score, 1 up to date" in capsys.readouterr().err
    assert (output / "sub-01.html").stat().st_mtime_ns == kept
    table = read_table(output / "sub-02/anat/sub-02_desc-deviations_morph.tsv").set_index("region")
    assert table.loc["Left-Thalamus", "volume_mm3"] == 6000.0


def test_a_changed_covariate_is_a_change(ingested, capsys):
    bids, output = ingested
    table = (bids / "participants.tsv").read_text().replace("\t30\t", "\t31\t")
    (bids / "participants.tsv").write_text(table)
    main([str(bids), str(output), "participant", "--nprocs", "1"])
    assert "1 to score, 1 up to date" in capsys.readouterr().err


def test_dry_run_writes_nothing(tmp_path, capsys):
    bids = make_dataset(tmp_path / "bids")
    assert main([str(bids), str(tmp_path / "out"), "participant", "--dry-run", "--recon", "ingest"]) == exitcodes.OK
    assert "would omit    sub-01" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_reports_can_be_rebuilt_without_the_raw_data(ingested):
    bids, output = ingested
    first = (output / "sub-01.html").read_bytes()
    (output / "sub-01.html").unlink()
    shutil.rmtree(bids / "derivatives")
    assert main([str(bids), str(output), "participant", "--reports-only", "--nprocs", "1"]) == exitcodes.OK
    assert (output / "sub-01.html").read_bytes() == first


def test_group_level_before_the_participant_level_says_so(tmp_path, capsys):
    bids = make_dataset(tmp_path / "bids")
    assert main([str(bids), str(tmp_path / "out"), "group"]) == exitcodes.INPUT
    assert "participant level" in capsys.readouterr().err


def test_graph_is_drawn(tmp_path, ingested):
    bids, output = ingested
    main([str(bids), str(output), "participant", "--force", "--write-graph", "--nprocs", "1"])
    assert "score" in (output / "logs" / "graph.dot").read_text()


def test_the_configuration_of_a_run_can_be_run_again(ingested):
    bids, output = ingested
    (config,) = (output / "sub-01" / "log").glob("*/config.toml")
    assert main([str(bids), str(output), "participant", "--config-file", str(config)]) == exitcodes.OK


def test_reference_compat_says_so_in_every_output(tmp_path, ingested):
    bids, output = ingested[0], tmp_path / "compat"
    assert (
        main(
            [
                str(bids),
                str(output),
                "participant",
                "--model",
                "open-reference",
                "--scoring",
                "reference-compat",
                "--nprocs",
                "1",
            ]
        )
        == exitcodes.OK
    )
    summary = read_json(output / "sub-01/anat/sub-01_desc-summary_morph.json")
    assert summary["model"]["scoring"] == "reference-compat"
    assert any("reference-compat" in warning for warning in summary["warnings"])
    assert "reference-compat" in (output / "sub-01.html").read_text()


def test_nothing_in_the_input_is_touched(ingested):
    bids, output = ingested
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in bids.rglob("*")}
    main([str(bids), str(output), "participant", "--force", "--nprocs", "1"])
    main([str(bids), str(output), "group", "--analysis", "auto"])
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in bids.rglob("*")} == before


def test_output_folder_of_another_dataset_is_refused(tmp_path, capsys):
    bids = make_dataset(tmp_path / "bids")
    assert main([str(bids), str(bids), "participant"]) == exitcodes.USAGE
    assert "output folder" in capsys.readouterr().err


def test_resources_are_recorded_on_request(ingested, tmp_path, monkeypatch):
    bids, output = ingested
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    main([str(bids), str(output), "participant", "--force", "--resource-monitor", "--participant-label", "01"])
    (path,) = (output / "logs").glob("resources-*.tsv")
    table = read_table(path)
    assert table["node"].str.endswith(".score").any()
    assert (table["seconds"] > 0).any()
    assert not list((tmp_path / "here").iterdir())


def test_lesion_filled_images_are_used_and_recorded(tmp_path, freesurfer, capsys):
    freesurfer()
    bids, output = make_dataset(tmp_path / "bids"), tmp_path / "out"
    for label in ("01", "02"):
        anat = tmp_path / "filled" / f"sub-{label}" / "anat"
        anat.mkdir(parents=True)
        (anat / f"sub-{label}_desc-lesionfilled_T1w.nii.gz").write_bytes(b"filled")
    command = [
        str(bids),
        str(output),
        "participant",
        "--participant-label",
        "01",
        "--t1w-derivative",
        f"fill={tmp_path / 'filled'}:lesionfilled",
    ]
    assert main(command) == exitcodes.OK
    summary = output / "sub-01/anat/sub-01_desc-summary_morph.json"
    assert read_json(summary)["freesurfer"]["images"] == ["sub-01_desc-lesionfilled_T1w.nii.gz"]
    capsys.readouterr()
    assert main(command) == exitcodes.OK
    assert "1 up to date" in capsys.readouterr().err


LONGITUDINAL = ["participant", "--longitudinal", "--participant-label", "01", "--omp-nthreads", "4"]


@pytest.mark.parametrize("version", ["6.0.0", "7.4.1", "8.1.0"])
def test_a_new_session_remakes_base_and_time_points_and_scores_stay_until_then(tmp_path, freesurfer, version):
    freesurfer(FAKE_RECON_VERSION=version)
    bids, output = make_dataset(tmp_path / "bids", sessions=("1", "2"), labels=("01",)), tmp_path / "out"
    assert main([str(bids), str(output), *LONGITUDINAL]) == exitcodes.OK
    assert len(read_statuses(output).query("status == 'scored'")) == 2
    anat = bids / "sub-01" / "ses-3" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_ses-3_T1w.nii.gz").write_bytes(b"image")
    (bids / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tage\nses-1\t30\nses-2\t31\nses-3\t32\n")
    before = output / "sub-01/ses-1/anat/sub-01_ses-1_desc-deviations_morph.tsv"
    freesurfer(FAKE_RECON_VERSION=version, FAKE_RECON_FAIL="CA_Reg")
    assert main([str(bids), str(output), *LONGITUDINAL]) == exitcodes.FAILED
    assert before.exists()
    freesurfer(FAKE_RECON_VERSION=version)
    assert main([str(bids), str(output), *LONGITUDINAL]) == exitcodes.OK
    subjects = output / "sourcedata" / "freesurfer"
    names = ["sub-01_ses-1", "sub-01_ses-2", "sub-01_ses-3"]
    assert (subjects / "sub-01" / "base-tps").read_text().split() == names
    if version != "6.0.0":
        for name in names:
            made = (subjects / f"{name}.long.sub-01" / "scripts" / "long.base-tps").read_text().split()
            assert made == names, name


def test_recon_arguments_are_carried_as_on_a_command_line(tmp_path, freesurfer):
    freesurfer()
    bids, output = make_dataset(tmp_path / "bids", labels=("01",)), tmp_path / "out"
    expert = tmp_path / "my expert.opts"
    expert.write_text("")
    given = ["--recon-args", f"-hires -expert '{expert}'", "--recon-args=-cm"]
    assert main([str(bids), str(output), "participant", *given]) == exitcodes.OK
    (said,) = (output / "sourcedata/freesurfer/sub-01/scripts/recon-all.cmd").read_text().splitlines()
    words = said.split()
    assert {"-hires", "-expert", "-cm"} <= set(words)
    assert "my" not in words[words.index("-expert") + 1]


@pytest.mark.parametrize("level", ["participant", "group"])
def test_new_ratings_redraw_the_pages_of_the_rated_people_only(ingested, tmp_path, level):
    bids, output = ingested
    before = {name: (output / f"{name}.html").read_bytes() for name in ("sub-01", "sub-02")}
    z = (output / "sub-01/anat/sub-01_desc-deviations_morph.tsv").read_bytes()
    ratings = tmp_path / "ratings.tsv"
    words = "participant_id\tsession_id\trating\treason\nsub-01\tn/a\tdoubtful\tring of motion\n"
    ratings.write_text(words)
    command = [str(bids), str(output), level, "--nprocs", "1", "--qc-file", str(ratings)]
    assert main(command) == exitcodes.OK
    page = (output / "sub-01.html").read_text()
    assert "ring of motion" in page
    assert ">doubtful<" in page
    assert (output / "sub-02.html").read_bytes() == before["sub-02"]
    assert (output / "sub-01/anat/sub-01_desc-deviations_morph.tsv").read_bytes() == z
    ratings.write_text(words.replace("doubtful", "n/a").replace("ring of motion", "n/a"))
    assert main(command) == exitcodes.OK
    assert "ring of motion" not in (output / "sub-01.html").read_text()


@pytest.mark.parametrize("how", ["--qc-file", "--reports-only"])
def test_a_page_that_is_drawn_again_keeps_the_formats_of_its_figures(ingested, tmp_path, how):
    bids, output = ingested
    figures = output / "sub-01" / "figures"
    command = [str(bids), str(output), "participant", "--nprocs", "1", "--participant-label", "01"]
    assert main([*command, "--reports-only", "--figure-formats", "png"]) == exitcodes.OK
    drawn = sorted(path.name for path in figures.iterdir())
    assert {Path(name).suffix for name in drawn if "_morph" in name} == {".png"}
    ratings = tmp_path / "ratings.tsv"
    ratings.write_text("participant_id\tsession_id\trating\treason\nsub-01\tn/a\tdoubtful\tring of motion\n")
    assert main([*command, how, *([str(ratings)] if how == "--qc-file" else [])]) == exitcodes.OK
    assert sorted(path.name for path in figures.iterdir()) == drawn
