"""Pickles give their data and never run."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import pickletools
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.errors import ModelError
from bids_app.normative.importers import restricted_pickle
from bids_app.normative.importers.restricted_pickle import Array, Dtype, Inert, number, read_pickle


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


@pytest.mark.parametrize("kind", [">f8", "<f8", "<f4", ">f4", "<i8", ">i8", ">i4", "|b1", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_plain_type_and_order_of_bytes_is_read(tmp_path, kind, order, protocol):
    made = Thing()
    made.values = np.array([[0, 1, 2], [3, 4, 1]], order=order).astype(kind, order=order)
    made.last = made.values[1, 2]
    found = read_pickle(write(tmp_path / "t.pkl", made, protocol))
    assert found.get("values").dtype == float
    np.testing.assert_array_equal(found.get("values"), made.values.astype(float))
    assert number(found.get("last")) == 1.0


def test_a_type_without_its_order_of_bytes_is_little_endian():
    made = Dtype("f8")
    assert made.name() == "<f8"
    for state, expected in (((3,), "<f8"), ((3, "|"), "<f8"), ((3, ">"), ">f8"), ([3, ">"], "<f8")):
        made.state = state
        assert made.name() == expected
    with pytest.raises(ValueError, match="array of type O8"):
        Dtype("O8").name()


def test_an_array_of_something_else_is_none():
    made = Array()
    for dtype, data in ((Dtype("f8"), [1.0]), ("f8", bytes(8)), (None, None)):
        made.state = (1, (1,), dtype, False, data)
        assert made.array() is None


def test_what_is_a_number():
    assert (number(np.array([[5.0]])), number(True), number(2), number(0.5)) == (5.0, 1.0, 2.0, 0.5)
    assert type(number(2)) is float
    for value in (np.array([1.0, 2.0]), np.zeros(0), "1", None, [1.0]):
        with pytest.raises(ValueError, match="where a number was expected"):
            number(value)


class Listed(list):
    """A list that is pickled as an object with items."""


class Mapped(dict):
    """A dictionary that is pickled as an object with items."""


def test_items_and_arguments_are_kept(tmp_path):
    assert read_pickle(write(tmp_path / "l.pkl", Listed([1, 2]))).items == [1, 2]
    assert read_pickle(write(tmp_path / "m.pkl", Mapped(a=1))).items == [("a", 1)]
    found = read_pickle(write(tmp_path / "c.pkl", Calls(os.mkdir, "x")))
    assert (found.arguments, found.state, found.get("x")) == (("x",), None, None)
    assert found.kind == f"{os.mkdir.__module__}.mkdir"
    assert read_pickle(write(tmp_path / "o.pkl", collections.OrderedDict(a=1))) == {"a": 1}


def test_opcodes_and_reserved_memory_are_bounded(tmp_path, monkeypatch):
    path = write(tmp_path / "t.pkl", [1, 2, 3], 2)
    n = sum(1 for _ in pickletools.genops(path.read_bytes()))
    monkeypatch.setattr(restricted_pickle, "MAX_OPCODES", n - 1)
    assert read_pickle(path) == [1, 2, 3]
    monkeypatch.setattr(restricted_pickle, "MAX_OPCODES", n - 2)
    with pytest.raises(ModelError, match="which data do not need"):
        read_pickle(path)
    monkeypatch.setattr(restricted_pickle, "MAX_OPCODES", 9)
    for at, refused in ((9, False), (10, True)):
        path.write_bytes(b"\x80\x02]q" + bytes([at]) + b".")
        with pytest.raises(ModelError, match="too much memory") if refused else contextlib.nullcontext():
            assert read_pickle(path) == []


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "t.pkl", [1, 2, 3], 2)
    monkeypatch.setattr(restricted_pickle, "MAX_PICKLE_BYTES", path.stat().st_size)
    assert read_pickle(path) == [1, 2, 3]
    monkeypatch.setattr(restricted_pickle, "MAX_PICKLE_BYTES", path.stat().st_size - 1)
    with pytest.raises(ModelError, match="more than the"):
        read_pickle(path)


def test_stand_ins_are_rebuilt_and_text_is_bytes():
    assert isinstance(restricted_pickle._reconstructed(Inert, object, None), Inert)
    for kind in (dict, "text", None):
        with pytest.raises(ValueError, match="unexpected kind"):
            restricted_pickle._reconstructed(kind)
    assert restricted_pickle._encoded("\xe9") == restricted_pickle._encoded("\xe9", "latin-1") == b"\xe9"
    with pytest.raises(ValueError, match="text encoding utf-8"):
        restricted_pickle._encoded("x", "utf-8")
