"""``normvol-model``: the model workbench, one subcommand per thing to do with a model or a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bids_app import __version__
from bids_app.cli import model_commands
from bids_app.cli.guard import guarded
from bids_app.cli.model_options import EPILOGS, GROUPS, SUBCOMMANDS
from bids_app.cli.options import Parser, add_general_options, add_options


def build_parser() -> argparse.ArgumentParser:
    """The parser; options that are not given leave no attribute, so the configurations hold the defaults."""
    parser = Parser(
        prog="normvol-model",
        allow_abbrev=False,
        description="Train, check and use normative models of regional brain volume. For research use only.",
    )
    add_general_options(parser, __version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (meaning, options) in SUBCOMMANDS.items():
        run = getattr(model_commands, f"run_{name.replace('-', '_')}")
        command = commands.add_parser(
            name,
            help=meaning,
            description=run.__doc__,
            epilog=EPILOGS.get(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        add_options(command, options)
        for title, more in GROUPS.get(name, {}).items():
            group = command.add_argument_group(title) if title else command.add_mutually_exclusive_group(required=True)
            add_options(group, more)
        command.usage = _usage(command)
        command.set_defaults(run=run)
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
