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


def inherited(classes: dict[str, ast.ClassDef], name: str) -> Function | None:
    """The method that ``Class.method`` overrides, of the nearest base that describes its parameters."""
    owner, _, method = name.rpartition(".")
    bases = [classes[base.id] for base in classes[owner].bases if isinstance(base, ast.Name) and base.id in classes]
    for base in bases:
        found = [node for node in base.body if isinstance(node, Function) and node.name == method and sections(node)]
        if found or (found := list(filter(None, [inherited(classes, f"{base.name}.{method}")]))):
            return found[0]
    return None


def sections(function: Function) -> dict[str, list[str]]:
    """Title to the lines of each section of a numpydoc docstring."""
    lines = (ast.get_docstring(function) or "").splitlines()
    starts = [n for n, line in enumerate(lines[:-1]) if line and lines[n + 1] == "-" * len(line)]
    ends = [*starts[1:], len(lines)]
    return {lines[start]: lines[start + 2 : end] for start, end in zip(starts, ends)}


def faults(function: Function, overridden: Function | None = None) -> list[str]:
    """What is not described; where it overrides a method, what it does not say itself is as there."""
    said = sections(function) or (sections(overridden) if overridden else {})
    known = {arg.arg for arg in parameters(function)}
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
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((repository / "bids_app").rglob("*.py"))
    }
    classes = {node.name: node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)}
    found = [
        f"{path.relative_to(repository)}:{function.lineno} {name}: {fault}"
        for path, tree in trees.items()
        for name, function in public(tree)
        if handles_arrays(function)
        for fault in faults(function, inherited(classes, name) if "." in name else None)
    ]
    assert not found, "\n".join(found)
