"""Removal of site effects from training data, and from new people at the same sites."""

from __future__ import annotations

import numpy as np

from bids_app.arrays import FloatArray
from bids_app.normative.harmonise.combat import Combat
from bids_app.normative.training_data import TrainingData


class Harmoniser:
    """ComBat as a step of training.

    Parameters
    ----------
    kind : {'none', 'mean_only', 'location', 'full'}
        ``mean_only``: as the source study, eTIV and regions, preserving age and sex linearly.
        ``full``: regions only (a new scanner's eTIV cannot be harmonised), preserving sex, eTIV, and age as
        ``age``, ``log(age + 1)`` and ``age^2`` by sex.
        ``location``: as ``full``, but only the offset is removed. A new scanner's scale is unknown, so the
        spread that scanners have is kept in the model.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def fit(self, data: TrainingData) -> Harmoniser:
        """Estimate the site effects of `data`; sites of one person and single sites have none."""
        self._combat = None
        _, codes, counts = np.unique(data.site.astype(str), return_inverse=True, return_counts=True)
        rows = (counts >= (1 if self.kind == "mean_only" else 2))[codes]
        if self.kind != "none" and np.unique(codes[rows]).size > 1:
            self._combat = Combat(mean_only=self.kind == "mean_only")
            self._combat.fit(self._features(data)[rows], data.site[rows], self._preserved(data)[rows])
            if self.kind == "location":
                self._combat.delta_star_ = np.ones_like(self._combat.delta_star_)
        return self

    def transform(self, data: TrainingData) -> tuple[FloatArray, FloatArray]:
        """eTIV (n,) and modelled volumes (n, p) without site effects; people at unknown sites stay as is.

        Parameters
        ----------
        data : TrainingData
            n people, p measures.

        Returns
        -------
        etiv : (n,) array
            In mm^3; 0 where it is not known.
        values : (n, p) array
            On the modelled scale.
        """
        etiv, values = data.etiv, data.modelled()
        if self._combat is None:
            return etiv, values
        known = np.isin(data.site.astype(str), self._combat.sites_.astype(str))
        out = self._combat.transform(self._features(data)[known], data.site[known], self._preserved(data)[known])
        if self.kind == "mean_only" and data.knows_etiv:
            etiv = etiv.copy()
            etiv[known], out = out[:, 0], out[:, 1:]
        values[known] = out
        return etiv, values

    def _features(self, data: TrainingData) -> FloatArray:
        values = data.modelled()
        return np.column_stack([data.etiv, values]) if self.kind == "mean_only" and data.knows_etiv else values

    def _preserved(self, data: TrainingData) -> FloatArray:
        male = (data.sex == "male").astype(float)
        if self.kind == "mean_only":
            return np.column_stack([data.age, male])
        curve = np.column_stack([data.age, np.log1p(data.age), data.age**2])
        head = [data.etiv / 1e6] if data.knows_etiv else []
        return np.column_stack([male, *head, curve, curve * male[:, None]])
