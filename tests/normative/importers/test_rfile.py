"""R's saved objects are read, and nothing that is wrong with a file passes as anything but a ModelError."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.errors import ModelError
from bids_app.normative import limits
from bids_app.normative.importers import rfile
from bids_app.normative.importers.rfile import MAX_DEPTH, RObject, read_r_file

HEADER = b"X\n" + struct.pack(">iii", 2, 0x040202, 0x020300)
NIL = struct.pack(">i", 254)


def chars(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">ii", 9, len(data)) + data


def strings(*texts: str) -> bytes:
    return struct.pack(">ii", 16, len(texts)) + b"".join(chars(text) for text in texts)


def reals(*values: float, attributes: bytes = b"") -> bytes:
    flags = 14 | (512 if attributes else 0)
    return struct.pack(">ii", flags, len(values)) + struct.pack(f">{len(values)}d", *values) + attributes


def names(*texts: str) -> bytes:
    """The attribute list with names only."""
    return struct.pack(">i", 2 | 1024) + struct.pack(">i", 1) + chars("names") + strings(*texts) + NIL


def r_list(*items: bytes, labels: tuple[str, ...]) -> bytes:
    return struct.pack(">ii", 19 | 512, len(items)) + b"".join(items) + names(*labels)


def write(path, body: bytes, compress=gzip.compress):
    path.write_bytes(compress(HEADER + body))
    return path


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_named_list_is_read_from_every_compression(tmp_path, compress):
    path = write(tmp_path / "m.rds", r_list(reals(1.5, -2.0), strings("a", "b"), labels=("x", "y")), compress)
    root = read_r_file(path)[""]
    assert root.names == ["x", "y"]
    np.testing.assert_array_equal(root.get("x").value, [1.5, -2.0])
    assert root.get("y").value == ["a", "b"]
    assert root.get("z") is None


def test_names_of_a_vector_are_its_attributes(tmp_path):
    path = write(tmp_path / "m.rds", reals(1.0, 2.0, attributes=names("a", "b")))
    assert read_r_file(path)[""].names == ["a", "b"]


def test_a_workspace_gives_its_objects_by_name(tmp_path):
    body = struct.pack(">i", 2 | 1024) + struct.pack(">i", 1) + chars("model") + reals(3.0) + NIL
    path = tmp_path / "w.Rdata"
    path.write_bytes(gzip.compress(b"RDX2\n" + HEADER + body))
    found = read_r_file(path)
    assert list(found) == ["model"]
    assert found["model"].value[0] == 3.0


def test_empty_hash_buckets_of_an_environment_are_accepted(tmp_path):
    unbound = struct.pack(">i", 252)
    environment = struct.pack(">ii", 4, 0) + NIL + NIL + struct.pack(">ii", 19, 2) + unbound + unbound + NIL
    path = write(tmp_path / "e.rds", environment)
    assert read_r_file(path)[""].kind == "environment"


def test_compact_sequences_are_expanded(tmp_path):
    info = struct.pack(">i", 2) + struct.pack(">i", 1) + chars("compact_intseq") + NIL
    path = write(tmp_path / "s.rds", struct.pack(">i", 238) + info + reals(3.0, 5.0, 1.0) + NIL)
    np.testing.assert_array_equal(read_r_file(path)[""].value, [5, 6, 7])


def test_code_is_never_a_value(tmp_path):
    call = struct.pack(">i", 6) + struct.pack(">i", 1) + chars("system") + struct.pack(">i", 2) + strings("ls") + NIL
    root = read_r_file(write(tmp_path / "c.rds", call))[""]
    assert root.kind == "call"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "damaged"),
        (struct.pack(">ii", 14, 2**30), "damaged"),
        (struct.pack(">ii", 14, -5), "damaged"),
        (struct.pack(">i", 255 | (7 << 8)), "damaged"),
        (struct.pack(">i", 111), "damaged"),
        (struct.pack(">i", 238) + strings("compact_intseq") + reals(3.0, 5.0, 1.0) + NIL, "damaged"),
        (b"".join(struct.pack(">ii", 19, 1) for _ in range(MAX_DEPTH + 2)) + reals(1.0), "damaged"),
    ],
)
def test_damaged_content_is_a_model_error(tmp_path, body, word):
    with pytest.raises(ModelError, match=word):
        read_r_file(write(tmp_path / "bad.rds", body))


def test_other_files_are_named_as_such(tmp_path):
    path = tmp_path / "x.rds"
    path.write_text("region\tvolume\n")
    with pytest.raises(ModelError, match="not a file saved by R"):
        read_r_file(path)
    with pytest.raises(ModelError, match="check the path"):
        read_r_file(tmp_path / "absent.rds")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.decompress, "__defaults__", (10**6,))
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        path = write(tmp_path / "bomb.rds", b"\0" * 5 * 10**6, compress)
        with pytest.raises(ModelError, match="unpacks to more"):
            read_r_file(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.rds"
    path.write_bytes(b"\0" * 2000)
    with pytest.raises(ModelError, match="more than"):
        limits.read_limited(path, 1000)


@given(data=st.data())
@settings(max_examples=300)
def test_truncated_and_flipped_bytes_give_a_model_error_or_data(tmp_path_factory, data):
    whole = HEADER + r_list(reals(1.0, 2.0, attributes=names("a", "b")), strings("x", "yy"), labels=("u", "v"))
    mangled = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if mangled:
            mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.rds"
    path.write_bytes(bytes(mangled))
    with contextlib.suppress(ModelError):
        read_r_file(path)


def test_truncated_gzip_is_a_model_error(tmp_path):
    whole = gzip.compress(HEADER + reals(*range(1000)))
    for keep in (3, 20, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "t.rds"
        path.write_bytes(whole[:keep])
        with pytest.raises(ModelError):
            read_r_file(path)


def ints(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def symbol(text: str) -> bytes:
    return ints(1) + chars(text)


def read(tmp_path, body: bytes):
    return read_r_file(write(tmp_path / "r.rds", body, bytes))[""]


def followed(tmp_path, *bodies: bytes):
    """The object of the last body, of which exactly its own bytes are read: a number follows."""
    root = read(tmp_path, ints(19, len(bodies) + 1) + b"".join(bodies) + reals(7.5))
    np.testing.assert_array_equal(root.value[-1].value, [7.5])
    return root.value[-2]


@pytest.mark.parametrize("kind", [0, 241, 242, 250, 251, 252, 253, 254])
def test_constants_are_nothing(tmp_path, kind):
    found = followed(tmp_path, ints(kind))
    assert (found.kind, found.value, found.get("x"), found.names, found.classes) == ("nil", None, None, [], [])


@pytest.mark.parametrize(
    ("kind", "form", "values"),
    [(10, ">2i", (1, 0)), (13, ">2i", (-3, 70000)), (14, ">2d", (0.5, -2)), (24, "2B", (255, 1))],
)
def test_vectors_of_numbers_have_their_width(tmp_path, kind, form, values):
    found = followed(tmp_path, ints(kind, 2) + struct.pack(form, *values))
    assert (found.kind, found.value.tolist()) == ("numbers", list(values))


def test_complex_numbers_empty_vectors_and_missing_texts(tmp_path):
    assert followed(tmp_path, ints(15, 1) + struct.pack(">2d", 1, 2)).value.tolist() == [1 + 2j]
    assert followed(tmp_path, ints(14, 0)).value.tolist() == []
    assert followed(tmp_path, ints(16, 2, 9, -1) + chars("b")).value == [None, "b"]
    assert followed(tmp_path, chars("text")).value == "text"
    assert followed(tmp_path, ints(20, 1) + reals(1.0)).kind == "list"


def test_builtin_functions_and_s4_objects_are_stepped_over(tmp_path):
    for kind in (7, 8):
        assert followed(tmp_path, ints(kind, 3) + b"sum").kind == "code"
    assert followed(tmp_path, ints(25)).kind == "s4"
    found = followed(tmp_path, ints(25 | 512) + names("a"))
    assert found.names == ["a"]


def test_references_give_what_they_refer_to(tmp_path):
    for reference in (ints(255 | (2 << 8)), ints(255, 2)):
        found = followed(tmp_path, symbol("a"), symbol("b"), reference)
        assert (found.kind, found.value) == ("symbol", "b")
    environment = ints(4, 0) + NIL * 4
    assert followed(tmp_path, environment, symbol("b"), ints(255 | (1 << 8))).kind == "environment"


@pytest.mark.parametrize(
    "body",
    [
        ints(4, 0) + symbol("a") + reals(1.0) + NIL + NIL,
        ints(247, 0, 2) + chars("a") + chars("b"),
        ints(248, 0, 1) + chars("a"),
        ints(249, 0, 1) + chars("base"),
        ints(22) + NIL + reals(1.0),
        ints(22 | 512) + NIL + reals(1.0) + names("a"),
        ints(23),
        ints(23 | 512) + names("a"),
    ],
)
def test_environments_and_pointers_are_inert(tmp_path, body):
    found = followed(tmp_path, body)
    assert (found.kind, found.value) == ("environment", None)


@pytest.mark.parametrize(("kind", "word"), [(2, "pairlist"), (6, "call"), (3, "code"), (5, "code"), (17, "code")])
def test_pairs_keep_their_tags_and_drop_their_attributes(tmp_path, kind, word):
    plain = ints(kind) + reals(1.0) + ints(kind | 1024) + symbol("x") + reals(2.0)
    for body in (plain + NIL, plain + ints(0)):
        found = followed(tmp_path, body)
        assert (found.kind, [part.value.tolist() for part in found.value]) == (word, [[1.0], [2.0]])
        assert list(found.attributes) == ["x"]
    found = followed(tmp_path, ints(kind | 512 | 1024) + names("a") + symbol("x") + reals(3.0) + NIL)
    assert found.attributes["x"].value.tolist() == [3.0]
    found = followed(tmp_path, ints(kind | 512) + names("a") + reals(3.0) + NIL)
    assert (len(found.value), found.attributes) == (1, {})


def test_the_end_of_pairs_may_be_another_object(tmp_path):
    found = followed(tmp_path, ints(3) + reals(1.0) + ints(6) + symbol("f") + NIL)
    assert (found.kind, len(found.value), found.value[1].kind) == ("code", 2, "call")


def altrep(name: str, state: bytes, attributes: bytes = NIL) -> bytes:
    return ints(238, 2) + symbol(name) + NIL + state + attributes


def test_compact_representations_are_expanded(tmp_path):
    for kind in ("compact_intseq", "compact_realseq"):
        found = followed(tmp_path, altrep(kind, reals(3.0, 5.0, -2.0), names("a", "b", "c")))
        assert (found.kind, found.value.tolist(), found.names) == ("numbers", [5.0, 3.0, 1.0], ["a", "b", "c"])
    assert followed(tmp_path, altrep("compact_intseq", reals(0.0, 5.0, 1.0))).value.tolist() == []
    wrapped = altrep("wrap_real", ints(19, 2) + reals(4.0, 5.0) + ints(13, 2, 0, 0))
    assert followed(tmp_path, wrapped).value.tolist() == [4.0, 5.0]
    texts = followed(tmp_path, altrep("deferred_string", ints(2) + reals(1.0, 2.5, -12345678.0, 0.12345678) + NIL))
    assert (texts.kind, texts.value) == ("strings", ["1", "2.5", "-12345678", "0.12345678"])


@pytest.mark.parametrize(
    "body",
    [
        altrep("compact_intseq", reals(-1.0, 5.0, 1.0)),
        altrep("mmap_real", reals(1.0)),
        ints(238) + NIL + reals(3.0, 5.0, 1.0) + NIL,
        ints(9, -2) + b"ab",
        ints(9, 3) + b"ab",
        ints(16, 1) + reals(1.0),
        ints(24, 3) + b"ab",
        ints(14, 1) + b"1234567",
        ints(10, 2) + b"1234567",
    ],
)
def test_impossible_content_is_refused(tmp_path, body):
    with pytest.raises(ModelError, match="damaged"):
        read(tmp_path, body)


def test_content_may_end_with_the_file(tmp_path):
    assert read(tmp_path, chars("ab")).value == "ab"
    assert read(tmp_path, ints(24, 2) + b"ab").value.tolist() == [97, 98]
    assert read(tmp_path, reals(1.5)).value.tolist() == [1.5]


def test_depth_and_number_of_objects_are_bounded(tmp_path, monkeypatch):
    for levels, deep in ((MAX_DEPTH - 1, False), (MAX_DEPTH, True)):
        with pytest.raises(ModelError, match="too deeply") if deep else contextlib.nullcontext():
            read(tmp_path, ints(19, 1) * levels + reals(1.0))
    assert len(read(tmp_path, ints(19, MAX_DEPTH + 1) + reals(1.0) * (MAX_DEPTH + 1)).value) == MAX_DEPTH + 1
    monkeypatch.setattr(rfile, "MAX_OBJECTS", 6)
    assert len(read(tmp_path, ints(19, 5) + reals(1.0) * 5).value) == 5
    assert followed(tmp_path, strings("a", "b")).value == ["a", "b"]
    for many in (ints(19, 6) + reals(1.0) * 6, ints(19, 2) + strings("a", "b", "c", "d") + reals(1.0)):
        with pytest.raises(ModelError, match="too many objects"):
            read(tmp_path, many)


def test_a_sequence_is_no_longer_than_all_objects(tmp_path, monkeypatch):
    monkeypatch.setattr(rfile, "MAX_OBJECTS", 50)
    assert len(read(tmp_path, altrep("compact_intseq", reals(50.0, 1.0, 1.0))).value) == 50
    with pytest.raises(ModelError, match="a sequence is too long"):
        read(tmp_path, altrep("compact_intseq", reals(51.0, 1.0, 1.0)))


def bytecode(*constants: bytes) -> bytes:
    """Compiled code: size of its table of repeats, instructions, constants."""
    return ints(21, 3) + ints(13, 2, 8, 1) + ints(len(constants)) + b"".join(constants)


@pytest.mark.parametrize(
    "constant",
    [
        ints(14) + reals(1.0),
        ints(21) + ints(13, 1, 8) + ints(1, 14) + reals(2.0),
        ints(6) + symbol("f") + ints(1) + symbol("x") + ints(254) + NIL,
        ints(240) + names("a") + symbol("f") + ints(14) + reals(1.0) + ints(254) + NIL,
        ints(239) + names("a") + NIL + ints(14) + reals(1.0) + ints(254) + NIL,
        ints(2) + NIL + ints(14) + reals(1.0) + ints(2) + NIL + ints(14) + reals(2.0) + ints(254) + NIL,
        ints(244, 1, 6) + symbol("f") + ints(14) + reals(1.0) + ints(254) + NIL,
        ints(244, 1, 240) + names("a") + symbol("f") + ints(14) + reals(1.0) + ints(254) + NIL,
        ints(243, 1),
        ints(6) + symbol("f") + ints(243, 1) + ints(243, 0),
    ],
)
def test_compiled_code_is_stepped_over(tmp_path, constant):
    assert followed(tmp_path, bytecode(constant)).kind == "code"
    assert followed(tmp_path, bytecode(constant, constant)).kind == "code"


def test_compiled_code_is_not_nested_without_end(tmp_path):
    link = ints(6) + NIL
    for levels, deep in ((MAX_DEPTH - 3, False), (MAX_DEPTH - 2, True)):
        nested = link * levels + ints(243, 0) + (ints(254) + NIL) * levels
        with pytest.raises(ModelError, match="too deeply") if deep else contextlib.nullcontext():
            assert followed(tmp_path, bytecode(nested)).kind == "code"
    flat = (ints(6) + NIL + ints(14) + reals(1.0)) * (MAX_DEPTH + 5) + ints(254) + NIL
    assert followed(tmp_path, bytecode(flat)).kind == "code"


def test_serialization_versions_two_and_three_are_read(tmp_path):
    for version, encoding in ((2, b""), (3, ints(5) + b"UTF-8")):
        path = tmp_path / f"v{version}.rds"
        path.write_bytes(b"X\n" + ints(version, 0x040202, 0x020300) + encoding + reals(2.5))
        assert read_r_file(path)[""].value.tolist() == [2.5]
    path.write_bytes(b"X\n" + ints(4, 0x040202, 0x020300) + reals(2.5))
    with pytest.raises(ModelError, match="serialization version 4"):
        read_r_file(path)


@pytest.mark.parametrize(
    "content", [b"RDX4\nX\n", b"RDX2\nA\n", b"RDX3\nB\n", b"A\n", b"RDA3\nA\n", b"X\r\n", b"RDX2\n", b""]
)
def test_other_beginnings_are_not_r(tmp_path, content):
    path = tmp_path / "x.rdata"
    path.write_bytes(content + HEADER[2:] + reals(1.0))
    with pytest.raises(ModelError, match="not a file saved by R"):
        read_r_file(path)


def test_a_workspace_of_version_three_or_without_objects(tmp_path):
    path = tmp_path / "w.rdata"
    path.write_bytes(b"RDX3\n" + HEADER + ints(2 | 1024) + symbol("m") + reals(3.0) + NIL)
    assert list(read_r_file(path)) == ["m"]
    path.write_bytes(b"RDX3\n" + HEADER + NIL)
    assert read_r_file(path) == {}


def test_an_element_is_got_from_a_list_by_a_name_that_it_has():
    labels = RObject("strings", ["x", "y"])
    item = RObject("numbers", [1])
    whole = RObject("list", [item], {"names": labels, "class": labels})
    assert (whole.get("x"), whole.get("y"), whole.get("z"), whole.classes) == (item, None, None, ["x", "y"])
    assert RObject("numbers", [item], {"names": labels}).get("x") is None
    other = RObject("list", [item], {"names": RObject("nil"), "class": RObject("nil")})
    assert (other.names, other.classes, other.get("x")) == ([], [], None)
    odd = RObject("list", [item], {"names": ["x"], "class": ["x"]})
    assert (odd.names, odd.classes) == ([], [])
