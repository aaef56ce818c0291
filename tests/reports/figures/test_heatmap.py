import base64
import io
import json

import numpy as np
import pandas as pd
from PIL import Image

from bids_app.regions import reference_regions
from bids_app.reports.figures.heatmap import MISSING_RGB, NOT_SCORED, heat_map, png


def _tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = pd.DataFrame({"participant_id": ["sub-1", "sub-2", "sub-3"], "session_id": [np.nan] * 3})
    z = pd.DataFrame(np.array([[-1.0], [np.nan], [2.5]]) * np.ones((1, 82)), columns=list(reference_regions()))
    return pd.concat([keys, z], axis=1), keys.assign(group=["b", "a", "b"], n_infra=[0, 1, 4])


def test_rows_are_ordered_by_group_and_burden_and_carry_their_values() -> None:
    content = heat_map(*_tables(), frozenset({"sub-3"}))
    data = json.loads(content["data"])
    assert data["people"] == ["sub-2", "sub-3", "sub-1"]
    assert data["links"] == [None, "sub-3.html", None]
    z = np.frombuffer(base64.b64decode(data["z"]), "<i2").reshape(3, 82)
    assert z[:, 0].tolist() == [NOT_SCORED, 250, -100]
    assert content["groups"] == [("a", 1), ("b", 2)]
    assert sum(n for _, n in content["chapters"]) == 82


def test_left_and_right_of_a_structure_are_neighbours() -> None:
    regions = json.loads(heat_map(*_tables(), frozenset())["data"])["regions"]
    assert abs(regions.index("left thalamus") - regions.index("right thalamus")) == 1


def test_one_pixel_per_value_with_missing_ones_in_grey() -> None:
    image = Image.open(io.BytesIO(png(np.array([[-4.0, 0.0, np.nan], [4.0, 9.0, 1.0]]))))
    assert image.size == (3, 2)
    assert image.getpixel((2, 0)) == MISSING_RGB
    assert image.getpixel((0, 1)) == image.getpixel((1, 1))
    red, _, blue = image.getpixel((0, 0))
    assert blue > red


def test_many_scans_are_drawn_as_means_of_neighbours_of_one_group() -> None:
    people = [f"sub-{i}" for i in range(2500)]
    keys = pd.DataFrame({"participant_id": people, "session_id": np.nan})
    z = pd.DataFrame(np.arange(2500.0)[:, None] / 100 * np.ones((1, 82)), columns=list(reference_regions()))
    scans = keys.assign(group=["a"] * 10 + ["b"] * 2490, n_infra=range(2500))
    content = heat_map(pd.concat([keys, z], axis=1), scans, frozenset(people))
    data = json.loads(content["data"])
    shown = np.frombuffer(base64.b64decode(data["z"]), "<i2").reshape(-1, 82)[:, 0]
    assert content["groups"] == [("a", 4), ("b", 830)]
    assert data["people"][:4] == ["a 1 to 3, mean", "a 4 to 6, mean", "a 7 to 9, mean", "a 10 to 10, mean"]
    assert shown[:4].tolist() == [8, 5, 2, 0]
    assert set(data["links"]) == {None}
