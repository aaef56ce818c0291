"""The smallest model that keeps the NormativeModel interface, for tests of what is built on it."""

from dataclasses import dataclass, field

import numpy as np

from bids_app.normative.base import Deviations, NormativeModel
from bids_app.normative.card import ModelCard

REGIONS = ("Left-Thalamus", "Right-Thalamus", "lh_insula_volume", "rh_insula_volume")


@dataclass
class GaussianModel(NormativeModel):
    """Volume = 1000 + slope * (age - 50), SD 10, for each of four regions."""

    slope: float = -1.0
    card: ModelCard = field(
        default_factory=lambda: ModelCard(name="gaussian", version="1", title="", summary="", licence="", date="")
    )

    @property
    def regions(self):
        return REGIONS

    def median(self, data):
        age = data["age"].to_numpy(dtype=float)[:, None]
        return np.tile(1000 + self.slope * (age - 50), len(self.regions))

    def deviations(self, data, adaptation=None):
        observed, expected = data[list(self.regions)].to_numpy(dtype=float), self.median(data)
        z = (observed - expected) / 10
        whole = np.ones(z.shape, dtype=bool)
        return Deviations(
            self.regions, observed, expected, z, np.zeros_like(z), z * np.nan, whole, tuple([""] * len(data))
        )

    def volumes_at(self, data, z, regions, adaptation=None):
        return self.median(data)[:, : len(regions)] + 10 * z
