import numpy as np
import pytest

from bids_app.clinical.wording import few_people, interval, listing, p_value, percent, plural, software, upper_first


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (p_value(0.0004), "p < 0.001"),
        (p_value(0.0123), "p = 0.012"),
        (p_value(np.nan), "p not available"),
        (interval(0.14, 0.34), "95 % interval 0.14 to 0.34"),
        (interval(2.0, np.inf), "95 % interval above 2.00"),
        (interval(-np.inf, 2.0), "95 % interval below 2.00"),
        (interval(-np.inf, np.inf), "95 % interval unbounded"),
        (percent(0.253), "25 %"),
        (percent(0.025), "2.5 %"),
        (plural(1, "person", "people"), "1 person"),
        (plural(2, "region"), "2 regions"),
        (listing([]), "none"),
        (listing(["a"]), "a"),
        (listing(["a", "b", "c"]), "a, b and c"),
        (listing(list("abcdefg"), 3), "a, b, c and 4 more"),
        (upper_first("disease duration"), "Disease duration"),
        (upper_first("EDSS"), "EDSS"),
    ],
)
def test_numbers_are_said_calmly(said, text):
    assert said == text


def test_few_people_are_pointed_out():
    assert few_people(20) == ()
    assert few_people(5) == ("Some of these estimates rest on 5 people; take them as exploratory.",)


def test_software_is_named_with_its_version():
    assert software("numpy").endswith(f"numpy {np.__version__}")
    assert software("nosuchpackage").endswith("(unknown version)")
