"""List the packaged models."""

from __future__ import annotations

import argparse

from bids_app.cli import exitcodes

HELP = "list the packaged models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print one line per model."""
    from bids_app.normative.registry import list_models

    rows = [
        (card.name, card.version, card.mode, str(sum(card.n.values())), card.licence, card.title)
        for card in list_models()
    ]
    header = ("name", "version", "mode", "people", "licence", "title")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return exitcodes.OK
