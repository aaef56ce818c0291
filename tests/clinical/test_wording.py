import numpy as np
import pytest

from bids_app.clinical.wording import (
    few_people,
    grouped,
    interval,
    listing,
    p_value,
    percent,
    plural,
    q_value,
    software,
    upper_first,
)


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


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (p_value(0.001), "p = 0.001"),
        (p_value(0.00099), "p < 0.001"),
        (q_value(0.0123), "q = 0.012"),
        (q_value(np.nan), "q not available"),
        (interval(1.234, 5.678, 1), "95 % interval 1.2 to 5.7"),
        (interval(1.234, np.inf, 0), "95 % interval above 1"),
        (percent(0.0995), "10 %"),
        (percent(0.0994), "9.9 %"),
        (percent(0), "0.0 %"),
        (percent(1), "100 %"),
        (plural(0, "person", "people"), "0 people"),
        (listing(["a", "b"]), "a and b"),
        (listing(list("abcde")), "a, b, c, d and e"),
        (listing(list("abcdef")), "a, b, c, d, e and 1 more"),
        (listing(list("ab"), 1), "a and 1 more"),
        (upper_first(""), ""),
        (grouped([("a", "x"), ("b", "y"), ("c", "x"), ("a", "x")]), ["a, c: x", "b: y"]),
    ],
)
def test_limits_of_what_is_said(said, text):
    assert said == text


@pytest.mark.parametrize(("smallest", "number"), [(19, "19 people"), (1, "1 person"), (0, None), (np.nan, None)])
def test_a_caution_is_for_one_to_nineteen_people(smallest, number):
    said = few_people(smallest)
    assert said == () if number is None else f"rest on {number};" in said[0]
