"""Colour scales: even, safe for colour-blind readers, in order in a grey print."""

import numpy as np
import pytest

from bids_app.reports.figures.colour import SCALES, Scale, colour_map, to_hex

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(lin):
    """CIELAB (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(lin, 0, 1) @ to_xyz.T
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lightness(scale):
    return lab(linear(colour_map(scale)))[:, 0]


@pytest.mark.parametrize("scale", SCALES)
def test_colours_exist_on_a_screen(scale):
    colours = colour_map(scale)
    assert colours.shape == (255, 3)
    assert (colours >= 0).all()
    assert (colours <= 1).all()


def test_diverging_darkens_evenly_both_ways():
    steps = lightness("diverging")
    assert (np.diff(steps[127:]) < 0).all()
    assert (np.diff(steps[:128]) > 0).all()
    assert np.abs(steps - steps[::-1]).max() < 12
    assert steps[127] > 94


def test_sequential_darkens_all_the_way():
    steps = np.diff(lightness("sequential"))
    assert (steps < 0).all()
    assert steps.min() > 2.5 * steps.mean()


@pytest.mark.parametrize("kind", BLINDNESS)
def test_signs_stay_apart_for_colour_blind_readers(kind):
    seen = lab(linear(colour_map("diverging")) @ np.array(BLINDNESS[kind]).T)
    distance = np.linalg.norm(seen - seen[::-1], axis=1)
    # from |z| = 1 on a scale to 4
    assert distance[: 127 - 32].min() > 20


def test_values_beyond_the_ends_take_the_end_colours():
    scale = Scale("diverging", -4, 4)
    assert scale.hex(-9) == scale.hex(-4) == to_hex(colour_map("diverging")[0])
    assert scale.hex(99) == scale.hex(4)


def test_zero_is_the_middle_of_symmetric_limits():
    assert Scale("diverging", -3, 3).hex(0) == to_hex(colour_map("diverging")[127])
