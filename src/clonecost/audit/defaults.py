"""Defaults of an audit that `--help` shows: this module imports nothing that loads torch."""

from typing import Literal

Keep = Literal["auto", "all", "none"]
UNIFORM = 10_000  # rows: as many as Tramèr et al. take
