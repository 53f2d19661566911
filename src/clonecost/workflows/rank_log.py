"""Rank the principals of an API's own log by suspicion. Needs no torch and asks no victim."""

from collections.abc import Sequence
from pathlib import Path

from clonecost.detectors import DETECTORS
from clonecost.errors import Advice, ChooseFrom, SpecError, suggest
from clonecost.monitoring.log_file import read_log
from clonecost.monitoring.ranking import rank
from clonecost.result.log_ranking import LogRanking


def rank_log(
    log: Path, *, benign: Path | None = None, detectors: Sequence[str] = (), rate: float = 0.01,
    seed: int = 0,
) -> LogRanking:  # fmt: skip
    """Rank the principals of a log, the most suspicious first.

    Args:
        log: JSON lines, as `clonecost.monitoring.log_file` documents them.
        benign: a log of honest principals, which sets thresholds; None: the log's principals are
            compared with each other, and nobody alarms.
        detectors: names in `DETECTORS`; none: all that can judge a log.
        rate: false-alarm rate over a principal's stream, in (0, 1).

    Raises:
        DataError: a log cannot be read, or has too few principals.
        SpecError: a detector is unknown, or the rate out of range.

    Example:
        >>> rank_log(Path("api.jsonl")).principals[0].name  # doctest: +SKIP
        'customer-17'
    """
    for name in detectors:
        if name not in DETECTORS:
            raise SpecError(suggest("detector", name, list(DETECTORS)), ChooseFrom("detectors"))
    if not 0 < rate < 1:
        raise SpecError("The false-alarm rate is out of range", got=f"{rate:g}",
                        want="above 0 and below 1")  # fmt: skip
    if benign is not None and not benign.is_file():
        raise SpecError(f"{benign} is no log, and a log is compared with another log",
                        Advice("give a log of honest principals"))  # fmt: skip
    chosen = {name: DETECTORS[name]() for name in detectors or DETECTORS}
    honest = None if benign is None else read_log(benign)
    return rank(read_log(log), chosen, rate=rate, benign=honest, seed=seed)
