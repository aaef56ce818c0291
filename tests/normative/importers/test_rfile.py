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
from bids_app.normative.importers.rfile import MAX_DEPTH, read_r_file

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
