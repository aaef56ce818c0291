"""Thickness or area alone stands on the drawing whose names are those of volumes."""

import pytest

from bids_app.reports.figures.maps import map_pair
from bids_app.reports.figures.scene import as_drawn, undrawn


@pytest.mark.parametrize("measure", ["thickness", "area"])
def test_thickness_or_area_alone_is_drawn(measure):
    values = {f"lh_insula_{measure}": -2.5, f"rh_cuneus_{measure}": 0.1}
    assert list(as_drawn(values)) == ["lh_insula_volume", "rh_cuneus_volume"]
    assert undrawn(values | {"lh_MeanThickness_thickness": 1.0}) == ("lh_MeanThickness_thickness",)
    inline, file = map_pair(values, "m", scale="diverging", limits=(-4.0, 4.0), label="z")
    assert "−2.5" in file
    assert inline


def test_volumes_keep_the_drawing_to_themselves():
    values = {"lh_insula_volume": 1.0, "lh_insula_thickness": -3.0}
    assert as_drawn(values) == values
    assert undrawn(values) == ("lh_insula_thickness",)
