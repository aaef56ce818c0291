"""Pickles give their data and never run."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.errors import ModelError
from bids_app.normative.importers.restricted_pickle import Inert, number, read_pickle


class Thing:
    """Some class of some package."""


def thing() -> Thing:
    made = Thing()
    made.matrix = np.arange(6.0).reshape(2, 3)
    made.fortran = np.asfortranarray(made.matrix)
    made.whole = np.arange(3)
    made.scalar = np.float64(2.5)
    made.inner = Thing()
    made.inner.name = "x"
    made.nothing = None
    return made


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_numbers_are_read_from_every_protocol(tmp_path, protocol):
    found = read_pickle(write(tmp_path / "t.pkl", thing(), protocol))
    assert isinstance(found, Inert)
    assert found.kind.endswith(".Thing")
    np.testing.assert_array_equal(found.get("matrix"), np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found.get("fortran"), np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found.get("whole"), [0, 1, 2])
    assert number(found.get("scalar")) == 2.5
    assert found.get("inner").get("name") == "x"
    assert found.get("absent") is None


class Calls:
    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_calls_are_kept_as_data_and_never_made(tmp_path, protocol):
    mark = tmp_path / "mark"
    for function, argument in (
        (os.system, f"touch {mark}"),
        (subprocess.call, ["touch", str(mark)]),
        (eval, f"open({str(mark)!r}, 'w')"),
        (os.mkdir, str(mark)),
    ):
        found = read_pickle(write(tmp_path / "evil.pkl", Calls(function, argument), protocol))
        assert isinstance(found, Inert)
        assert not mark.exists()


def test_a_call_inside_an_attribute_is_not_made_either(tmp_path):
    mark = tmp_path / "mark"
    outer = Thing()
    outer.value = Calls(os.system, f"touch {mark}")
    read_pickle(write(tmp_path / "evil.pkl", outer))
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3])[:-4],
        b"cos\nsystem\n",
        b"\x80\x02\x82\x01.",
        b"\x80\x04r\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"Pid\n.",
    ],
)
def test_damaged_and_unwanted_pickles_are_model_errors(tmp_path, content):
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a readable pickle"):
        read_pickle(path)


def test_an_array_that_promises_more_than_it_holds_is_refused(tmp_path):
    raw = pickle.dumps(thing(), 2)
    path = tmp_path / "bad.pkl"
    path.write_bytes(raw.replace(b"K\x02K\x03\x86", b"K\xffK\xff\x86"))
    with pytest.raises(ValueError, match="reshape"):
        read_pickle(path).get("matrix")


@given(data=st.data())
@settings(max_examples=300)
def test_mangled_pickles_give_a_model_error_or_data(tmp_path_factory, data):
    mangled = bytearray(pickle.dumps(thing(), data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.pkl"
    path.write_bytes(bytes(mangled))
    with contextlib.suppress(ModelError):
        read_pickle(path)
