"""How numbers are said in sentences, and which software is named in methods."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import numpy as np

# Below this the normal approximations behind the tests are not to be trusted.
FEW = 20


def p_value(p: float) -> str:
    """``p < 0.001`` or ``p = 0.012``."""
    if np.isnan(p):
        return "p not available"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def q_value(q: float) -> str:
    """``q < 0.001`` or ``q = 0.012``: a p value corrected for multiple tests."""
    return p_value(q).replace("p", "q", 1)


def interval(low: float, high: float, digits: int = 2) -> str:
    """``95 % interval 0.14 to 0.34``; an open end is said in words."""
    if np.isinf(low) or np.isinf(high):
        ends = (
            "unbounded"
            if np.isinf(low) and np.isinf(high)
            else (f"below {high:.{digits}f}" if np.isinf(low) else f"above {low:.{digits}f}")
        )
        return f"95 % interval {ends}"
    return f"95 % interval {low:.{digits}f} to {high:.{digits}f}"


def percent(share: float) -> str:
    """``25 %``; one decimal below 10 %."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def plural(count: int, singular: str, many: str | None = None) -> str:
    """``1 region``, ``2 regions``."""
    return f"{count} {singular if count == 1 else many or singular + 's'}"


def listing(items: list[str], most: int = 5) -> str:
    """``a, b and c``; after `most` items ``and n more``."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def upper_first(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def few_people(smallest: float) -> tuple[str, ...]:
    """A caution when an estimate rests on fewer than `FEW` people; nothing otherwise, or where nobody has a value."""
    if smallest >= FEW or not smallest >= 1:
        return ()
    return (f"Some of these estimates rest on {plural(int(smallest), 'person', 'people')}; take them as exploratory.",)


def grouped(problems: Iterable[tuple[str, str]]) -> list[str]:
    """``a, b: why`` for every reason of the (what, why) pairs."""
    reasons: dict[str, dict[str, None]] = {}
    for what, why in problems:
        reasons.setdefault(why, {})[what] = None
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def software(*packages: str) -> str:
    """``normvol 0.1.0, numpy 2.1.0``: this software and the named packages with their versions."""
    from bids_app import __version__

    return ", ".join([f"normvol {__version__}", *(f"{name} {_version(name)}" for name in packages)])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(unknown version)"
