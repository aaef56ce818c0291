"""A small synthetic cohort for tests: people with MS over three visits and controls with one."""

import numpy as np
import pandas as pd

from bids_app.regions import reference_regions


def simulated_cohort(n_patients=30, n_controls=60, seed=4):
    """Cohort and z-scores (same rows); severity lowers the thalamus and raises EDSS."""
    generator = np.random.default_rng(seed)
    severity = generator.normal(size=n_patients)
    rows, z = [], []
    for person in range(n_patients + n_controls):
        patient = person < n_patients
        age, etiv = generator.uniform(20, 60), generator.normal(1.45e6, 1e5)
        sex = str(generator.choice(["female", "male"]))
        for visit in range(3 if patient else 1):
            values = generator.normal(size=82)
            edss = np.nan
            if patient:
                values -= 0.5 + 0.3 * severity[person]
                score = 3 + 1.5 * severity[person] + 0.4 * visit + 0.3 * generator.normal()
                edss = float(np.clip(np.round(2 * score) / 2, 0, 9))
            z.append(values)
            rows.append(
                {
                    "participant_id": f"sub-{person:03}",
                    "session_id": f"ses-{visit + 1}",
                    "age": age + 1.5 * visit,
                    "sex": sex,
                    "etiv_mm3": etiv,
                    "dx": "MS" if patient else "HC",
                    "edss": edss,
                    "pasat": min(generator.normal(50, 8), 60.0) if patient else np.nan,
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(z, columns=list(reference_regions()))
