"""People in groups of similar age, so that a search over age curves costs little more for more people."""

from __future__ import annotations

import numpy as np

from bids_app.arrays import FloatArray


class AgeGroups:
    """Groups of neighbours in age.

    Parameters
    ----------
    scaled : (n,) array
        Age, shifted and scaled.
    most : int
        Largest number of groups g.

    Attributes
    ----------
    age : (g,) array
        Mean of each group.
    people : (g,) array
        Their number.
    """

    def __init__(self, scaled: FloatArray, most: int) -> None:
        n = scaled.size
        self._order = np.argsort(scaled, kind="stable")
        self._starts = np.unique(np.linspace(0, n, min(most, n), endpoint=False).astype(np.intp))
        self.people = np.diff(np.append(self._starts, n)).astype(float)
        self.age = self.total(scaled) / self.people

    def total(self, values: FloatArray) -> FloatArray:
        """Sum (g, ...) over the people of each group of values (n, ...).

        Parameters
        ----------
        values : (n, ...) array

        Returns
        -------
        (g, ...) array
        """
        return np.asarray(np.add.reduceat(values[self._order], self._starts, axis=0))
