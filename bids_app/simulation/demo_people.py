"""The people of the demo dataset: invented, with deviations that are planted and therefore known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PATIENT, CONTROL = "patient", "control"
YEARS = (0.0, 2.0, 4.0)


@dataclass(frozen=True)
class DemoPerson:
    """One invented person.

    Parameters
    ----------
    label, sex, group : str
    age : float
        Years at the first session.
    etiv_mm3 : float
    site : str
    n_sessions : int
        Sessions at 0, 2 and 4 years.
    duration : float or None
        Years since the first symptom at the first session; None for controls.
    edss, pasat, fss : tuple of float
        Scores per session; empty for controls.
    relapses : tuple of int
        Relapses since the session before (the year before the first); empty for controls.
    planted : mapping
        Region to z at the first session and its change per year; all other regions are drawn.
    incomplete : bool
        The FreeSurfer run stopped with an error.
    """

    label: str
    sex: str
    group: str
    age: float
    etiv_mm3: float
    site: str = "north"
    n_sessions: int = 1
    duration: float | None = None
    edss: tuple[float, ...] = ()
    pasat: tuple[float, ...] = ()
    fss: tuple[float, ...] = ()
    relapses: tuple[int, ...] = ()
    planted: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    incomplete: bool = False


def both(structure: str, z: float, per_year: float = 0.0) -> dict[str, tuple[float, float]]:
    """The same planted deviation left and right."""
    return {f"{side}-{structure}": (z, per_year) for side in ("Left", "Right")}


def cortex(structure: str, z: float, per_year: float = 0.0, sides: str = "lr") -> dict[str, tuple[float, float]]:
    """A planted deviation of a cortical region."""
    return {f"{side}h_{structure}_volume": (z, per_year) for side in sides}


PEOPLE = (
    DemoPerson(
        "01",
        "female",
        PATIENT,
        34.2,
        1.46e6,
        n_sessions=3,
        duration=5.5,
        edss=(2.0, 3.0, 4.0),
        pasat=(51, 47, 42),
        fss=(3.8, 4.4, 5.1),
        relapses=(1, 1, 0),
        planted={
            **both("Thalamus", -1.7, -0.4),
            **both("Putamen", -1.2, -0.3),
            **both("Hippocampus", -0.9, -0.2),
            **both("Lateral-Ventricle", 1.1, 0.3),
            **cortex("precentral", -1.5, -0.25),
        },
    ),
    DemoPerson(
        "02",
        "male",
        PATIENT,
        47.5,
        1.63e6,
        "south",
        n_sessions=3,
        duration=12.0,
        edss=(3.5, 3.5, 4.0),
        pasat=(44, 45, 43),
        fss=(4.9, 5.0, 5.0),
        relapses=(0, 0, 0),
        planted={**both("Thalamus", -2.6), **both("Pallidum", -2.2), **cortex("insula", -2.1, sides="l")},
    ),
    DemoPerson(
        "03",
        "female",
        PATIENT,
        58.9,
        1.41e6,
        duration=21.0,
        edss=(6.0,),
        pasat=(33,),
        fss=(5.9,),
        relapses=(0,),
        planted={
            **both("Thalamus", -3.1),
            **both("Caudate", -2.4),
            **both("Putamen", -2.7),
            **both("Hippocampus", -2.2),
            **cortex("superiorfrontal", -2.3),
            **both("Lateral-Ventricle", 2.6),
        },
    ),
    DemoPerson(
        "04",
        "female",
        PATIENT,
        41.3,
        1.50e6,
        "south",
        duration=8.0,
        edss=(2.5,),
        pasat=(49,),
        fss=(4.1,),
        relapses=(1,),
        planted={**both("Thalamus", -2.1), **cortex("cuneus", 2.2, sides="r")},
    ),
    DemoPerson(
        "05",
        "male",
        PATIENT,
        66.0,
        1.70e6,
        duration=27.5,
        edss=(5.5,),
        pasat=(38,),
        fss=(5.2,),
        relapses=(0,),
        planted={**both("Thalamus", -2.4), **both("Amygdala", -2.0), **cortex("postcentral", -2.2)},
    ),
    DemoPerson(
        "06",
        "female",
        PATIENT,
        27.8,
        1.39e6,
        "south",
        duration=1.5,
        edss=(1.5,),
        pasat=(55,),
        fss=(3.0,),
        relapses=(2,),
        incomplete=True,
    ),
    DemoPerson("07", "female", CONTROL, 8.4, 1.44e6),
    DemoPerson("08", "male", CONTROL, 15.2, 1.56e6, "south"),
    DemoPerson("09", "female", CONTROL, 31.0, 1.48e6, n_sessions=3),
    DemoPerson("10", "male", CONTROL, 45.1, 1.66e6, "south"),
    DemoPerson("11", "female", CONTROL, 63.7, 1.43e6),
    DemoPerson("12", "male", CONTROL, 79.6, 1.61e6, "south", planted=cortex("lingual", 2.3, sides="r")),
)
