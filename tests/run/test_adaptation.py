"""Site adaptation in a run: who the controls are, and what each scan gets of it."""

import numpy as np
import pandas as pd
import pytest

from bids_app.bids.covariates import Covariates
from bids_app.bids.layout import Scan
from bids_app.errors import InputError, UsageError
from bids_app.freesurfer.synthetic import write_subject
from bids_app.regions import reference_regions
from bids_app.run.adaptation import StoredAdaptation, estimate_adaptation
from bids_app.run.trees import Trees
from bids_app.tables import read_json


@pytest.fixture
def root(tmp_path):
    for label in ("01", "02", "03"):
        volumes = {"Left-Thalamus": 7000.0 + 100 * int(label)}
        write_subject(tmp_path / "subjects" / f"sub-{label}", volumes, etiv=1.5e6)
    return tmp_path / "subjects"


def people(problem=(None, None, None, None)):
    """Four people; 04 has no FreeSurfer tree."""
    rows = zip((30.0, 41.0, 52.0, 60.0), ("female", "male", "female", "male"), "ccpc", "1122", problem)
    groups = {"c": "control", "p": "patient"}
    return [
        Covariates(f"sub-0{number}", None, age, sex, "p", "p", None, why, {"group": groups[group], "scanner": scanner})
        for number, (age, sex, group, scanner, why) in enumerate(rows, start=1)
    ]


SCANS = [Scan(f"0{number}") for number in (1, 2, 3, 4)]


def estimate(root, model, controls='group == "control"', covariates=None, **options):
    covariates = people() if covariates is None else covariates
    return estimate_adaptation(model, covariates, SCANS, Trees(), [root], controls=controls, **options)


def test_controls_without_a_tree_are_named(root, model):
    found = estimate(root, model)
    assert found.notes == (
        'site adaptation from 2 local controls (group == "control")',
        "controls that could not be used for the adaptation: sub-04",
    )


def test_controls_that_cannot_be_scored_do_not_count(root, model):
    problem = (None, "no age", None, None)
    assert "from 1 local controls" in estimate(root, model, covariates=people(problem=problem)).notes[0]


def test_nobody_usable_is_an_input_error(root, model):
    with pytest.raises(InputError, match="none of the 1 scans"):
        estimate(root, model, controls="age > 55")
    with pytest.raises(InputError, match="selects nobody"):
        estimate(root, model, controls="age > 99")


def test_an_unknown_scanner_column_names_those_known(root, model):
    with pytest.raises(UsageError, match="--adapt-by coil: there is no such column"):
        estimate(root, model, by="coil")


def test_nothing_in_a_condition_is_executed(root, model, tmp_path):
    for condition in ("@pd.io.common.os.system('x')", "age.__class__ == 1", "__import__('os') == 1"):
        with pytest.raises(UsageError, match="cannot be evaluated"):
            estimate(root, model, controls=condition)


def test_each_scan_gets_the_shift_of_its_scanner_without_itself(root, model, tmp_path):
    found = estimate(root, model, controls="age < 55", by="scanner")
    rows = [item.row() for item in people()]
    control, other, alone = (
        read_json(found.assign(row, tmp_path / f"{row['participant_id']}.json")) for row in rows[:3]
    )
    assert (control["scanner"], control["n_controls"], control["left_out"]) == ("1", 1, True)
    assert (alone["scanner"], alone["n_controls"]) == ("2", 0)
    assert control["shift"] != other["shift"]
    stored = StoredAdaptation.from_json(control)
    shift, scale, shift_se = stored.parameters(pd.DataFrame(rows[:2]), ("Left-Thalamus", "nowhere"))
    assert shift.shape == (2, 2)
    place = control["regions"].index("Left-Thalamus")
    assert shift[:, 0].tolist() == [control["shift"][place]] * 2
    assert (shift[0, 1], scale[0, 1]) == (0.0, 1.0)
    assert np.isnan(shift_se[0, 1])


def test_the_fit_is_written_with_its_table(root, model, tmp_path):
    estimate(root, model).write(tmp_path)
    assert read_json(tmp_path / "adaptation.json")["levels"]["all"]["people"] == ["sub-01", "sub-02"]
    table = pd.read_csv(tmp_path / "group" / "group_adaptation.tsv", sep="\t")
    assert set(reference_regions()) <= set(table["region"])
