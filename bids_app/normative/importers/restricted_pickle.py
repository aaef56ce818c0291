"""Read the data in a pickle without running any of its code.

A pickle is a program that may call anything. Here every name that it asks for becomes an inert stand-in that only keeps
what it is given; numpy arrays are rebuilt by us from their bytes. Before that, all opcodes are checked.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.limits import read_limited

MAX_PICKLE_BYTES = 64 * 1024**2
MAX_OPCODES = 2_000_000
REFUSED_OPCODES = {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"}


class Inert:
    """A stand-in for an object of some class: `state` and `arguments` hold what the pickle gave it."""

    kind = "object"

    arguments: tuple[Any, ...]
    state: Any
    items: list[Any]

    def __new__(cls, *arguments: Any) -> Inert:
        """Complete also where a pickle makes an object without calling its class."""
        made = super().__new__(cls)
        made.arguments, made.state, made.items = arguments, None, []
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, item: Any) -> None:
        """As a list would."""
        self.items.append(item)

    def get(self, name: str) -> Any:
        """Attribute `name` of the object, as data; None when it has none."""
        if not isinstance(self.state, dict):
            return None
        value = self.state.get(name)
        return value.array() if isinstance(value, Array) else value


class Dtype(Inert):
    """A numpy data type of plain numbers."""

    kind = "numpy.dtype"

    def name(self) -> str:
        """For example ``<f8``."""
        code = str(self.arguments[0])
        order = str(self.state[1]) if isinstance(self.state, tuple) and len(self.state) > 1 else "<"
        if code.lstrip("<>=|") not in ("f8", "f4", "i8", "i4", "b1", "u1"):
            raise ValueError(f"array of type {code}")
        return (order if order in "<>" else "<") + code.lstrip("<>=|")


class Array(Inert):
    """A numpy array as the pickle describes it."""

    kind = "numpy.ndarray"

    def array(self) -> np.ndarray | None:
        """The numbers; None for an array of something else.

        Returns
        -------
        array or None
            Of float, in the shape and order that the pickle states.
        """
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
            return None
        values = np.frombuffer(data, dtype.name()).astype(float)
        return values.reshape([int(n) for n in shape], order="F" if fortran else "C")


class Scalar(Inert):
    """A numpy number."""

    kind = "numpy.scalar"

    def number(self) -> float:
        """Its value."""
        dtype, data = self.arguments
        return float(np.frombuffer(data, dtype.name(), count=1)[0])


def number(value: Any) -> float:
    """A number, whether Python's or numpy's; ValueError for anything else."""
    if isinstance(value, Scalar):
        return value.number()
    if isinstance(value, np.ndarray) and value.size == 1:
        return float(value.item())
    if isinstance(value, bool | int | float):
        return float(value)
    raise ValueError(f"{type(value).__name__} where a number was expected")


def read_pickle(path: Path) -> Any:
    """The content of a pickle as plain data and `Inert` stand-ins.

    Raises
    ------
    ModelError
        When the file is too large, damaged, or asks for something that data do not need.
    """
    content = read_limited(path, MAX_PICKLE_BYTES)
    try:
        _check_opcodes(content)
        return _Reader(io.BytesIO(content), encoding="latin1").load()
    except ModelError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"{path} is not a readable pickle ({what})", "fetch it again") from error


def _check_opcodes(content: bytes) -> None:
    for done, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in REFUSED_OPCODES or done > MAX_OPCODES:
            raise ValueError(f"it uses {opcode.name}, which data do not need")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > MAX_OPCODES:
            raise ValueError("it reserves too much memory")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins only; nothing is ever imported."""
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        return known or type("Inert", (Inert,), {"kind": f"{module}.{name}"[:200]})


def _rebuilt_array(*arguments: Any) -> Array:
    return Array(*arguments)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """How numpy pickles arrays in protocol 5."""
    array = Array()
    array.state = (None, tuple(shape), dtype, order == "F", bytes(data) if isinstance(data, bytearray) else data)
    return array


def _reconstructed(kind: Any, *arguments: Any) -> Inert:
    """What ``copyreg._reconstructor`` does for a stand-in."""
    if isinstance(kind, type) and issubclass(kind, Inert):
        return kind()
    raise ValueError("an object of an unexpected kind")


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """How Python 2 pickles of protocol 2 hold bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text encoding {encoding}")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], type | Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _rebuilt_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "scalar"): Scalar,
    ("numpy", "dtype"): Dtype,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copy_reg", "_reconstructor"): _reconstructed,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): dict,
}
