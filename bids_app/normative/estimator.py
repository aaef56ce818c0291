"""Training as an estimator of scikit-learn, for pipelines, clones and cross-validation."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd

from bids_app.errors import UsageError
from bids_app.normative.training import train


class NormativeEstimator:
    """`train` with scikit-learn manners: parameters, clones, tags, pipelines, cross-validation.

    Its input is a table with named columns and never a bare array, which it says to scikit-learn (the tag
    ``two_d_array``) and, given one, to the user.

    Parameters
    ----------
    mode, harmonise : str
    regions : tuple of str, optional
    min_per_sex : int
        As in `train`.

    Attributes
    ----------
    model_ : NativeModel
    report_ : TrainingReport
    """

    def __init__(
        self,
        mode: str = "calibrated",
        harmonise: str = "none",
        regions: tuple[str, ...] | None = None,
        min_per_sex: int = 30,
    ) -> None:
        self.mode = mode
        self.harmonise = harmonise
        self.regions = regions
        self.min_per_sex = min_per_sex

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` makes no difference."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> NormativeEstimator:
        """Set some parameters; ValueError for one that it does not have."""
        for name, value in parameters.items():
            if name not in self.get_params():
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}: {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({shown})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False, string=True, allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def fit(self, X: pd.DataFrame, y: Any = None) -> NormativeEstimator:
        """Train on the table `X`; `y` is ignored.

        Parameters
        ----------
        X : DataFrame
            ``age sex``, eTIV, ``site`` where there are several, and one column per region.
        y : ignored

        Returns
        -------
        NormativeEstimator

        Raises
        ------
        InputError
            As `train`.
        """
        self.model_, self.report_ = train(
            self._table(X),
            name="estimator",
            mode=self.mode,
            harmonise=self.harmonise,
            regions=self.regions,
            min_per_sex=self.min_per_sex,
            reference_counts=False,
        )
        self.n_features_in_, self.feature_names_in_ = X.shape[1], X.columns.to_numpy(dtype=object)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any = None) -> pd.DataFrame:
        """`fit`, then `transform` of the same people, who are then not strangers to the model.

        Parameters
        ----------
        X : DataFrame
            As for `fit`.
        y : ignored

        Returns
        -------
        DataFrame
            As `transform`.

        Raises
        ------
        InputError
            As `fit`.
        """
        return self.fit(X).transform(X)

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Expected volumes, one column per region.

        Parameters
        ----------
        X : (n rows) DataFrame

        Returns
        -------
        (n rows, p columns) DataFrame
            In the unit of each region.
        """
        model = self._fitted()
        zero = np.zeros((len(X), len(model.regions)))
        volumes = model.volumes_at(self._table(X), zero, model.regions)
        return pd.DataFrame(volumes, index=X.index, columns=list(model.regions))

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """z-scores, one column per region.

        Parameters
        ----------
        X : (n rows) DataFrame

        Returns
        -------
        (n rows, p columns) DataFrame
        """
        found = self._fitted().deviations(self._table(X))
        return pd.DataFrame(found.z, index=X.index, columns=list(found.regions))

    def score(self, X: pd.DataFrame, y: Any = None) -> float:
        """Coefficient of determination of the expected volumes, mean over regions.

        Parameters
        ----------
        X : (n rows) DataFrame
        y : ignored

        Returns
        -------
        float
        """
        found = self._fitted().deviations(self._table(X))
        observed = np.where(np.isfinite(found.expected), found.observed, np.nan)
        missed = np.nansum((observed - found.expected) ** 2, axis=0)
        total = np.nansum((observed - np.nanmean(observed, axis=0)) ** 2, axis=0)
        return float(np.mean(1 - missed / total))

    def _fitted(self) -> Any:
        if not self.__sklearn_is_fitted__():
            raise UsageError("this estimator has not been fitted", "call fit first")
        return self.model_

    @staticmethod
    def _table(X: Any) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            raise UsageError(
                f"a table with named columns is needed, not {type(X).__name__}",
                "give a DataFrame with age, sex, EstimatedTotalIntraCranialVol and regions",
            )
        return X
