"""Can the tests fail? A sample of small faults is put into the package, one at a time, and the tests must notice each.

    python scripts/mutants.py --seed 1 -n 100

A fault (mutant) changes one comparison, arithmetic operator, ``and``/``or``, ``not``, sign, constant or ``return``.
Annotations, docstrings, decorators, the words of errors and logging are left alone. For each mutant run the tests of
its module (``tests/<room>/test_<module>.py``), then those that import it, then the fast tests of its room, then those
of the rooms that put all together, until one fails. All in a temporary copy of the tree. The exit code is 1 when fewer
than 90 % are noticed.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import importlib
import os
import py_compile
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("normative", "clinical", "freesurfer", "bids")
TARGET = 0.90
# Loaded once and inherited by every forked test run
HEAVY = ("numpy", "pandas", "scipy.stats", "scipy.optimize", "statsmodels.api", "jsonschema", "hypothesis", "nibabel")
FAST = ("-m", "not slow")
# The rooms that put all others together
RUNS = ("tests/run", "tests/workbench")

COMPARISONS = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
}
ARITHMETIC = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/",)),
    ast.Div: ("/", ("*",)),
    ast.FloorDiv: ("//", ("/",)),
    ast.Mod: ("%", ("*",)),
    ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
}
BOOLEAN = {ast.And: ("and", ("or",)), ast.Or: ("or", ("and",))}
TALK = re.compile(r"^(warn|warning|debug|info|exception|print|progress)$|Error$")


@dataclass(frozen=True)
class Mutant:
    """One fault: the bytes `start` to `end` of `file` become `text`."""

    file: Path
    line: int
    start: int
    end: int
    text: str
    kind: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        source = (ROOT / self.file).read_bytes()
        before, after = (
            content.decode().splitlines()[self.line - 1].strip() for content in (source, self.applied(source))
        )
        return f"{self.file}:{self.line} {self.kind}\n    - {before}\n    + {after}"


class Finder(ast.NodeVisitor):
    """Every fault that one module can be given."""

    def __init__(self, file: Path) -> None:
        self.file, self.source = file, (ROOT / file).read_bytes()
        starts = [0]
        for line in self.source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts
        self.found: list[Mutant] = []
        self.visit(ast.parse(self.source))

    def _place(self, node: ast.AST) -> tuple[int, int]:
        return (self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset)  # type: ignore[attr-defined]

    def _add(self, start: int, end: int, text: str, kind: str) -> None:
        line = self.source.count(b"\n", 0, start) + 1
        self.found.append(Mutant(self.file, line, start, end, text, kind))

    def _operator(self, left: ast.AST, right: ast.AST, sign: str, others: tuple[str, ...], kind: str) -> None:
        """The operator `sign` stands between two operands, perhaps among parentheses, line breaks and comments."""
        start, end = self._place(left)[1], self._place(right)[0]
        gap = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self.source[start:end])
        pattern = sign if sign[0].isalpha() else re.escape(sign)
        if match := re.search(pattern.encode(), gap):
            for other in others:
                self._add(start + match.start(), start + match.end(), other, kind)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, sign, right in zip(operands, node.ops, operands[1:], strict=False):
            self._operator(left, right, *COMPARISONS[type(sign)], "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        words = any(isinstance(x, ast.JoinedStr) or _is_text(x) for x in (node.left, node.right))
        if type(node.op) in ARITHMETIC and not words and not _is_union(node):
            self._operator(node.left, node.right, *ARITHMETIC[type(node.op)], "arithmetic")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._operator(left, right, *BOOLEAN[type(node.op)], "boolean")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            start, operand = self._place(node)[0], self._place(node.operand)[0]
            self._add(
                start,
                operand,
                "" if self.source[operand - 1 : operand] != b"(" else "(",
                "not" if isinstance(node.op, ast.Not) else "sign",
            )
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        start, end = self._place(node)
        if isinstance(node.value, bool):
            self._add(start, end, str(not node.value), "constant")
        elif isinstance(node.value, int | float):
            self._add(start, end, repr(node.value + 1), "constant")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._add(*self._place(node.value), "None", "return")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if not TALK.search(name):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.args.defaults, *node.args.kw_defaults, *node.body):
            if part is not None:
                self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """The words of an error are not mutated."""

    visit_JoinedStr = visit_Assert = visit_Raise  # type: ignore[assignment]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def _is_union(node: ast.BinOp) -> bool:
    """``int | None`` outside of an annotation."""
    if not isinstance(node.op, ast.BitOr):
        return False
    return any(
        (isinstance(side, ast.Constant) and side.value is None)
        or (
            isinstance(side, ast.Name)
            and (side.id in ("int", "float", "str", "bool", "bytes", "dict", "list", "tuple") or side.id[0].isupper())
        )
        for side in (node.left, node.right)
    )


def candidates(rooms: tuple[str, ...], only: str = "") -> list[Mutant]:
    """All mutants of the rooms, in the order of files and places."""
    files = [path.relative_to(ROOT) for room in rooms for path in sorted((ROOT / "bids_app" / room).rglob("*.py"))]
    return [mutant for file in files if only in str(file) for mutant in Finder(file).found]


def stages(file: Path, root: Path) -> Iterator[list[str]]:
    """Arguments of pytest, from the nearest tests to the whole room."""
    inside = file.relative_to("bids_app")
    mirror = Path("tests") / inside.with_name(f"test_{inside.name}")
    covered = (root / mirror).exists()
    if covered:
        yield [str(mirror)]
    dotted = ".".join(file.with_suffix("").parts)
    parent, _, name = dotted.rpartition(".")
    imports = re.compile(rf"{re.escape(dotted)}\b|from {re.escape(parent)} import [^\n]*\b{name}\b")
    others = [path for path in sorted((root / "tests").rglob("test_*.py")) if imports.search(path.read_text())]
    outside = [str(path.relative_to(root)) for path in others if path != root / mirror]
    if outside:
        yield [*outside, *(FAST if covered else ())]
    yield [str(Path("tests", inside.parts[0])), *FAST]
    yield [*RUNS, *FAST]


class Copy:
    """A copy of the tree in which tests run in forked processes that have the heavy libraries already."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder, self.options = folder, options
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file() and not name.startswith("docs/images"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        # A mutant may have the size and second of its original: byte code is trusted by its hash only
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(folder / "bids_app", quiet=2, invalidation_mode=mode)
        os.environ.setdefault("NORMVOL_SHARED", str(ROOT.parent / "shared"))
        os.environ["PYTHONPATH"] = str(folder)
        os.environ["NORMVOL_SLOW_LIST"] = "ignored"  # a second is much for a test of every change, and little here

    def passes(self, arguments: list[str], timeout: float) -> bool:
        """Whether the tests pass in time."""
        child = os.fork()
        if child == 0:
            self._run(arguments)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                # 5: no test was selected
                return os.waitstatus_to_exitcode(status) in (0, 5)
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _run(self, arguments: list[str]) -> None:
        os.setsid()
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *self.options, *arguments])))

    def survives(self, mutant: Mutant, timeout: float) -> bool:
        """Whether no test notices the fault."""
        path = self.folder / mutant.file
        source = path.read_bytes()
        try:
            path.write_bytes(mutant.applied(source))
            return all(self.passes(arguments, timeout) for arguments in stages(mutant.file, self.folder))
        finally:
            path.write_bytes(source)


def main() -> int:
    """Sample, run, print the survivors and the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=100, help="mutants in the sample")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, choices=ROOMS)
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--timeout", type=float, default=180, help="seconds for the tests of one step")
    parser.add_argument("--deselect", nargs="+", default=[], metavar="TEST", help="tests that fail without any mutant")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without any mutant first")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    everything = candidates(tuple(options.rooms), options.only)
    sample = random.Random(options.seed).sample(everything, min(options.n, len(everything)))
    words = {mutant: str(mutant) for mutant in sample}
    print(f"{len(sample)} of {len(everything)} mutants, seed {options.seed}", flush=True)
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), [f"--deselect={name}" for name in options.deselect])
        for room in [] if options.unchecked else sorted({mutant.file.parts[1] for mutant in sample}):
            if not copy.passes([f"tests/{room}", *FAST], 10 * options.timeout):
                print(f"the tests of {room} fail without any mutant: mend them first")
                return 2
        survivors = 0
        for done, mutant in enumerate(sample, start=1):
            if copy.survives(mutant, options.timeout):
                survivors += 1
                print(words[mutant], flush=True)
            if done % 10 == 0:
                print(f"{done - survivors} of {done} so far", file=sys.stderr, flush=True)
    killed = len(sample) - survivors
    print(f"noticed: {killed} of {len(sample)}")
    return 0 if killed >= TARGET * len(sample) else 1


if __name__ == "__main__":
    sys.exit(main())
