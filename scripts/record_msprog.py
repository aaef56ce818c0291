"""Record what pymsprog (the authors' Python version of the R package msprog) finds in simulated courses of EDSS.

    pip install pymsprog==1.0.7      # in an environment of its own: it needs numpy 1
    python scripts/record_msprog.py tests/data/msprog/courses.json

Montobbio et al. 2024, doi:10.1177/13524585241243157. The courses are invented; the file holds them and the events.
"""

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

PEOPLE, YEARS = 80, 6
SETTINGS = {
    "event": "multiple",
    "RAW_PIRA": True,
    "baseline": "roving",
    "proceed_from": "firstconf",
    "sub_threshold_rebl": "improvement",
    "conf_days": 168,
    "conf_tol_days": [7, float("inf")],
    "relapse_to_bl": 30,
    "relapse_to_conf": 30,
    "relapse_to_event": 0,
    "relapse_assoc": [90, 30],
    "relapse_indep": {"prec": (0, 0), "event": (90, 30), "conf": (0, 0)},
    "date_format": "day",
    "include_dates": True,
    "include_value": True,
    "verbose": 0,
}


def main(path: str) -> None:
    """Write courses and events as JSON."""
    from pymsprog import MSprog

    warnings.filterwarnings("ignore")
    courses = {f"p{number:02d}": course(np.random.default_rng(number)) for number in range(PEOPLE)}
    visits = pd.DataFrame(
        [(name, *visit) for name, one in courses.items() for visit in one["visits"]], columns=["id", "day", "EDSS"]
    )
    relapses = pd.DataFrame(
        [(name, day) for name, one in courses.items() for day in one["relapses"]], columns=["id", "day"]
    )
    found = {}
    for key, moved in (("events", False), ("events_new_baseline_after_relapse", True)):
        _, table = MSprog(visits, "id", "EDSS", "day", "edss", relapse=relapses, relapse_rebl=moved, **SETTINGS)
        rows = table[table["event_type"] == "CDW"]
        found[key] = {name: [_event(row) for row in part.itertuples()] for name, part in rows.groupby("id")}
    content = {"software": f"pymsprog {version('pymsprog')}", "courses": courses, **found}
    with open(path, "w") as file:
        file.write(json.dumps(content) + "\n")


def _event(row: object) -> list[object]:
    return [int(row.time2event), row.CDW_type, float(row.bl_value), float(row.value), int(row.conf168_date)]


def course(generator: np.random.Generator) -> dict[str, list[object]]:
    """Visits (day, EDSS) and days of relapses of one person; EDSS 0.5, which the scale does not have, never occurs."""
    days = [0]
    while days[-1] < 365 * YEARS:
        days.append(days[-1] + int(generator.integers(60, 250)))
    relapses = sorted(int(day) for day in generator.uniform(1, 365 * YEARS, generator.poisson(2.0)))
    level, before, visits = float(generator.choice([1, 2, 2.5, 3, 3.5, 4, 5, 5.5, 6])), 0, []
    for day in days:
        level += float(generator.choice([0.5, 1, 1.5])) * (generator.random() < 0.06)
        level -= float(generator.choice([0.5, 1])) * (generator.random() < 0.05)
        level += sum(1.0 for at in relapses if before < at <= day and generator.random() < 0.4)
        flare = sum(1.5 for at in relapses if 0 <= day - at < 60 and generator.random() < 0.7)
        level, before = min(max(level, 1.0), 8.0), day
        seen = level + flare + float(generator.choice([0, 0, 0, 0, 0.5, -0.5]))
        visits.append([day, min(max(seen, 1.0), 9.0)])
    return {"visits": visits, "relapses": relapses}


if __name__ == "__main__":
    main(sys.argv[1])
