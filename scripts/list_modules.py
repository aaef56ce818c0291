"""Write the list of modules in docs/architecture.md from the first line of each module's docstring."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
HEADING = "## Every module\n"


def listing(root: Path = ROOT) -> str:
    """The section: one table row per module, in the order of their paths."""
    rows = []
    for path in sorted((root / "bids_app").rglob("*.py")):
        if path.name != "__init__.py":
            words = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0]
            rows.append(f"| `{path.relative_to(root / 'bids_app')}` | {' '.join(words.split())} |")
    return "\n".join([HEADING, "| module | what it is for |", "|---|---|", *rows]) + "\n"


def main() -> None:
    """Replace the section at the end of the page."""
    page = PAGE.read_text().partition(HEADING)[0].rstrip()
    PAGE.write_text(f"{page}\n\n{listing()}")


if __name__ == "__main__":
    main()
