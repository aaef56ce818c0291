"""What each subcommand of ``normvol-model`` does: its options to a configuration, words at the end, exit code."""

from __future__ import annotations

import argparse

from bids_app.cli import exitcodes
from bids_app.cli.options import made
from bids_app.cli.words import STATUS_LINE, show, tell


def say(sentence: str) -> None:
    """One line on standard error."""
    tell(f"normvol-model: {sentence}")


def run_list(arguments: argparse.Namespace) -> int:
    """One line per packaged model."""
    from bids_app.normative.registry import list_models

    rows = [("name", "version", "mode", "people", "licence", "title")]
    for card in list_models():
        rows.append((card.name, card.version, card.mode, str(sum(card.n.values())), card.licence, card.title))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return exitcodes.OK


def run_show(arguments: argparse.Namespace) -> int:
    """A model's card: where it comes from, whom it describes, what it must not be used for."""
    import json

    from bids_app.normative.registry import load_model
    from bids_app.workbench.show import card_lines, region_parameters

    model = load_model(arguments.model)
    if "region" in arguments or "json" in arguments:
        found = region_parameters(model, arguments.region) if "region" in arguments else model.card.to_json()
        show(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(f"regions             {len(model.regions)}")
        show("\n".join(card_lines(model.card.to_json())))
    return exitcodes.OK


def run_table(arguments: argparse.Namespace) -> int:
    """Volume, thickness and area of every subject of a FreeSurfer folder, with eTIV, version and quality."""
    from bids_app.cli.resources import available_cpus
    from bids_app.workbench.subjects import SubjectsConfig, subjects_table
    from bids_app.workbench.table_findings import finding_lines

    arguments.nprocs = getattr(arguments, "nprocs", available_cpus())
    config = made(SubjectsConfig, arguments)
    found = subjects_table(config, say)
    for name, reason in found.unread:
        say(f"not read: {name}: {reason}")
    for line in finding_lines(found.findings, f"the column quality_reasons of {config.output}"):
        say(line)
    say(f"{found.n_rows - len(found.unread)} of {found.n_rows} subjects read: {config.output}")
    return exitcodes.OMISSIONS if found.unread else exitcodes.OK


def run_wide(arguments: argparse.Namespace) -> int:
    """One row per scan and one column per region, for R, REDCap, SPSS or ENIGMA's scripts."""
    from bids_app.workbench.wide import WideConfig, wide_table

    config = made(WideConfig, arguments)
    rows, columns = wide_table(config)
    say(f"{rows} rows, {columns} columns of measures: {config.output}")
    return exitcodes.OK


def run_train(arguments: argparse.Namespace) -> int:
    """Train a normative model from a table of healthy people."""
    from bids_app.workbench.train import TrainConfig, train_model

    train_model(made(TrainConfig, arguments), say)
    return exitcodes.OK


def run_train_change(arguments: argparse.Namespace) -> int:
    """Train a change model from repeated scans of healthy people, for --change-model of normvol."""
    from bids_app.workbench.train_change import TrainChangeConfig, train_change

    train_change(made(TrainChangeConfig, arguments), say)
    return exitcodes.OK


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a model, or cross-validate a training recipe, on a table of healthy people."""
    from bids_app.workbench.evaluate import EvaluateConfig, evaluate_table

    evaluate_table(made(EvaluateConfig, arguments), say)
    return exitcodes.OK


def run_score(arguments: argparse.Namespace) -> int:
    """Score a table: the z of every region of every row, no BIDS dataset needed."""
    from bids_app.workbench.score import ScoreConfig, score_table
    from bids_app.workbench.table_findings import finding_lines

    scored = score_table(made(ScoreConfig, arguments), say)
    place = getattr(arguments, "findings", "--findings FILE.tsv writes them")
    for sentence in (*finding_lines(scored.findings, str(place)), *scored.sentences):
        say(sentence)
    return exitcodes.OMISSIONS if scored.unscored else exitcodes.OK


def run_analyse(arguments: argparse.Namespace) -> int:
    """Group statistics and report of a table that was scored, no BIDS dataset needed."""
    from bids_app.errors import UsageError

    if "reports_only" in arguments:
        from bids_app.reports.pages.group import write_group_report

        say(f"wrote {write_group_report(arguments.output)}")
        say(STATUS_LINE.format(arguments.output))
        return exitcodes.OK
    if arguments.table is None:
        raise UsageError("name the TABLE to analyse (or --reports-only)")
    from bids_app.cli.summary import not_computed_lines
    from bids_app.workbench.analyse import FINDINGS, AnalyseConfig, analyse_table
    from bids_app.workbench.table_findings import finding_lines

    found = analyse_table(made(AnalyseConfig, arguments), say)
    scans, inclusion = found.scored.scans, found.scored.inclusion
    left_out = inclusion[inclusion["status"] != "scored"]
    computed = sum("reason" not in result.table for result in found.results)
    for note in found.notes:
        say(note)
    say(f"{len(scans)} rows of {scans['participant_id'].nunique()} people are in; {len(left_out)} are not")
    for (reason, remedy), rows in left_out.groupby(["reason", "remedy"], sort=True):
        say(f"left out: {len(rows)} row(s): {reason}; {remedy} (group_inclusion.tsv lists them)")
    for line in not_computed_lines(found.results):
        say(line)
    for line in finding_lines(found.findings, str(arguments.output / FINDINGS)):
        say(line)
    say(f"{computed} result tables. For research use only.")
    say(f"report: {found.report}")
    say(STATUS_LINE.format(arguments.output))
    failures = [result.failure for result in found.results if result.failure]
    for text in failures:
        say(f"an analysis failed: {text}")
    if failures:
        return exitcodes.FAILED
    return exitcodes.OMISSIONS if len(left_out) else exitcodes.OK


def run_import(arguments: argparse.Namespace) -> int:
    """Turn a model that others have published into a model file of this software."""
    from bids_app.workbench.exchange import ImportConfig, import_model

    import_model(made(ImportConfig, arguments), say)
    return exitcodes.OK


def run_compare(arguments: argparse.Namespace) -> int:
    """Score the same people with two models and show how far they agree, as tables and HTML."""
    from bids_app.workbench.exchange import CompareConfig, compare_models

    compare_models(made(CompareConfig, arguments), say)
    return exitcodes.OK


def run_export(arguments: argparse.Namespace) -> int:
    """Write a model in a form that others can use without this software."""
    from bids_app.workbench.exchange import ExportConfig, export_model

    export_model(made(ExportConfig, arguments), say)
    return exitcodes.OK
