"""What takes or returns arrays or tables says of which shape and unit, and says it of the parameters that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

ARRAYS = re.compile(r"\b(DataFrame|Series|ndarray|NDArray|FloatArray|ArrayLike)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")
            else:
                yield f"{prefix}{node.name}", node


def parameters(function: Function) -> list[ast.arg]:
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    return [arg for arg in every if arg.arg not in ("self", "cls")]


def handles_arrays(function: Function) -> bool:
    types = [function.returns, *(arg.annotation for arg in parameters(function))]
    return any(ARRAYS.search(ast.unparse(kind)) for kind in types if kind is not None)


def sections(function: Function) -> dict[str, list[str]]:
    """Title to the lines of each section of a numpydoc docstring."""
    lines = (ast.get_docstring(function) or "").splitlines()
    starts = [n for n, line in enumerate(lines[:-1]) if line and lines[n + 1] == "-" * len(line)]
    ends = [*starts[1:], len(lines)]
    return {lines[start]: lines[start + 2 : end] for start, end in zip(starts, ends)}


def faults(function: Function) -> list[str]:
    said, known = sections(function), {arg.arg for arg in parameters(function)}
    out = []
    if known and "Parameters" not in said:
        out.append("no Parameters")
    returns = function.returns is not None and ast.unparse(function.returns) != "None"
    if returns and not {"Returns", "Yields"} & said.keys():
        out.append("no Returns")
    entries = [line.split(":")[0] for line in said.get("Parameters", ()) if line and not line.startswith(" ")]
    named = [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]
    out += [f"{name} is no parameter" for name in named if name not in known]
    if entries:
        out += [f"{name} is not described" for name in sorted(known - set(named))]
    return out


def test_functions_of_arrays_and_tables_describe_them(repository):
    found = [
        f"{path.relative_to(repository)}:{function.lineno} {name}: {fault}"
        for path in sorted((repository / "bids_app").rglob("*.py"))
        for name, function in public(ast.parse(path.read_text(encoding="utf-8")))
        if handles_arrays(function)
        for fault in faults(function)
    ]
    assert not found, "\n".join(found)
