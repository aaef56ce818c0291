"""What users of other BIDS-Apps type is taken, or refused in one sentence that says what to use."""

import re

import pandas as pd
import pytest

from bids_app.cli.nipreps import REFUSED, SAME, UNUSED, foreign_options, translated
from bids_app.cli.parser import build_parser, parse_config
from bids_app.errors import UsageError

START = ["b", "o", "participant"]


def refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_config(words)
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_every_option_of_the_other_apps_is_known(repository):
    known = set(build_parser()._option_string_actions)
    known |= {name for row in foreign_options() if row.here == SAME for name in row.names}
    theirs = pd.read_csv(repository / "tests" / "data" / "nipreps_options.tsv", sep="\t")
    assert set(theirs["app"].str.split().str[0]) == {"fMRIPrep", "sMRIPrep", "MRIQC"}
    assert set(theirs["option"]) <= known


def example(row):
    """The option with a value that the row is about."""
    value = row.value if row.value != "n/a" else row.placeholder.strip("{}*+?").split(",")[0].replace("TEXT", "1")
    return [row.names[0], value] if row.placeholder else [row.names[0]]


@pytest.mark.parametrize("row", [row for row in foreign_options() if row.here == UNUSED], ids=lambda row: row.names[0])
def test_what_has_no_effect_is_taken_with_a_remark(row, capsys):
    assert parse_config([*START, *example(row)]) == parse_config(START)
    assert capsys.readouterr().err == f"normvol: {row.names[0]} changes nothing here: {row.words}\n"


@pytest.mark.parametrize("row", [row for row in foreign_options() if row.here == REFUSED], ids=lambda row: row.names[0])
def test_what_cannot_be_done_is_refused_with_what_to_use(row, capsys):
    assert f"{row.names[0]} is not for normvol: {row.words}" in refused([*START, *example(row)], capsys)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (["--session-id", "1", "2"], ["--session-label", "1", "2"]),
        (["--participant_labels", "01"], ["--participant-label", "01"]),
        (["--nthreads", "3"], ["--nprocs", "3"]),
        (["-n-cpus", "3"], ["--nprocs", "3"]),
        (["--nthreads=3"], ["--nprocs", "3"]),
        (["--mem_mb", "8000"], ["--mem", "8000"]),
        (["--mem-gb", "16"], ["--mem", "16G"]),
        (["--mem_gb=1.5"], ["--mem", "1.5G"]),
        (["--mem-gb", "16G"], ["--mem", "16G"]),
        (["--use-plugin", "p.yml"], ["--nipype-plugin-file", "p.yml"]),
        (["--fs-no-reconall"], ["--recon", "ingest"]),
        (["--subject-anatomical-reference", "unbiased"], ["--longitudinal"]),
        (["--multiple_sessions", "longitudinal"], ["--longitudinal"]),
        (["--fs_no_reconall"], ["--recon", "ingest"]),
        (["--session_id", "1"], ["--session-label", "1"]),
        (["--subject", "sub-01"], ["--participant-label", "01"]),
        (["--Omp_NThreads=3"], ["--omp-nthreads", "3"]),
        (["--participant-label", "01", "--participant-label", "02"], ["--participant-label", "01", "02"]),
        (["--derivatives=/x", "-d", "fmriprep=/y"], ["-d", "/x", "fmriprep=/y"]),
    ],
)
def test_other_spellings_mean_the_same(theirs, ours):
    assert parse_config([*START, *theirs]) == parse_config([*START, *ours]) != parse_config(START)


def test_words_that_are_no_options_stay_as_they_are():
    assert translated(["b", "o", "group", "--model", "nthreads"]) == ["b", "o", "group", "--model", "nthreads"]


def test_the_same_option_exists():
    known = set(build_parser()._option_string_actions)
    assert {row.words.split()[0] for row in foreign_options() if row.here == SAME} <= known


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["b", "o", "particpant"], "'particpant' is not known; did you mean participant?"),
        (
            [*START, "--particpant-label", "01"],
            "there is no option --particpant-label; did you mean --participant-label?",
        ),
        ([*START, "--recon", "ingets"], "did you mean ingest?"),
        (["participant", "b", "o"], "'o' stands where the level is expected; write normvol BIDS_DIR OUTPUT_DIR"),
        (["b", "participant", "o"], "write normvol BIDS_DIR OUTPUT_DIR {participant,group} in this order"),
        (["--participant-label", "01", "b", "o", "participant"], "dataset, output folder and level are needed; write"),
        ([*START, "group"], "one level per command: run it again with group"),
        ([*START, "more"], "'more' is one word too many"),
        ([*START, "--force", "bbr"], "--force bbr is not for normvol"),
        ([*START, "--force=no-bbr"], "--force no-bbr is not for normvol"),
        ([*START, "--force", "yes"], "--force takes no value, but 'yes' follows it"),
        ([*START, "--anat-only=1"], "--anat-only takes no value, but '1' was given"),
        ([*START, "--", "--nthreads", "3"], "--nthreads stands after --, where no options are read"),
        ([*START, "\u2014participant-label", "01"], "write --participant-label, with two hyphens"),
        ([*START, "-work-dir", "w"], "'-work-dir' is no option; write --work-dir, with two hyphens"),
        ([*START, "-verbose"], "'-verbose' is no option; write --verbose"),
        ([*START, "--bids-filter", "x"], "did you mean --bids-filter-file?"),
        ([*START, "--task", "rest"], "did you mean --task-id?"),
    ],
)
def test_what_is_misspelt_or_misplaced_is_said(words, said, capsys):
    assert said in refused(words, capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--participant-label="], "--participant-label is given without a label; name the participants"),
        (["--participant-label", "01", "sub-"], "--participant-label is given without a label"),
        (["--session-label", ""], "--session-label is given without a label; name the sessions"),
        (["--mem", "16"], "16 without a unit is 16 MB, and a run takes about 350 MB; write 16G"),
    ],
)
def test_what_would_mean_something_else_than_was_meant_is_refused(words, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_config([*START, *words])
