"""Tables of FreeSurfer 8: the zeros of labels that SynthSeg lacks get no z, and are said; an atlas's zeros stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app import regions
from bids_app.normative.plausible import typical_value
from bids_app.tables import read_table
from bids_app.workbench.score import ScoreConfig, score_table

ABSENT = ("WM-hypointensities", "Left-choroid-plexus", "Right-choroid-plexus")


def scored(tmp_path, version, zeros, name="fs_version"):
    row = {
        region: typical_value(region) or 1000.0
        for region in (*regions.reference_regions(), *regions.extended_regions())
    }
    row |= {"participant_id": "sub-01", "age": 40.0, "sex": "female", regions.ETIV: 1.5e6} | dict.fromkeys(zeros, 0.0)
    row |= {} if version is None else {name: version}
    pd.DataFrame([row, row | {"participant_id": "sub-02", "age": 41.0}]).to_csv(tmp_path / "t.csv", index=False)
    paths = {key: tmp_path / f"{key}.tsv" for key in ("counts", "findings")}
    score_table(ScoreConfig(table=tmp_path / "t.csv", output=str(tmp_path / "z.tsv"), **paths), lambda _: None)
    return read_table(tmp_path / "z.tsv"), read_table(paths["findings"]), (tmp_path / "counts.tsv").read_text()


@pytest.mark.parametrize(
    ("version", "zeros", "name"),
    [
        ("8.1.0", ABSENT, "fs_version"),
        ("v8.0.0", ABSENT[:1], "fs_version"),
        ("8", ABSENT, "freesurfer_version"),
        (None, ABSENT, ""),
        ("7.4.1", ABSENT, "fs_version"),
    ],
)
def test_zeros_of_synthseg_have_no_z_and_are_a_finding(tmp_path, version, zeros, name):
    z, findings, counts = scored(tmp_path, version, zeros, name)
    assert z[list(zeros)].isna().all(axis=None)
    assert "not-segmented" in set(findings["kind"])
    assert "value-impossible" not in set(findings["kind"])
    assert "not segmented by SynthSeg" in counts


@pytest.mark.parametrize("version", ["6.0.0", "7.4.1", None])
def test_no_hypointensities_alone_are_impossible(tmp_path, version):
    z, findings, _ = scored(tmp_path, version, ABSENT[:1])
    assert z["WM-hypointensities"].isna().all()
    assert set(findings["kind"]) - {"brains-alike"} == {"value-impossible"}


def test_volumes_of_freesurfer_8_are_scored(tmp_path):
    z, findings, _ = scored(tmp_path, "8.1.0", ())
    assert np.isfinite(z[list(ABSENT)].to_numpy(dtype=float)).all()
    assert "not-segmented" not in set(findings["kind"])
