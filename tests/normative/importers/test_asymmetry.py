"""The asymmetry variant of Brain Reference scores left minus right volumes."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import ModelError
from bids_app.normative.importers.brain_reference import import_brain_reference
from bids_app.regions import ETIV
from tests.normative.importers.r_writer import HEADER, NIL, dump, mfp_object


def write_rdata(path, name: str, value) -> None:
    body = struct.pack(">i", 2 | 1024) + struct.pack(">i", 1) + struct.pack(">ii", 9, len(name)) + name.encode()
    path.write_bytes(gzip.compress(b"RDX2\n" + HEADER + body + dump(value) + NIL))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(2)
    for region in ("Left.Thalamus", "lh_insula_volume"):
        for sex in ("female", "male"):
            write_rdata(
                tmp_path / f"{region}_{sex}.Rdata", f"mfp.{sex}.model", mfp_object(rng, etiv_name=ETIV, mean=100.0)
            )
    return tmp_path


def test_differences_are_made_from_the_two_volumes(folder):
    model = import_brain_reference(folder, asymmetry=True)
    assert model.regions == ("difference_Thalamus", "difference_insula")
    data = pd.DataFrame(
        {"age": [40.0], "sex": ["male"], ETIV: [1.5e6], "Left-Thalamus": [8000.0], "Right-Thalamus": [7700.0]}
    )
    found = model.deviations(data)
    assert found.regions == ("difference_Thalamus",)
    assert found.observed[0, 0] == 300.0
    rmse = model.region_models[0].fits["male"].rmse
    assert found.z[0, 0] == pytest.approx((300 - found.expected[0, 0]) / rmse)


def test_differences_are_not_taken_for_volumes(folder):
    with pytest.raises(ModelError, match="brain-reference-asymmetry"):
        import_brain_reference(folder)


def test_right_hemisphere_files_do_not_belong_to_it(folder):
    write_rdata(
        folder / "Right.Thalamus_male.Rdata",
        "mfp.male.model",
        mfp_object(np.random.default_rng(0), etiv_name=ETIV, mean=100.0),
    )
    with pytest.raises(ModelError, match="is not left"):
        import_brain_reference(folder, asymmetry=True)
