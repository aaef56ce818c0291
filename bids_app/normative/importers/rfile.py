"""Read R's saved objects (.RData, .rds) without R and without evaluating anything.

The format is R's XDR serialization, versions 2 and 3 ("R Internals", section 1.8). Only data are built:
vectors become numpy arrays or lists of str, lists keep their names, code and environments become inert
objects. Input is untrusted: sizes, depth and the number of objects are bounded, and whatever is wrong with
the file is a ModelError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.errors import ModelError
from bids_app.normative.limits import decompress, read_limited

MAX_DEPTH = 150
MAX_OBJECTS = 30_000_000

_NIL, _SYMBOL, _PAIRLIST, _CLOSURE, _ENVIRONMENT, _PROMISE, _CALL = 0, 1, 2, 3, 4, 5, 6
_SPECIAL, _BUILTIN, _CHARS, _LOGICAL, _INTEGER, _REAL, _COMPLEX, _STRINGS = 7, 8, 9, 10, 13, 14, 15, 16
_DOTS, _LIST, _EXPRESSION, _BYTECODE, _POINTER, _WEAKREF, _RAW, _S4 = 17, 19, 20, 21, 22, 23, 24, 25
_ALTREP, _ATTR_LIST, _ATTR_CALL = 238, 239, 240
_BASE_ENV, _EMPTY_ENV, _REP_REF, _REP_DEF = 241, 242, 243, 244
_PERSIST, _PACKAGE, _NAMESPACE, _BASE_NAMESPACE = 247, 248, 249, 250
_MISSING_ARG, _UNBOUND, _GLOBAL_ENV, _NIL_VALUE, _REFERENCE = 251, 252, 253, 254, 255
_CONSTANTS = {_NIL, _BASE_ENV, _EMPTY_ENV, _BASE_NAMESPACE, _MISSING_ARG, _UNBOUND, _GLOBAL_ENV, _NIL_VALUE}
_PAIRS = {_PAIRLIST, _CALL, _CLOSURE, _PROMISE, _DOTS}
_NUMBERS = {_LOGICAL: (">i4", 4), _INTEGER: (">i4", 4), _REAL: (">f8", 8), _COMPLEX: (">c16", 16), _RAW: ("u1", 1)}


@dataclass
class RObject:
    """One R object: `value` is an array, a list, a str or None; `attributes` as R has them."""

    kind: str
    value: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the elements; empty when there are none."""
        names = self.attributes.get("names")
        return list(names.value) if isinstance(names, RObject) and isinstance(names.value, list) else []

    @property
    def classes(self) -> list[str]:
        """R's class attribute."""
        classes = self.attributes.get("class")
        return list(classes.value) if isinstance(classes, RObject) and isinstance(classes.value, list) else []

    def get(self, name: str) -> RObject | None:
        """Element `name` of a list, None when there is none."""
        if self.kind != "list" or name not in self.names:
            return None
        index = self.names.index(name)
        return self.value[index] if index < len(self.value) else None


def read_r_file(path: Path) -> dict[str, RObject]:
    """All objects of an ``.RData`` file by name; an ``.rds`` file gives one object named ``""``.

    Raises
    ------
    ModelError
        When the file is absent, too large, damaged, or not in R's binary format.
    """
    content = decompress(read_limited(path), path)
    workspace = content[:5] in (b"RDX2\n", b"RDX3\n")
    if content[5:7] != b"X\n" if workspace else content[:2] != b"X\n":
        raise ModelError(f"{path} is not a file saved by R (binary .RData or .rds)", "check the path")
    try:
        root = _Reader(content, 7 if workspace else 2).read()
    except (struct.error, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is damaged or of an unknown form ({error})", "fetch it again") from error
    if not workspace:
        return {"": root}
    return root.attributes if root.kind == "pairlist" else {}


class _Reader:
    def __init__(self, content: bytes, start: int) -> None:
        self.content, self.at = content, start
        self.references: list[Any] = []
        self.depth = self.objects = 0

    def read(self) -> RObject:
        version = self._int()
        self.at += 8
        if version not in (2, 3):
            raise ValueError(f"serialization version {version}")
        if version == 3:
            self.at += 4 + self._peek(self.at)
        return self._item()

    def _peek(self, at: int) -> int:
        value: int = struct.unpack_from(">i", self.content, at)[0]
        return value

    def _int(self) -> int:
        value = self._peek(self.at)
        self.at += 4
        return value

    def _length(self) -> int:
        length = self._int()
        if length < 0 or length > len(self.content) - self.at:
            raise ValueError("a vector is longer than the file")
        return length

    def _item(self) -> RObject:
        self.depth += 1
        self.objects += 1
        if self.depth > MAX_DEPTH or self.objects > MAX_OBJECTS:
            raise ValueError("nested too deeply or too many objects")
        item = self._by_kind(self._int())
        self.depth -= 1
        return item

    def _by_kind(self, flags: int) -> RObject:
        kind = flags & 0xFF
        if kind in _CONSTANTS:
            return RObject("nil")
        if kind == _REFERENCE:
            item: RObject = self.references[((flags >> 8) or self._int()) - 1]
            return item
        if kind in _PAIRS:
            return self._pairs(kind, flags)
        if kind in (_SYMBOL, _ENVIRONMENT, _PACKAGE, _NAMESPACE, _PERSIST, _POINTER, _WEAKREF):
            return self._referable(kind, flags)
        item = self._vector(kind)
        if flags & 512:
            item.attributes = self._item().attributes
        return item

    def _pairs(self, kind: int, flags: int) -> RObject:
        """A pairlist (or call, closure, promise): its tagged elements become `attributes`."""
        result = RObject({_PAIRLIST: "pairlist", _CALL: "call"}.get(kind, "code"), [])
        while True:
            if flags & 512:
                self._item()
            tag = self._item().value if flags & 1024 else None
            element = self._item()
            result.value.append(element)
            if isinstance(tag, str):
                result.attributes[tag] = element
            flags = self._int()
            if flags & 0xFF != kind:
                break
        if flags & 0xFF not in (_NIL, _NIL_VALUE):
            self.at -= 4
            result.value.append(self._item())
        return result

    def _referable(self, kind: int, flags: int) -> RObject:
        if kind == _SYMBOL:
            symbol = RObject("symbol", self._item().value)
            self.references.append(symbol)
            return symbol
        result = RObject("environment")
        self.references.append(result)
        if kind in (_PACKAGE, _NAMESPACE, _PERSIST):
            self._int()
            for _ in range(self._length()):
                self._item()
        elif kind == _ENVIRONMENT:
            self._int()
            for _ in range(4):
                self._item()
        else:
            for _ in range(2 if kind == _POINTER else 0):
                self._item()
            if flags & 512:
                self._item()
        return result

    def _vector(self, kind: int) -> RObject:
        if kind == _CHARS:
            return RObject("chars", self._chars())
        if kind in _NUMBERS:
            return self._numbers(*_NUMBERS[kind])
        if kind == _STRINGS:
            return self._strings()
        if kind in (_LIST, _EXPRESSION):
            return RObject("list", [self._item() for _ in range(self._length())])
        if kind in (_SPECIAL, _BUILTIN):
            length = self._length()
            self.at += length
            return RObject("code")
        if kind == _BYTECODE:
            self._length()  # of R's table of what is referred to twice
            self._bytecode()
            return RObject("code")
        if kind == _ALTREP:
            return self._altrep()
        if kind == _S4:
            return RObject("s4")
        raise ValueError(f"R type {kind}")

    def _chars(self) -> str | None:
        length = self._int()
        if length == -1:
            return None
        if length < 0 or self.at + length > len(self.content):
            raise ValueError("a text is longer than the file")
        text = self.content[self.at : self.at + length].decode("utf-8", "replace")
        self.at += length
        return text

    def _numbers(self, dtype: str, width: int) -> RObject:
        length = self._length()
        if length * width > len(self.content) - self.at:
            raise ValueError("a vector is longer than the file")
        values = np.frombuffer(self.content, dtype, length, self.at)
        self.at += length * width
        return RObject("numbers", values)

    def _strings(self) -> RObject:
        values: list[str | None] = []
        length = self._length()
        self.objects += length
        for _ in range(length):
            flags = self._int()
            if flags & 0xFF != _CHARS:
                raise ValueError("a text vector holds something else")
            values.append(self._chars())
        return RObject("strings", values)

    def _altrep(self) -> RObject:
        """R's compact representations: sequences, deferred text and wrapped vectors."""
        info, state, attributes = self._item(), self._item(), self._item()
        name = str(info.value[0].value) if info.value else ""
        if name in ("compact_intseq", "compact_realseq"):
            length, first, step = (float(x) for x in np.asarray(state.value)[:3])
            if not 0 <= length <= MAX_OBJECTS:
                raise ValueError("a sequence is too long")
            result = RObject("numbers", first + step * np.arange(int(length)))
        elif name.startswith("wrap_"):
            result = RObject(state.value[0].kind, state.value[0].value)
        elif name == "deferred_string":
            source = np.asarray(state.value[0].value)
            result = RObject("strings", [f"{x:.15g}" if x % 1 else str(int(x)) for x in source.tolist()])
        else:
            raise ValueError(f"R representation {name}")
        result.attributes = attributes.attributes
        return result

    def _bytecode(self) -> None:
        """Compiled code is stepped over, its constants read and dropped."""
        self._item()
        for _ in range(self._length()):
            kind = self._int()
            if kind == _BYTECODE:
                self._bytecode()
            else:
                self._code_constant(kind)

    def _code_constant(self, kind: int) -> None:
        self.depth += 1
        while kind in (_CALL, _PAIRLIST, _ATTR_CALL, _ATTR_LIST, _REP_DEF):
            if kind == _REP_DEF:
                self._int()
                kind = self._int()
            if kind in (_ATTR_CALL, _ATTR_LIST):
                self._item()
            self._item()
            self._code_constant(self._int())
            kind = self._int()
        if kind == _REP_REF:
            self._int()
        else:
            self._item()
        self.depth -= 1
