"""How numbers are written, in every form of the report and on the command line."""

import math

# Thresholds of a verdict: a figure must not reach one of them by rounding.
_THRESHOLDS = (0.0, 75.0, 90.0, 100.0)


def percent(value: float, decimals: int = 0) -> str:
    """A share as "91 %"; more decimals where rounding would say 0, 75, 90 or 100 and be wrong."""
    return f"{_percent(value, decimals)} %" if math.isfinite(value) else "–"


def percent_range(low: float, high: float, decimals: int = 0) -> str:
    """ "90 to 92 %"."""
    return f"{_percent(low, decimals)} to {_percent(high, decimals)} %"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign: "+3.2 points".

    Example:
        >>> points(0.032)
        '+3.2 points'
    """
    return f"{_signed(difference)} points"


def points_range(low: float, high: float) -> str:
    """ "−1.0 to +7.4 points"."""
    return f"{_signed(low)} to {_signed(high)} points"


def _signed(difference: float) -> str:
    shown = f"{100 * abs(difference):.1f}"
    sign = "" if float(shown) == 0 else "+" if difference > 0 else "\N{MINUS SIGN}"
    return f"{sign}{shown}"


def probability_percent(probability: float) -> str:
    """Whole percent; "<1 %" and ">99 %" where rounding would say never or always."""
    if not 0.005 <= probability < 0.995:
        return "<1 %" if probability < 0.5 else ">99 %"
    return f"{100 * probability:.0f} %"


def count(number: int, noun: str) -> str:
    """ "20,000 queries", "2 searches", "30 days", "1 query"."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}es" if noun.endswith(("ch", "s")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def usd(amount: float) -> str:
    """US dollars, cents only where they matter: "$0.35", "$20", "$1,234"."""
    if 0 < amount < 0.005:
        return "< $0.01"
    whole = amount >= 10 or amount == round(amount)
    return f"${amount:,.0f}" if whole else f"${amount:,.2f}"


def about_usd(amount: float) -> str:
    return "less than $0.01" if 0 < amount < 0.005 else f"about {usd(amount)}"


def nats(value: float) -> str:
    """A divergence or entropy in nats: three decimals, "∞" when infinite."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if math.isfinite(value) else "∞"


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _percent(value: float, decimals: int) -> str:
    for places in range(decimals, 5):
        shown = f"{100 * value:.{places}f}"
        if float(shown) not in _THRESHOLDS or abs(100 * value - float(shown)) < 1e-9:
            break
    return shown
