"""Options written as data: what their usage line says is what argparse is told."""

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from bids_app.cli.model import build_parser
from bids_app.cli.model_options import GROUPS, SUBCOMMANDS
from bids_app.cli.options import add_options, made
from bids_app.workbench.analyse import AnalyseConfig
from bids_app.workbench.evaluate import EvaluateConfig
from bids_app.workbench.exchange import CompareConfig, ExportConfig, ImportConfig
from bids_app.workbench.score import ScoreConfig
from bids_app.workbench.train import TrainConfig

CONFIGS = {
    "score": ScoreConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "analyse": AnalyseConfig,
    "compare": CompareConfig,
    "import": ImportConfig,
    "export": ExportConfig,
}


def parsed(written, *words, **settings):
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    add_options(parser, [(written, "help", settings)])
    return vars(parser.parse_args(words))


@pytest.mark.parametrize(
    ("written", "words", "found"),
    [
        ("-w --work-dir DIR", ["-w", "x"], {"work_dir": Path("x")}),
        ("--work-dir DIR", [], {}),
        ("--force", ["--force"], {"force": True}),
        ("--nprocs N", ["--nprocs", "3"], {"nprocs": 3}),
        ("--labels LABEL...", ["--labels", "a", "b"], {"labels": ["a", "b"]}),
        ("--recon {auto,run}", ["--recon", "run"], {"recon": "run"}),
        ("--analysis auto|FILE.toml", ["--analysis", "auto"], {"analysis": "auto"}),
        ("-o --output MODEL.json", ["-o", "m.json"], {"output": Path("m.json")}),
        ("level {a,b}", ["b"], {"level": "b"}),
        ("TABLE", ["t.tsv"], {"table": Path("t.tsv")}),
    ],
)
def test_the_placeholder_says_what_a_value_is(written, words, found):
    assert parsed(written, *words) == found


@pytest.mark.parametrize(
    ("written", "words"),
    [("--nprocs N", ["--nprocs", "0"]), ("--recon {auto,run}", ["--recon", "x"]), ("--labels L...", ["--labels"])],
)
def test_what_does_not_fit_is_refused(written, words, capsys):
    with pytest.raises(SystemExit):
        parsed(written, *words)
    assert words[0] in capsys.readouterr().err


def command(name):
    return build_parser()._subparsers._group_actions[0].choices[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_has_a_field_in_its_configuration(name):
    known = {field.name for field in fields(CONFIGS[name])}
    asked = {action.dest for action in command(name)._actions} - {"help", "reports_only"}
    assert asked <= known
    assert name in SUBCOMMANDS
    assert set(GROUPS) <= set(CONFIGS)


def test_options_that_are_not_given_keep_the_defaults_of_the_configuration():
    arguments = command("score").parse_args(["t.tsv", "--map", "age=Alter", "sex=m", "--chunk-rows", "9"])
    config = made(ScoreConfig, arguments)
    assert config == ScoreConfig(table=Path("t.tsv"), mapping={"age": "Alter", "sex": "m"}, chunk_rows=9)


def test_lists_become_tuples():
    config = made(TrainConfig, command("train").parse_args(["t.tsv", "-o", "m", "--powers", "1", "2"]))
    assert config.powers == (1.0, 2.0)
