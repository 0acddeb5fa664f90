"""Numbers as they are printed: rounded by their error, durations in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .record import is_finite

MISSING = "–"
DIGITS_OF_ERROR = 2
MINUS = "\u2212"
MOST_DECIMALS = 12


def decimals(error: float) -> int:
    """Decimal places that show `error` with two significant digits."""
    if not (is_finite(error) and error > 0):
        return 4
    return min(max(DIGITS_OF_ERROR - 1 - math.floor(math.log10(error)), 0), MOST_DECIMALS)


def fixed(value: object, places: int) -> str:
    """`value` with a fixed number of decimals and a true minus sign; a dash when it is none."""
    if not is_finite(value):
        return MISSING
    return f"{value:.{places}f}".replace("-", MINUS)


def mean_and_error(mean: float, error: float) -> str:
    """`0.02236 ± 0.00015`: both rounded to two digits of the error."""
    places = decimals(error)
    return f"{fixed(mean, places)} ± {fixed(error, places)}"


def interval(limits: Sequence[float | None] | None, std: float) -> str:
    """Limits as `[low, high]`, `< high` or `> low` when one of them is None."""
    if limits is None or len(limits) != 2:
        return MISSING
    low, high = limits
    places = decimals(std)
    if low is None and high is None:
        return MISSING
    if low is None:
        return f"< {fixed(high, places)}"
    if high is None:
        return f"> {fixed(low, places)}"
    return f"[{fixed(low, places)}, {fixed(high, places)}]"


def significant(value: object, digits: int = 3) -> str:
    """`value` with some significant digits, or a dash."""
    if not is_finite(value):
        return MISSING
    return f"{value:.{digits}g}".replace("-", MINUS)


def duration(seconds: object) -> str:
    """Seconds in words: `0.4 s`, `12 s`, `3 min 04 s`, `2 h 05 min`."""
    if not is_finite(seconds):
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
