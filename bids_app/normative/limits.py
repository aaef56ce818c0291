"""How much of an untrusted model file is read, and its decompression under that limit."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from bids_app.errors import ModelError

MAX_FILE_BYTES = 128 * 1024**2
MAX_CONTENT_BYTES = 1024**3
_CHUNK = 1 << 20


def read_limited(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of `path`; ModelError when it is absent, not a file, or larger than `limit` bytes."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise ModelError(
                f"{path} has {size / 1e6:.0f} MB, more than the {limit / 1e6:.0f} MB that a model file may have",
                "check that it is a model",
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error})", "check the path") from error


def decompress(content: bytes, path: Path, limit: int = MAX_CONTENT_BYTES) -> bytes:
    """`content` decompressed (gzip, bzip2, xz; otherwise as it is), never to more than `limit` bytes.

    Raises
    ------
    ModelError
        When the compressed data are damaged, or grow beyond `limit` (a decompression bomb).
    """
    parts, size = [], 0
    try:
        for part in _pieces(content):
            size += len(part)
            if size > limit:
                raise ModelError(f"{path} unpacks to more than {limit / 1e6:.0f} MB", "it is not read")
            parts.append(part)
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error})", "fetch it again") from error
    return b"".join(parts)


def _pieces(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"\x1f\x8b"):
        yield from _zlib_pieces(content)
    elif content.startswith(b"BZh"):
        yield from _stream_pieces(bz2.BZ2Decompressor(), content)
    elif content.startswith(b"\xfd7zXZ\x00"):
        yield from _stream_pieces(lzma.LZMADecompressor(memlimit=MAX_CONTENT_BYTES), content)
    else:
        yield content


def _zlib_pieces(content: bytes) -> Iterator[bytes]:
    reader, rest = zlib.decompressobj(zlib.MAX_WBITS | 16), content
    while not reader.eof:
        part = reader.decompress(rest, _CHUNK)
        rest = reader.unconsumed_tail
        if not part and not rest:
            raise EOFError("the compressed data end early")
        yield part


def _stream_pieces(reader: bz2.BZ2Decompressor | lzma.LZMADecompressor, content: bytes) -> Iterator[bytes]:
    part = reader.decompress(content, _CHUNK)
    while True:
        yield part
        if reader.eof:
            return
        if reader.needs_input:
            raise EOFError("the compressed data end early")
        part = reader.decompress(b"", _CHUNK)
