"""Turn an object that R's ``mfp`` package saved into the parameters of one region and sex.

Only coefficients and ranges are kept. The training rows that the object embeds are used once, to check that
the parameters reproduce R's own fitted values, and are then dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.errors import ModelError
from bids_app.normative.fit import fractional_polynomials as fp
from bids_app.normative.importers.rfile import RObject
from bids_app.normative.parameters import RegionFit, flat

AGE_NAMES = ("age", "Age")
ETIV_NAMES = ("EstimatedTotalIntraCranialVol", "ICV", "eTIV")
AGREEMENT = 1e-8
ANY_ETIV = (0.0, 1e7)


@dataclass(frozen=True)
class TrainingSummary:
    """What is kept of the training rows of one model: never a row."""

    mean: float
    sd: float
    etiv_used: bool


def region_fit(model: RObject, where: str, offset: float = 0.0) -> tuple[RegionFit, TrainingSummary]:
    """Parameters of one ``mfp`` object.

    Parameters
    ----------
    model : RObject
        R list of class ``mfp`` with its ``X``, ``y``, ``powers``, ``scale``, ``coefficients`` and ``var``.
    where : str
        File and element, for error messages.
    offset : float
        Added to the intercept (mm^3), for models of mean-centred volumes.

    Raises
    ------
    ModelError
        When parts are missing, a covariate other than age and eTIV is used, the response is not Gaussian,
        or the parameters do not reproduce R's fitted values within 1e-8 relative.
    """
    if "mfp" not in model.classes:
        raise ModelError(f"{where} is not a model of R's mfp package (its class is {model.classes or model.kind})")
    powers, scale, fitted_powers = model_terms(model, where)
    coefficients = _coefficients(model, where, fitted_powers)
    age, etiv, volume = _training_rows(model, where)
    predicted = np.column_stack([np.ones(age.size), etiv, fp.basis((age + scale[0]) / scale[1], powers)]) @ coefficients
    fitted = numbers(model, "fitted.values", where)
    if fitted.size != age.size or np.abs(predicted - fitted).max() > AGREEMENT * max(1.0, np.abs(fitted).max()):
        raise ModelError(f"{where}: its coefficients do not reproduce its own fitted values", "it cannot be used")
    fit = RegionFit(
        n=int(age.size),
        shift=scale[0],
        scale=scale[1],
        powers=powers,
        coefficients=(float(coefficients[0]) + offset, *(float(c) for c in coefficients[1:])),
        rmse=float(np.sqrt(np.mean((volume - fitted) ** 2))),
        age_range=_outward(age, 0.1),
        etiv_range=_outward(etiv, 1000.0) if "etiv" in fitted_powers else ANY_ETIV,
        volume_range=_outward(np.quantile(volume, (0.005, 0.995)) + offset, 10.0),
        root=_root(model, fitted_powers),
    )
    return fit, TrainingSummary(float(volume.mean()), float(volume.std()), "etiv" in fitted_powers)


def _outward(values: FloatArray, unit: float) -> tuple[float, float]:
    """Range of `values`, rounded outward so that the file does not hold a person's exact value."""
    return (round(float(np.floor(values.min() / unit) * unit), 1), round(float(np.ceil(values.max() / unit) * unit), 1))


def model_terms(model: RObject, where: str) -> tuple[tuple[float, ...], tuple[float, float], dict[str, int]]:
    """Powers of age, its (shift, scale), and the number of coefficients of each covariate in R's order."""
    powers, names = matrix(model, "powers", where)
    scale, _ = matrix(model, "scale", where)
    used: dict[str, int] = {}
    age_powers: tuple[float, ...] = ()
    age_scale = (0.0, 1.0)
    for row, name in enumerate(names):
        kept = tuple(float(p) for p in powers[row] if np.isfinite(p))
        if name in AGE_NAMES:
            age_powers, age_scale = kept, (float(scale[row, 0]), float(scale[row, 1]))
            used["age"] = len(kept)
        elif name in ETIV_NAMES and kept in ((), (1.0,)) and tuple(scale[row]) == (0.0, 1.0):
            used.update({"etiv": 1} if kept else {})
        elif kept:
            raise ModelError(
                f"{where} needs the covariate {name} (powers {kept}), which cannot be provided",
                "only age and a linear term of intracranial volume can",
            )
    if len(age_powers) > 2 or any(p not in fp.POWERS for p in age_powers):
        raise ModelError(f"{where}: age powers {age_powers} are not a fractional polynomial of degree 1 or 2")
    return age_powers, age_scale, used


def _coefficients(model: RObject, where: str, used: dict[str, int]) -> FloatArray:
    """Intercept, eTIV, age terms; from the inner glm, whose scaling is that of the formula."""
    inner = model.get("fit")
    values = numbers(inner if inner is not None and inner.get("coefficients") else model, "coefficients", where)
    if values.size != 1 + sum(used.values()) or not np.isfinite(values).all():
        raise ModelError(f"{where}: {values.size} coefficients do not fit its {sum(used.values())} terms")
    parts, at = {"etiv": np.zeros(1), "age": np.zeros(0)}, 1
    for name, width in used.items():
        parts[name], at = values[at : at + width], at + width
    return np.concatenate([values[:1], parts["etiv"], parts["age"]])


def _training_rows(model: RObject, where: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Age, eTIV and volume of the embedded rows, to check the parameters with."""
    rows, names = matrix(model, "X", where, columns=True)
    volume = numbers(model, "y", where)
    age = [rows[:, i] for i, name in enumerate(names) if name in AGE_NAMES]
    etiv = [rows[:, i] for i, name in enumerate(names) if name in ETIV_NAMES]
    if len(age) != 1 or volume.size != rows.shape[0] or not volume.size:
        raise ModelError(f"{where} does not hold the training rows that its coefficients are checked with")
    return age[0], etiv[0] if etiv else np.zeros(volume.size), volume


def _root(model: RObject, used: dict[str, int]) -> tuple[float, ...] | None:
    """Lower triangular L with ``Var(x'b) = |L x|^2``, row by row; None when R's covariance is unusable."""
    element = model.get("var")
    size = 1 + sum(used.values())
    if element is None or not isinstance(element.value, np.ndarray) or element.value.size != size**2:
        return None
    if "etiv" not in used:
        return None
    covariance = element.value.astype(float).reshape(size, size)
    etiv = 1 if next(iter(used)) == "etiv" else 1 + used["age"]
    order = [0, etiv, *(i for i in range(1, size) if i != etiv)]
    covariance = covariance[np.ix_(order, order)]
    if not (np.diag(covariance) > 0).all():
        return None
    sd = np.sqrt(np.diag(covariance))
    try:
        factor = np.linalg.cholesky((covariance / np.outer(sd, sd))[::-1, ::-1])
    except np.linalg.LinAlgError:
        return None
    root = factor[::-1, ::-1].T * sd
    return flat(root, size)


def numbers(model: RObject, name: str, where: str) -> FloatArray:
    """A numeric element of an R list; ModelError when it is absent.

    Parameters
    ----------
    model : RObject
    name : str
    where : str
        What is read, for the message.

    Returns
    -------
    array

    Raises
    ------
    ModelError
    """
    element = model.get(name)
    if element is None or not isinstance(element.value, np.ndarray):
        raise ModelError(f"{where} lacks {name}", "it is not a whole mfp model")
    return element.value.astype(float)


def matrix(model: RObject, name: str, where: str, columns: bool = False) -> tuple[FloatArray, list[str]]:
    """A numeric matrix and its row (or column) names.

    Parameters
    ----------
    model : RObject
    name, where : str
    columns : bool
        Names of the columns instead of the rows.

    Returns
    -------
    (n, k) array
    list of str

    Raises
    ------
    ModelError
        When the element is absent or has no names.
    """
    values = numbers(model, name, where)
    attributes = getattr(model.get(name), "attributes", {})
    try:
        shape = tuple(int(n) for n in attributes["dim"].value)
        labels = [str(n) for n in attributes["dimnames"].value[1 if columns else 0].value]
        matrix = values.reshape(shape, order="F")
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{where}: {name} is not a matrix with names", "it is not a whole mfp model") from error
    if len(shape) != 2 or len(labels) != shape[1 if columns else 0]:
        raise ModelError(f"{where}: {name} is not a matrix with names", "it is not a whole mfp model")
    return matrix, labels
