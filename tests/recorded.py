"""Numbers that an earlier state of this software gave: none of them moves unnoticed.

``NORMVOL_RECORD=1 python -m pytest -k recorded`` writes `tests/data/recorded` anew; the difference belongs into the
commit that moves the numbers, with the reason.
"""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bids_app

FOLDER = Path(__file__).resolve().parent / "data" / "recorded"
RELATIVE, ABSOLUTE = 1e-5, 1e-8


def check_recorded(name: str, values: Mapping[str, Any], relative: float = RELATIVE) -> None:
    """Compare tables, arrays and plain values with those recorded under `name`; text must be equal, numbers near."""
    path, plain = FOLDER / f"{name}.json", as_plain(values)
    if os.environ.get("NORMVOL_RECORD"):
        path.parent.mkdir(exist_ok=True)
        lines = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in plain.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    differences = list(_differences(plain, json.loads(path.read_text(encoding="utf-8")), name, relative))
    assert not differences, "\n".join(differences[:20])


def as_plain(value: Any) -> Any:
    """Tables as lists per column, numbers with nine digits, what is missing as None."""
    if isinstance(value, pd.DataFrame):
        return {str(name): as_plain(value[name].tolist()) for name in value.columns}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | pd.Series):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if math.isfinite(value) else None if math.isnan(value) else str(float(value))
    return str(value)


def _differences(found: Any, expected: Any, where: str, relative: float) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(found) != list(expected):
            yield f"{where}: keys {list(found)}, recorded {list(expected)}"
        for key in expected.keys() & found.keys():
            yield from _differences(found[key], expected[key], f"{where}/{key}", relative)
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(ours, theirs, f"{where}[{i}]", relative)
    elif _number(expected) and _number(found):
        if not math.isclose(found, expected, rel_tol=relative, abs_tol=ABSOLUTE):
            yield f"{where}: {found!r}, recorded {expected!r}"
    elif found != expected:
        yield f"{where}: {found!r}, recorded {expected!r}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def constants(room: str) -> dict[str, list[str]]:
    """Limits, defaults and other numbers that a room's modules, classes and signatures name, by module and name."""
    folder = Path(bids_app.__file__).parent
    found: dict[str, list[str]] = {}
    for path in sorted((folder / room).rglob("*.py")):
        for name, value in _named(ast.parse(path.read_text(encoding="utf-8"))):
            numbers = [
                ast.unparse(node) if isinstance(node, ast.Constant) else type(node).__name__
                for node in ast.walk(value)
                if isinstance(node, ast.operator | ast.unaryop)
                or (isinstance(node, ast.Constant) and isinstance(node.value, int | float))
            ]
            if numbers:
                found[f"{path.relative_to(folder).as_posix()}:{name}"] = numbers
    return dict(sorted(found.items()))


def _named(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.expr]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield prefix + ast.unparse(target), node.value
        elif isinstance(node, ast.ClassDef):
            yield from _named(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            given = [*node.args.posonlyargs, *node.args.args]
            pairs = [*zip(given[::-1], node.args.defaults[::-1], strict=False)]
            pairs += [pair for pair in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if pair[1]]
            for argument, default in pairs:
                yield f"{prefix}{node.name}({argument.arg})", default
