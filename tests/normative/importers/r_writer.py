"""Write R's serialization for tests: vectors, lists, matrices, and objects in the form of R's ``mfp``."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from bids_app.normative.fit import fractional_polynomials as fp

HEADER = b"X\n" + struct.pack(">iii", 2, 0x040202, 0x020300)
NIL = struct.pack(">i", 254)


def _chars(text: str) -> bytes:
    return struct.pack(">ii", 9, len(text.encode())) + text.encode()


def _attributes(attributes: dict) -> bytes:
    parts = [
        struct.pack(">i", 2 | 1024) + struct.pack(">i", 1) + _chars(name) + dump(value)
        for name, value in attributes.items()
    ]
    return b"".join(parts) + NIL


def dump(value, attributes: dict | None = None) -> bytes:
    """A list of str, an array, a dict (named list) or a list, with attributes."""
    attributes = dict(attributes or {})
    if isinstance(value, Classed):
        return dump(value.fields, {**attributes, **value.attributes, "class": [value.name]})
    if isinstance(value, Attributed):
        return dump(value.value, {**attributes, **value.attributes})
    if isinstance(value, Vector):
        return dump(value.values, {**attributes, "names": value.names})
    if isinstance(value, dict):
        attributes = {"names": list(value), **attributes}
        value = list(value.values())
        kind, body = 19, struct.pack(">i", len(value)) + b"".join(dump(item) for item in value)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        kind, body = 16, struct.pack(">i", len(value)) + b"".join(_chars(item) for item in value)
    elif isinstance(value, list):
        kind, body = 19, struct.pack(">i", len(value)) + b"".join(dump(item) for item in value)
    elif isinstance(value, Matrix):
        values = np.asarray(value.values, dtype=float)
        attributes.update(dim=np.array(values.shape, dtype=float), dimnames=[value.rows, value.columns])
        kind, body = 14, struct.pack(">i", values.size) + values.T.astype(">f8").tobytes()
    else:
        values = np.atleast_1d(np.asarray(value, dtype=float))
        kind, body = 14, struct.pack(">i", values.size) + values.astype(">f8").tobytes()
    flags = kind | (512 if attributes else 0)
    return struct.pack(">i", flags) + body + (_attributes(attributes) if attributes else b"")


class Matrix:
    """A numeric matrix with row and column names."""

    def __init__(self, values, rows: list[str], columns: list[str]) -> None:
        self.values, self.rows, self.columns = values, rows, columns


class Classed:
    """A named list with a class."""

    def __init__(self, name: str, fields: dict, attributes: dict | None = None) -> None:
        self.name, self.fields, self.attributes = name, fields, attributes or {}


class Attributed:
    """A value with any attributes."""

    def __init__(self, value, attributes: dict) -> None:
        self.value, self.attributes = value, attributes


class Vector:
    """A numeric vector with names."""

    def __init__(self, values, names: list[str]) -> None:
        self.values, self.names = values, names


def mfp_object(rng, powers=(0.5, 3.0), etiv_name="ICV", etiv_used=True, mean=7000.0, n=60, extra=None) -> Classed:
    """An object with what R's ``mfp`` saves of a model, fitted on made-up people."""
    age, etiv = rng.uniform(8, 80, n), rng.normal(1.5e6, 1e5, n)
    design = [np.ones(n), *([etiv] if etiv_used else []), *fp.basis(age / 10, powers).T]
    x = np.column_stack(design)
    scale = np.abs(x).max(axis=0)
    y = mean + rng.normal(0, 300, n) + (0.001 * (etiv - 1.5e6) if etiv_used else 0) + 2 * (age - 40)
    coefficients = np.linalg.lstsq(x / scale, y, rcond=None)[0] / scale
    fitted = x @ coefficients
    inverse = np.linalg.inv((x / scale).T @ (x / scale)) / np.outer(scale, scale)
    names = ["Intercept", *([f"{etiv_name}.1"] if etiv_used else []), *(f"age.{i + 1}" for i in range(len(powers)))]
    table = np.full((2, 2), np.nan)
    table[0, 0] = 1.0 if etiv_used else np.nan
    table[1, : len(powers)] = powers
    variables = [etiv_name, "age"]
    fields = {
        "coefficients": coefficients,
        "fitted.values": fitted,
        "residuals": y - fitted,
        "y": y,
        "powers": Matrix(table, variables, ["power1", "power2"]),
        "scale": Matrix([[0, 1], [0, 10]], variables, ["shift", "scale"]),
        "X": Matrix(np.column_stack([np.ones(n), etiv, age]), ["r"] * n, ["(Intercept)", etiv_name, "age"]),
        "var": Matrix(inverse * (y - fitted).var(), names, names),
        "fit": {"coefficients": coefficients},
        **(extra or {}),
    }
    return Classed("mfp", fields)


def write_rds(path: Path, value) -> Path:
    """A gzipped ``.rds`` file."""
    path.write_bytes(gzip.compress(HEADER + dump(value)))
    return path


def without_rows(model: Classed, centred: bool = False) -> Classed:
    """`model` as it is published without X and y: the inner fit's triangle, deviance and degrees of freedom.

    `centred`: fitted again on volume and intracranial volume minus their means.
    """
    fields, rows = model.fields, model.fields["X"].values
    names = [name for name in ("ICV",) if fields["powers"].values[0, 0] == 1]
    powers = [p for p in fields["powers"].values[1] if np.isfinite(p)]
    etiv, y = rows[:, 1], fields["y"]
    if centred:
        etiv, y = etiv - etiv.mean(), y - y.mean()
    x = np.column_stack([np.ones(len(y)), *([etiv] if names else []), *fp.basis(rows[:, 2] / 10, powers).T])
    q, triangle = np.linalg.qr(x)
    coefficients = np.linalg.solve(triangle, q.T @ y)
    labels = ["(Intercept)", *(f"I({name}^1)" for name in names), *(f"I((age/10)^{p:g})" for p in powers)]
    inner = {
        "coefficients": Vector(coefficients, labels),
        "R": Matrix(triangle, labels, labels),
        "deviance": np.sum((y - x @ coefficients) ** 2),
        "df.null": len(y) - 1,
    }
    return Classed("mfp", {"powers": fields["powers"], "scale": fields["scale"], "fit": inner})
