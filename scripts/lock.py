"""Write requirements/{full,core}.txt: every package of the image with its version and hashes, for Python 3.11 and 3.12.

    python scripts/lock.py [--upgrade]

Needs uv. Versions that stand there are kept as long as setup.cfg allows them; core.txt is full.txt without what only
PCNtoolkit needs.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
# PCNtoolkit is GPL-3.0 and brings half of the image.
LEFT_OUT = {"full": (), "core": ("pcntoolkit",)}


def wanted(name: str, root: Path = ROOT) -> list[str]:
    """What setup.cfg asks for, one requirement per line, without what this lock file leaves out."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(root / "setup.cfg", encoding="utf-8")
    lines = [line for line in setup["options"]["install_requires"].splitlines() if line]
    return [line for line in lines if line.split(" ")[0] not in LEFT_OUT[name]]


def header(name: str, root: Path = ROOT) -> str:
    """First lines of a lock file; they change with what setup.cfg asks for."""
    asked = hashlib.sha256("\n".join(wanted(name, root)).encode()).hexdigest()
    made = "Made by scripts/lock.py for Python 3.11 and 3.12"
    return f"# {made}; pip install --require-hashes -r requirements/{name}.txt\n# setup.cfg: {asked}\n"


def pins(text: str) -> dict[str, str]:
    """Name to version of a lock file."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def compile_lock(name: str, options: list[str]) -> None:
    """Resolve with uv; the core keeps to the versions of the full lock file."""
    file = FOLDER / f"{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requirements.in"
        asked.write_text("\n".join(wanted(name)) + "\n", encoding="utf-8")
        kept = Path(folder) / "kept.txt"
        kept.write_text("".join(f"{key}=={value}\n" for key, value in pins((FOLDER / "full.txt").read_text()).items()))
        command = ["uv", "pip", "compile", str(asked), "--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--no-emit-index-url", "-q", "-o", str(file), *options]
        subprocess.run(
            [*command, *(["-c", str(kept)] if name == "core" else [])], check=True, stdout=subprocess.DEVNULL
        )
    file.write_text(header(name) + file.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "full.txt").touch()
    for each in LEFT_OUT:
        compile_lock(each, sys.argv[1:])
