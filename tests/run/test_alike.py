"""Results that belong together are told from those that do not."""

import pytest

from bids_app.bids.names import derivative_path
from bids_app.errors import InputError, UsageError
from bids_app.run.alike import RECORD, asked_for, check_alike, record, refuse_mixed, scored_as, with_before
from bids_app.run.request import ModelChoice
from bids_app.tables import write_json

PLAIN = asked_for(ModelChoice("m"), "abc")
ADAPTED = asked_for(ModelChoice("m", controls="age > 1", by="site"), "abc")


def summary(sha256="abc", scoring="own-sex", adaptation=None):
    return {"model": {"name": "m", "sha256": sha256, "scoring": scoring, "adaptation": adaptation}}


def differs(output, asked, *, force=False):
    return check_alike(output, with_before(output, asked, force=force), force=force)


def scored(output, content=None):
    write_json(content or summary(), derivative_path(output, "01", "1", desc="summary", extension=".json"))


def test_a_folder_without_results_fits_every_run(tmp_path):
    record(tmp_path, ADAPTED)
    assert differs(tmp_path, PLAIN) == []


def test_the_same_options_fit(tmp_path):
    scored(tmp_path)
    assert differs(tmp_path, PLAIN) == []
    record(tmp_path, PLAIN)
    assert differs(tmp_path, PLAIN) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ADAPTED, "--adapt-controls: none before, age > 1 now; --adapt-by: none before, site now"),
        ({**PLAIN, "model_sha256": "def"}, "model: content abc before, content def now"),
        ({**PLAIN, "scoring": "reference-compat"}, "scoring: own-sex before, reference-compat now"),
    ],
)
def test_other_options_are_refused_unless_forced(tmp_path, asked, words):
    scored(tmp_path)
    with pytest.raises(UsageError, match="made with other options") as caught:
        differs(tmp_path, asked)
    assert words in caught.value.reason
    assert "--force" in caught.value.remedy
    (finding,) = differs(tmp_path, asked, force=True)
    assert (finding.kind, finding.seen) == ("run-differs", words)


def test_a_forced_run_that_is_given_again_says_what_the_first_one_said(tmp_path):
    scored(tmp_path)
    first = differs(tmp_path, ADAPTED, force=True)
    record(tmp_path, with_before(tmp_path, ADAPTED, force=True))
    again = (tmp_path / RECORD).read_bytes()
    assert differs(tmp_path, ADAPTED, force=True) == first
    record(tmp_path, with_before(tmp_path, ADAPTED, force=True))
    assert (tmp_path / RECORD).read_bytes() == again
    assert differs(tmp_path, ADAPTED) == []
    record(tmp_path, with_before(tmp_path, ADAPTED, force=False))
    assert differs(tmp_path, ADAPTED, force=True) == []


def test_how_a_scan_was_scored_is_in_its_summary():
    adaptation = {"controls": "age > 1", "by": "site", "scanner": "A"}
    assert scored_as(summary(adaptation=adaptation)) == ADAPTED
    assert scored_as(summary()) == PLAIN


def test_scans_that_were_scored_alike_are_pooled():
    one, other = ({"controls": "c", "by": None, "sha256": "1", "n_controls": n, "scanner": str(n)} for n in (3, 4))
    refuse_mixed([summary(adaptation=one), summary(adaptation=other)])
    refuse_mixed([])


@pytest.mark.parametrize(
    "other",
    [
        summary(sha256="def"),
        summary(scoring="reference-compat"),
        summary(adaptation={"controls": "age > 1", "sha256": "1"}),
    ],
)
def test_scans_that_were_scored_otherwise_are_not(other):
    with pytest.raises(InputError, match=r"2 scans with model m \(abc\), scoring own-sex, without adaptation; 1 scans"):
        refuse_mixed([summary(), other, summary()])
