"""Site adaptation: shift and scale of a new scanner, estimated from its own healthy people.

A scanner moves every region's z by an amount that local controls show with sampling error. The
estimate is the posterior mean under a normal prior whose spread is how much scanners differ in the
model's training data (``site_sd``), so few controls move z little and many move it fully; see
`posterior` for the equations and ``docs/harmonisation.md`` for how well it works.
Working on the z scale makes it aware of age and sex: controls need not resemble the people to score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import FloatArray
from bids_app.errors import InputError, ModelError
from bids_app.normative.base import SITE_TAIL, NormativeModel
from bids_app.normative.harmonise.adaptation_posterior import (
    REGION_SCALE_PRIOR_DF,
    Level,
    Posterior,
    posterior,
    scale_prior_df,
)

FORMAT = "normvol-adaptation"
FORMAT_VERSION = 1
ALL = "all"
FEW_CONTROLS = 5
DEFAULT_SITE_SD = 0.4
SMALLEST_WITHIN = 0.25
AGE_MARGIN = 10.0
# SD of the difference between the shifts of women and of men: 61 left-out sites with eight people of each sex or more.
OTHER_SEX_SD = 0.15


@dataclass(frozen=True)
class SiteAdaptation:
    """Shift and scale of z per scanner; give it to ``model.deviations(data, adaptation)``.

    Parameters
    ----------
    regions : tuple of str, length p
    by : str or None
        Column that tells scanners apart; None when there is one.
    site_sd : (p,) array
        Prior standard deviation of the shift between scanners, in z.
    within : (p,) array
        Prior variance of z within a scanner.
    levels : mapping of str to Level
        By scanner; the only key is ``all`` when `by` is None.
    model_name : str
    scale_df : (p,) array or float
        Degrees of freedom of the prior of the scale.
    """

    regions: tuple[str, ...]
    by: str | None
    site_sd: FloatArray
    within: FloatArray
    levels: Mapping[str, Level]
    model_name: str
    scale_df: FloatArray | float = REGION_SCALE_PRIOR_DF

    @classmethod
    def fit(cls, model: NormativeModel, controls: pd.DataFrame, by: str | None = None) -> SiteAdaptation:
        """Estimate from local healthy people.

        Parameters
        ----------
        model : NormativeModel
        controls : DataFrame
            Model input of the controls, with ``participant_id`` when people were scanned repeatedly: all
            scans of a person on a scanner count as one observation.
        by : str, optional
            Column of `controls` that tells scanners apart.

        Returns
        -------
        SiteAdaptation

        Raises
        ------
        InputError
            When no control can be scored or the column `by` is missing.
        ModelError
            When the model's card does not allow adaptation.
        """
        if not model.card.adaptation_allowed:
            raise ModelError(f"the model {model.card.name} does not allow site adaptation", "choose another")
        if by is not None and by not in controls:
            raise InputError(f"the table of controls has no column {by!r} to tell scanners apart")
        found = model.deviations(controls)
        scored = np.asarray(np.isfinite(found.z).any(axis=1))
        if not scored.any():
            raise InputError(
                f"none of the {len(controls)} controls can be scored",
                "check the query for controls and their age, sex and intracranial volume",
            )
        keys, people = _level_keys(controls, by), _person_ids(controls)
        levels = {
            key: Level.of(controls[mask], people[mask], found.z[mask])
            for key in sorted({key for key, ok in zip(keys, scored) if ok and key is not None})
            if (mask := scored & (keys == key)).any()
        }
        if not levels:
            raise InputError(f"no control has a value in the column {by!r} that tells scanners apart")
        site_sd = _site_sd(model, found.regions)
        scale_df = scale_prior_df(model.site_scale_sd(found.regions))
        return cls(found.regions, by, site_sd, _within(model, site_sd), levels, model.card.name, scale_df)

    def parameters(self, data: pd.DataFrame, regions: tuple[str, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What the adapted deviation ``(z - shift) / scale`` of each scan and region is made with.

        A person among the controls is left out of their own estimate, with all their scans.

        Parameters
        ----------
        data : DataFrame
            n scans: `by`, ``participant_id sex``, as far as they are known.
        regions : tuple of str, length p

        Returns
        -------
        shift, scale : (n, p) arrays
            In z; 0 and 1 on a scanner without controls.
        se : (n, p) array
            Standard error of the shift. Without controls that between scanners (`site_sd`, with heavier tails:
            `SITE_TAIL`); where every control has the other sex also how far the sexes' shifts differ (`OTHER_SEX_SD`).
            NaN: region unknown.
        """
        shift = np.zeros((len(data), len(self.regions)))
        scale, se = np.ones_like(shift), np.tile(SITE_TAIL * self.site_sd, (len(data), 1))
        keys, people = _level_keys(data, self.by), _person_ids(data)
        for key, level in self.levels.items():
            rows = np.flatnonzero(keys == key)
            estimates, which = self._estimates(level, people[rows])
            shift[rows], scale[rows], se[rows] = (part[which] for part in estimates)
            unseen = rows[_of_other_sex(level, data.iloc[rows])]
            se[unseen] = np.hypot(se[unseen], OTHER_SEX_SD)
        return (
            self._columns(shift, regions, 0.0),
            self._columns(scale, regions, 1.0),
            self._columns(se, regions, np.nan),
        )

    def n_controls(self, data: pd.DataFrame) -> NDArray[np.int64]:
        """Number of controls behind each scan's adaptation, the person themself not counted.

        Parameters
        ----------
        data : DataFrame
            n scans.

        Returns
        -------
        (n,) array of int
            0 on a scanner without controls.
        """
        keys, people = _level_keys(data, self.by), _person_ids(data)
        known = {key: set(level.people) for key, level in self.levels.items()}
        return np.array(
            [len(known[key]) - (person in known[key]) if key in known else 0 for key, person in zip(keys, people)],
            dtype=np.int64,
        )

    def notes(self, data: pd.DataFrame) -> tuple[str, ...]:
        """Per scan, sentences on the adaptation that the reader of its z-scores needs.

        Parameters
        ----------
        data : DataFrame
            n scans.

        Returns
        -------
        tuple of str, length n
        """
        keys, people = _level_keys(data, self.by), _person_ids(data)
        counts = self.n_controls(data)
        columns = [data[name] if name in data else pd.Series([np.nan] * len(data)) for name in ("age", "sex")]
        return tuple(" ".join(self._sentences(*row)) for row in zip(keys, people, counts, *columns))

    def report(self) -> pd.DataFrame:
        """What was estimated from how many controls.

        Returns
        -------
        DataFrame
            One row per scanner and region: `REPORT_COLUMNS`, the means, ``shift``, ``se`` and ``site_sd`` in z.
        """
        return pd.concat([self._level_table(key, level) for key, level in self.levels.items()], ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: sums over controls, and who they were, but nobody's volumes or z."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "model": self.model_name,
            "by": self.by,
            "prior": {
                name: {"site_sd": sd, "within": within} | ({} if df == REGION_SCALE_PRIOR_DF else {"scale_df": df})
                for name, sd, within, df in zip(
                    self.regions, _as_floats(self.site_sd), _as_floats(self.within), _as_floats(self._scale_df())
                )
            },
            "levels": {
                key: {
                    "people": list(level.people),
                    "n_scans": level.n_scans,
                    "age_range": list(level.age_range),
                    "sexes": dict(level.sexes),
                    "regions": dict(zip(self.regions, map(_as_floats, level.sums.stacked().T))),
                }
                for key, level in self.levels.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SiteAdaptation:
        """Build from `to_dict`; people among the controls can then no longer be left out (`notes` says so).

        Raises
        ------
        InputError
            When `values` is not an adaptation of a known version.
        """
        if values.get("format") != FORMAT or values.get("format_version") != FORMAT_VERSION:
            raise InputError(f"not a site adaptation of version {FORMAT_VERSION}", "estimate it anew")
        regions = tuple(values["prior"])
        site_sd, within = (_floats(prior[name] for prior in values["prior"].values()) for name in ("site_sd", "within"))
        levels = {key: Level.read(level, regions) for key, level in values["levels"].items()}
        scale_df = _floats(prior.get("scale_df", REGION_SCALE_PRIOR_DF) for prior in values["prior"].values())
        return cls(regions, values["by"], site_sd, within, levels, values["model"], scale_df)

    def _scale_df(self) -> FloatArray:
        return np.broadcast_to(self.scale_df, (len(self.regions),))

    def _estimates(self, level: Level, people: NDArray[np.object_]) -> tuple[Posterior, NDArray[np.intp]]:
        """Posteriors (u, p) with nobody and each control left out, and which of them each person needs."""
        sums, which = level.sums.row(), np.zeros(len(people), dtype=np.intp)
        if level.by_person is not None:
            present = set(people)
            left_out = [i for i, person in enumerate(level.people) if person in present]
            sums = sums.append(level.sums.without(level.by_person.rows(left_out)))
            place = {level.people[i]: 1 + position for position, i in enumerate(left_out)}
            which = np.array([place.get(person, 0) for person in people], dtype=np.intp)
        return posterior(sums, self.site_sd, self.within, self.scale_df), which

    def _columns(self, values: FloatArray, regions: tuple[str, ...], missing: float) -> FloatArray:
        if regions == self.regions:
            return values
        index = {name: i for i, name in enumerate(self.regions)}
        out = np.full((len(values), len(regions)), missing)
        known = [i for i, name in enumerate(regions) if name in index]
        out[:, known] = values[:, [index[regions[i]] for i in known]]
        return out

    def _sentences(self, key: str | None, person: str, count: int, age: float, sex: str) -> list[str]:
        if key is None or key not in self.levels:
            where = "the scanner is not known" if key is None else f"no control was scanned on {key!r}"
            return [f"not adapted to the scanner: {where}."]
        level, out = self.levels[key], []
        if person in level.people and level.by_person is None:
            out.append("this person is among the controls of the adaptation and was not left out.")
        if count < FEW_CONTROLS:
            controls = "1 control" if count == 1 else f"{count} controls"
            out.append(f"adapted to the scanner on {controls} only; the shift stays uncertain.")
        low, high = level.age_range
        if np.isfinite(age) and not low - AGE_MARGIN <= age <= high + AGE_MARGIN:
            out.append(
                f"age {age:.1f} is far outside the {low:g} to {high:g} years of the scanner's "
                "controls; their shift was assumed to hold."
            )
        if isinstance(sex, str) and not level.sexes.get(sex):
            out.append(
                f"no {sex} control was scanned on this scanner; the other sex's shift was taken and the standard error "
                f"of z widened by {OTHER_SEX_SD:g}."
            )
        return out

    def _level_table(self, key: str, level: Level) -> pd.DataFrame:
        shift, scale, se = (part[0] for part in posterior(level.sums.row(), self.site_sd, self.within, self.scale_df))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = level.sums.total / level.sums.n
        return pd.DataFrame(
            {
                "scanner": key,
                "region": self.regions,
                "n": level.sums.n.astype(int),
                "mean_z": mean,
                "mean_z_after": (mean - shift) / scale,
                "shift": shift,
                "se": se,
                "scale": scale,
                "site_sd": self.site_sd,
            }
        )


REPORT_COLUMNS = {
    "scanner": {"Description": "Scanner (level of the adaptation's column); 'all' when there is one"},
    "region": {"Description": "Region; FreeSurfer's name"},
    "n": {"Description": "Number of local healthy people"},
    "mean_z": {"Description": "Their mean z before adaptation"},
    "mean_z_after": {"Description": "Their mean z after adaptation, each with the same shift and scale"},
    "shift": {"Description": "Estimated shift of the scanner in z: the mean shrunk towards zero"},
    "se": {"Description": "Standard error of the shift"},
    "scale": {"Description": "Estimated scale: the adapted deviation is (z - shift) / scale"},
    "site_sd": {"Description": "Prior: standard deviation of the shift between training scanners"},
}


def unadapted_warning(model: NormativeModel) -> str:
    """What a reader of z-scores without site adaptation must know, in one sentence or two."""
    spread = f"{np.median(_site_sd(model, model.regions)):.2f} SD (typical region)"
    if not np.isfinite(model.site_sd(model.regions)).any():
        spread = f"an amount that this model does not know (often {DEFAULT_SITE_SD} SD)"
    versions = model.card.known_versions
    offset = (
        (f"The offset of the FreeSurfer version is applied where the version is known ({', '.join(versions)}). ")
        if model.corrected_versions
        else ""
    )
    return (
        f"No site adaptation: a scanner that the model has not seen shifts z by {spread}, "
        f"up or down. {offset}Estimate the shift from local healthy people with --adapt-controls."
    )


def _level_keys(data: pd.DataFrame, by: str | None) -> NDArray[np.object_]:
    """The scanner of each row as text, None where it is missing."""
    if by is None:
        return np.full(len(data), ALL, dtype=object)
    if by not in data:
        return np.full(len(data), None, dtype=object)
    return np.array([None if pd.isna(value) else str(value) for value in data[by]], dtype=object)


def _person_ids(data: pd.DataFrame) -> NDArray[np.object_]:
    """Identifier of each row's person; without ``participant_id`` every row is a person."""
    if "participant_id" in data:
        return data["participant_id"].astype(str).to_numpy(dtype=object)
    return np.array([f"row {index}" for index in data.index], dtype=object)


def _of_other_sex(level: Level, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row's sex is one that none of the level's controls has."""
    if "sex" not in rows:
        return np.zeros(len(rows), dtype=bool)
    known = rows["sex"].isin(["female", "male"])
    return np.asarray(known & ~rows["sex"].isin([sex for sex, count in level.sexes.items() if count]))


def _site_sd(model: NormativeModel, regions: tuple[str, ...]) -> FloatArray:
    values = model.site_sd(regions)
    return np.where(np.isfinite(values) & (values > 0), values, DEFAULT_SITE_SD)


def _within(model: NormativeModel, site_sd: FloatArray) -> FloatArray:
    """Full harmonisation or site as an effect leaves z a variance of 1 within sites, else sites are part of that 1."""
    if any(word in model.card.harmonisation for word in ("full", "batch effect")):
        return np.ones_like(site_sd)
    return np.maximum(1 - site_sd**2, SMALLEST_WITHIN)


def _as_floats(values: FloatArray) -> list[float]:
    return [float(f"{value:.10g}") for value in values]


def _floats(values: Any) -> FloatArray:
    return np.array(list(values), dtype=float)
