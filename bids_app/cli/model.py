"""``normvol-model``: the model workbench, one module per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from bids_app import __version__
from bids_app.cli.guard import guarded

# Each module has HELP (one line), add_arguments(parser) and run(arguments) -> exit code, and imports
# nothing heavy at module level.
SUBCOMMANDS = {
    "list": "model_list",
    "show": "model_show",
    "train": "model_train",
    "evaluate": "model_evaluate",
    "score": "model_score",
    "analyse": "model_analyse",
    "import": "model_import",
    "compare": "model_compare",
    "export": "model_export",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``normvol-model``."""
    parser = argparse.ArgumentParser(
        prog="normvol-model",
        allow_abbrev=False,
        description="Train, check and use normative models of regional brain volume. For research use only.",
    )
    parser.add_argument("--version", action="version", version=f"normvol {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module_name in SUBCOMMANDS.items():
        module = import_module(f"bids_app.cli.{module_name}")
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__, allow_abbrev=False)
        module.add_arguments(command)
        command.usage = _usage(command)
        command.set_defaults(run=module.run)
    return parser


def _usage(command: argparse.ArgumentParser) -> str:
    """Positional arguments first: an option that takes several values would swallow what follows it."""
    names = [str(action.metavar or action.dest) for action in command._actions if not action.option_strings]
    needed = [
        f"{action.option_strings[0]} {action.metavar}"
        for action in command._actions
        if action.option_strings and action.required
    ]
    return " ".join([command.prog, *names, *needed, "[options]"])


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run the subcommand, and return an exit code of `exitcodes`."""
    arguments = build_parser().parse_args(argv)
    return guarded(lambda: int(arguments.run(arguments)))


if __name__ == "__main__":
    sys.exit(main())
