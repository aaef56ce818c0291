import numpy as np
import pandas as pd
import pytest

from bids_app.errors import InputError
from bids_app.normative.change_model import load_change_model
from bids_app.normative.registry import load_model
from bids_app.regions import ETIV
from bids_app.workbench.train_change import TrainChangeConfig, train_change

REGIONS = ("Left-Thalamus", "Left-Hippocampus")


def repeated(n=40, years=(0.0, 1.0, 3.0), **columns):
    """Scans of healthy people whose z correlate by 0.95 whatever the time."""
    rng, model = np.random.default_rng(2), load_model("open-calibrated")
    own = np.sqrt(0.95) * rng.standard_normal((n, 2))
    blocks = []
    for visit, t in enumerate(years):
        people = pd.DataFrame({"participant_id": [f"sub-{i}" for i in range(n)], "session_id": f"ses-{visit}"})
        people = people.assign(age=np.linspace(25, 60, n) + t, sex=["female", "male"] * (n // 2), fs_version="7.4.1")
        people[ETIV] = 1.5e6
        z = own + np.sqrt(0.05) * rng.standard_normal((n, 2))
        blocks.append(pd.concat([people, pd.DataFrame(model.volumes_at(people, z, REGIONS), columns=REGIONS)], axis=1))
    return pd.concat(blocks, ignore_index=True).assign(**columns)


def trained(table, folder, **options):
    path = folder / "healthy.tsv"
    table.to_csv(path, sep="\t", index=False)
    said = []
    train_change(TrainChangeConfig(table=path, output=folder / "change.json", **options), said.append)
    return load_change_model(folder / "change.json"), said


def test_the_correlations_of_a_table_become_a_file(tmp_path):
    model, said = trained(repeated(stream="long"), tmp_path)
    assert set(model.regions) == set(REGIONS)
    assert np.mean([region.start for region in model.regions.values()]) == pytest.approx(0.95, abs=0.02)
    assert (model.stream, model.n_people, model.years) == ("long", 40, (1.0, 3.0))
    assert model.model.startswith("open-calibrated ")
    assert any("scans are paired within stream" in text for text in said)


def test_a_table_without_repeated_scans_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nobody in healthy\.tsv was scanned twice"):
        trained(repeated(years=(0.0,)), tmp_path)


def test_one_file_is_of_one_stream(tmp_path):
    with pytest.raises(InputError, match="the column stream holds cross and long"):
        trained(repeated(stream=["cross", "long"] * 60), tmp_path)


def test_whole_years_are_pointed_out(tmp_path):
    table = repeated()
    _, said = trained(table.assign(age=table["age"].round()), tmp_path)
    assert any("ages are whole years" in text for text in said)
