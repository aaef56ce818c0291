"""Colour scales made in OKLab: even steps of lightness, safe for colour-blind readers and for grey print.

OKLab is Bjoern Ottosson's perceptual space (2020, https://bottosson.github.io/posts/oklab). Lightness falls
with the distance from the middle, so that a grey print keeps the size of a deviation; blue and orange,
which all common kinds of colour blindness tell apart, carry its sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

STEPS = 255
SCALES = ("diverging", "sequential")


def _oklch_to_rgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCh (hue in degrees) to linear RGB, (..., 3); values outside 0 to 1 are out of gamut."""
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    )


def gamma(linear: np.ndarray) -> np.ndarray:
    """Linear RGB to sRGB by the transfer curve of IEC 61966-2-1.

    Parameters
    ----------
    linear : array
        Clipped to 0 to 1.

    Returns
    -------
    array
        0 to 1, of the same shape.
    """
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _in_gamut(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """sRGB with chroma lowered just enough to exist on a screen; lightness and hue stay."""
    low, high = np.zeros_like(chroma), chroma.copy()
    for _ in range(20):
        middle = (low + high) / 2
        rgb = _oklch_to_rgb(lightness, middle, hue)
        fits = ((rgb >= 0) & (rgb <= 1)).all(axis=-1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return gamma(_oklch_to_rgb(lightness, low, hue))


def _diverging() -> np.ndarray:
    position = np.linspace(-1, 1, STEPS)
    distance = np.abs(position)
    lightness = 0.965 - 0.565 * distance
    chroma = 0.19 * distance**0.75
    hue = np.where(position < 0, 248 + 14 * distance, 68 - 30 * distance)
    return _in_gamut(lightness, chroma, hue)


def _sequential() -> np.ndarray:
    position = np.linspace(0, 1, STEPS)
    return _in_gamut(0.975 - 0.645 * position, 0.035 + 0.15 * position**0.7, 100 - 105 * position)


@lru_cache(maxsize=2)
def colour_map(scale: str) -> np.ndarray:
    """The colours of a scale from low to high.

    Parameters
    ----------
    scale : {'diverging', 'sequential'}

    Returns
    -------
    (255, 3) array
        sRGB from 0 to 1; one array for all callers, so do not change it.
    """
    return {"diverging": _diverging, "sequential": _sequential}[scale]()


def to_hex(rgb: np.ndarray) -> str:
    """One colour as ``#rrggbb``.

    Parameters
    ----------
    rgb : (3,) array
        sRGB, 0 to 1.

    Returns
    -------
    str
    """
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb)


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on the ``diverging`` or ``sequential`` colours; beyond, the end colours."""

    kind: str
    low: float
    high: float

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """The colours of an array of values.

        Parameters
        ----------
        values : array
            Finite.

        Returns
        -------
        (..., 3) array
            sRGB, 0 to 1.
        """
        share = (np.asarray(values, float) - self.low) / (self.high - self.low)
        return colour_map(self.kind)[np.rint(np.clip(share, 0, 1) * (STEPS - 1)).astype(int)]

    def hex(self, value: float) -> str:
        """``#rrggbb`` of one finite value."""
        return to_hex(self.rgb(np.asarray(value)))
