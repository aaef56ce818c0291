"""The tests mirror the package: where a module's tests stand can be said from its path."""

from __future__ import annotations

from pathlib import Path

# Tests of behaviour that no single module has.
ACROSS_MODULES = {
    "bids/test_recorded.py",
    "clinical/analyses/test_recorded_trial.py",
    "clinical/analyses/test_recorded_volumes.py",
    "clinical/stats/test_recorded.py",
    "clinical/test_recorded.py",
    "freesurfer/test_recorded.py",
    "normative/test_recorded.py",
    "cli/test_model_exchange.py",
    "cli/test_model_score_chunks.py",
    "freesurfer/test_read_only.py",
    "freesurfer/test_recon_versions.py",
    "freesurfer/test_shared_data.py",
    "normative/engines/test_blr_by_hand.py",
    "normative/engines/test_native_by_hand.py",
    "normative/engines/test_pcntoolkit_load_checks.py",
    "normative/importers/test_asymmetry.py",
    "normative/importers/test_published.py",
    "normative/test_default_models.py",
    "reports/test_traceability.py",
    "test_readers.py",
    "workbench/test_commands.py",
    "workbench/test_not_segmented.py",
    "workflows/test_graphs.py",
}
WITHOUT_MIRROR = {"contract", "integration", "browser", "platforms"}


def files_of_tests(repository: Path) -> list[Path]:
    tests = repository / "tests"
    found = [path.relative_to(tests) for path in sorted(tests.rglob("test_*.py"))]
    return [path for path in found if not WITHOUT_MIRROR & set(path.parts)]


def test_every_test_file_names_a_module(repository):
    places = (repository / "bids_app", repository)
    astray = [
        str(path)
        for path in files_of_tests(repository)
        if not any((place / path.with_name(path.name.removeprefix("test_"))).exists() for place in places)
    ]
    assert set(astray) <= ACROSS_MODULES, "name the file after its module, or list it here"


def test_the_exceptions_are_still_there(repository):
    assert {str(path) for path in files_of_tests(repository)} >= ACROSS_MODULES
