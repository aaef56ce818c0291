"""Write .ci/lowest.txt: the lowest version of every package that setup.cfg names, as constraints for pip."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".ci" / "lowest.txt"


def lowest(root: Path = ROOT) -> str:
    """One line ``name==version`` per requirement of the package and its tests."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(root / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    found = re.findall(r"^(\S+) >=([\d.]+)", lines, flags=re.MULTILINE)
    return "".join(f"{name}=={version}\n" for name, version in sorted(found))


if __name__ == "__main__":
    FILE.write_text(lowest(), encoding="utf-8")
