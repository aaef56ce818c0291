"""Screenshots of the demo's reports for README and docs.

Run: python scripts/make_screenshots.py [OUTPUT_DATASET] (without one, the demo is made first).
Needs chromium and chromedriver.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.reports.browser.chromium import Browser, browser  # noqa: E402

IMAGES = REPOSITORY / "docs" / "images"
WIDTH, HEIGHT = 1280, 1500
# file, page, section at the top of the picture, colours of the system
SHOTS = (
    ("participant", "sub-01", None, "light"),
    ("participant-dark", "sub-01", "centiles", "dark"),
    ("group", "group", None, "light"),
    ("group-statistics", "group", "analyses", "light"),
)


def main(dataset: Path) -> None:
    """Take every picture of the reports in `dataset`."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as session:
        session.width(WIDTH, HEIGHT)
        for name, page, section, scheme in SHOTS:
            session.appearance(scheme)
            session.open(dataset / f"{page}.html")
            _save(_picture(session, section), IMAGES / f"{name}.png")


def _picture(session: Browser, section: str | None) -> Image.Image:
    """The part of the page that starts at `section`, or its top."""
    place = f"document.getElementById('{section}').getBoundingClientRect().top + scrollY - 44" if section else "0"
    session.run(f"window.scrollTo({{top: {place}, behavior: 'instant'}})")
    return Image.open(io.BytesIO(session.screenshot(whole=False)))


def _save(picture: Image.Image, file: Path) -> None:
    picture.convert("RGB").save(file, optimize=True)
    print(f"{file.relative_to(REPOSITORY)}\t{file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        # a fixed folder: paths of the demo are in the pictures
        folder = Path(tempfile.gettempdir()) / "normvol-demo"
        subprocess.run([sys.executable, "-m", "bids_app.cli.demo", str(folder)], check=True)
        main(folder / "derivatives" / "normvol")
