"""``normvol``: the BIDS-App."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from bids_app.cli import exitcodes
from bids_app.cli.parser import build_parser, parse_config

# Python looks for rings of garbage after every 700 objects, and goes through all that was imported again and again
OBJECTS_BEFORE_GARBAGE = 200_000


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and return an exit code of `exitcodes`."""
    gc.set_threshold(OBJECTS_BEFORE_GARBAGE)
    if argv is None and len(sys.argv) == 1:
        build_parser().print_help()
        return exitcodes.USAGE
    from bids_app.cli.guard import guarded, leave

    code = guarded(lambda: _run(argv))
    return leave(code) if argv is None else code


def _run(argv: Sequence[str] | None) -> int:
    config = parse_config(argv)
    from bids_app.cli import run

    return run.run(config)


if __name__ == "__main__":
    sys.exit(main())
