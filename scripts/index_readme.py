"""Write docs/package-index.md: README as a package index can show it.

    python scripts/index_readme.py [HOME]

An index has neither our pictures nor our other pages. With HOME, the address under which the files of this repository
can be read (``https://.../blob/main``), links become absolute; without it pictures go and links become their text.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "package-index.md"
LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?://|#)([^)]+)\)")
PICTURES = re.compile(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n\n")


def index_readme(home: str = "") -> str:
    """README without anything relative."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if home:
        return LINK.sub(lambda link: f"{link[1]}[{link[2]}]({home.rstrip('/')}/{link[3]})", text)
    text = LINK.sub(lambda link: "" if link[1] else link[2], PICTURES.sub("", text))
    return text.replace(
        "## Where to go next", "The pages named below are in the source distribution.\n\n## Where to go next", 1
    )


if __name__ == "__main__":
    PAGE.write_text(index_readme(*sys.argv[1:2]), encoding="utf-8")
