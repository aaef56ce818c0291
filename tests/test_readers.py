"""Every reader of files from outside reads what it is given, or says a sentence: never a traceback, never a hang."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_whatever_the_file_holds_is_read_or_a_sentence(target, tmp_path):
    trial = fuzz.Trial(target, tmp_path)
    starts = fuzz.seeds(target)
    files = st.one_of(
        st.binary(max_size=300), st.builds(fuzz.mutated, st.sampled_from(starts), st.randoms(use_true_random=False))
    )

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(files)
    def check(content):
        trial(content)

    check()
    assert trial.done >= 20


@pytest.mark.parametrize("target", sorted({*fuzz.TARGETS} - {"braincharts", "brainchart", "centilebrain", "nomis"}))
def test_the_files_that_mutations_start_from_are_looked_into(target, tmp_path):
    random.seed(0)
    trial = fuzz.Trial(target, tmp_path)
    for content in fuzz.seeds(target):
        trial(content)
    assert trial.done == len(fuzz.seeds(target))
