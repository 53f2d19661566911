"""Defaults of an audit that `--help` shows: this module imports nothing that loads torch."""

from typing import Literal

Keep = Literal["auto", "all", "none"]
UNIFORM = 10_000  # rows: as many as Tramèr et al. take


def kept_when(keep: Keep, retrain: bool) -> Keep:
    """Which inputs are kept: a training on the bought rows keeps all, unless none are wanted.

    Example:
        >>> kept_when("auto", retrain=True)
        'all'
    """
    return "all" if retrain and keep == "auto" else keep
