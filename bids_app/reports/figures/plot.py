"""Brain maps as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_app.reports.figures.brainmap import brain_map_svg
from bids_app.reports.figures.files import DPI, checked_ending, save_figure

WIDTH_MM = 180


def save_brain_map(
    values: Mapping[str, float], path: Path | str, *, width_mm: float = WIDTH_MM, dpi: float = DPI, **options: Any
) -> Path:
    """Write the brain map of `values` to `path`; the ending (.svg, .png, .pdf) decides the format.

    Parameters
    ----------
    values : mapping or Series
        Region name to number.
    path : path-like
    width_mm, dpi : number
        Printed width (PNG and PDF) and resolution (PNG).
    **options
        ``scale``, ``limits``, ``label``, ``threshold``, ``title``, ``views``, ``tooltips``: as in
        `brainmap.brain_map_svg`.

    Raises
    ------
    UsageError
        For another ending, an unknown option value, or when no region can be drawn.
    """
    checked_ending(Path(path))
    return save_figure(brain_map_svg(values, standalone=True, **options), Path(path), width_mm=width_mm, dpi=dpi)


@dataclass(frozen=True)
class Picture:
    """A drawing: a notebook shows it, `save` writes it, `svg` is its text."""

    svg: str = field(repr=False)

    def save(self, path: Path | str, *, width_mm: float = WIDTH_MM, dpi: float = DPI) -> Path:
        """Write it to `path`; the ending (.svg, .png, .pdf) decides the format.

        Parameters
        ----------
        path : path-like
        width_mm, dpi : float
            Printed width and resolution of PNG and PDF.

        Raises
        ------
        UsageError
            For another ending.
        """
        checked_ending(Path(path))
        return save_figure(self.svg, Path(path), width_mm=width_mm, dpi=dpi)

    def _repr_svg_(self) -> str:
        return self.svg
