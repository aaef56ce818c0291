"""Templates from TemplateFlow's cache: used when they are there, never fetched.

The container image fills the cache when it is built; everything works without it.
"""

from __future__ import annotations

import os
from pathlib import Path

HEMISPHERES = {"lh": "L", "rh": "R"}


def cache_folder() -> Path | None:
    """TemplateFlow's folder on this machine, or None."""
    home = os.environ.get("TEMPLATEFLOW_HOME") or Path.home() / ".cache" / "templateflow"
    folder = Path(home)
    return folder if folder.is_dir() else None


def cached_file(template: str, **entities: str | None) -> Path | None:
    """The one file of `template` with these entities, when its content is on this machine.

    Parameters
    ----------
    template : str
        E.g. ``fsaverage``.
    **entities
        As in ``templateflow.api.get``: ``hemi``, ``density``, ``suffix``, ``atlas``, ``resolution``, ...
    """
    folder = cache_folder()
    if folder is None or not (folder / f"tpl-{template}").is_dir():
        return None
    # read when templateflow is imported: no look for newer skeletons, no download
    os.environ["TEMPLATEFLOW_AUTOUPDATE"] = "off"
    try:
        from templateflow import api

        # ls lists the cache; unlike get it never downloads, and files not fetched are empty
        found = [Path(path) for path in api.ls(template, **entities)]
    except Exception:  # whatever a damaged cache or another version makes it raise, it is only a convenience
        return None
    fetched = [path for path in found if path.is_file() and path.stat().st_size > 0]
    return fetched[0] if len(fetched) == 1 else None


def fsaverage_files(hemisphere: str) -> tuple[Path, Path] | None:
    """Pial surface and Desikan-Killiany labels (GIFTI, 10,242 vertices) of fsaverage from the cache, or None."""
    hemi = HEMISPHERES[hemisphere]
    surface = cached_file("fsaverage", hemi=hemi, density="10k", suffix="pial", extension=".surf.gii")
    labels = cached_file("fsaverage", hemi=hemi, density="10k", atlas="Desikan2006", suffix="dseg")
    return (surface, labels) if surface and labels else None
