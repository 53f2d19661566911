"""Documents beside run folders, made up for the tests of the report."""

from typing import Any

import numpy as np
from tests.support.synthetic_runs import at_corrected, wilson

from clonecost.report.load_runs import RowScores
from clonecost.result.defence_grid import DefenceGrid
from clonecost.result.detection import Detection
from clonecost.result.panel import PanelDocument

TEST_ROWS = 200


def row_scores(agreement: float, *, accuracy: float | None = 0.5, **changes: Any) -> RowScores:
    """The first rows agree, the last are correct; `test` and `victim` may be given."""
    place = np.arange(TEST_ROWS)
    correct = None if accuracy is None else place >= TEST_ROWS * (1 - accuracy)
    parts: dict[str, Any] = {
        "agrees": place < TEST_ROWS * agreement,
        "correct": correct,
        "victim": (place % 3).astype(np.int32),
        "test": "ab" * 16,
    }
    return RowScores(**parts | changes)


def attacker(counter: str, corrected: float, **changes: Any) -> dict[str, Any]:
    agreement = at_corrected(corrected, corrected - 0.02, corrected + 0.02)
    return {
        "counter": counter, "why": "it knows the defence", "runs": [f"{counter}-0"], "seeds": [0],
        "agreement": agreement.model_dump(), "learnt": True,
        "corrected_agreement": {
            "value": corrected, "low": corrected - 0.02, "high": corrected + 0.02
        },
    } | changes  # fmt: skip


def gain(value: float, width: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - width, "high": value + width,
            "how": "paired bootstrap"}  # fmt: skip


def utility(flips: float, l1: float) -> dict[str, Any]:
    change = {"before": 0.02, "after": 0.31}
    return {
        "rows": 1000, "flips": wilson(flips).model_dump(), "l1_mean": l1, "l1_max": 2 * l1,
        "nll": change, "ece": change, "auroc_errors": change,
    }  # fmt: skip


def defence_row(
    defence: str, worst: float, over_label: float | None, over_none: float | None,
    price: tuple[float, float] | None = None, **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """A row whose naive attacker does worse by a tenth than the one who averages."""
    return {
        "defence": defence, "utility": utility(*price) if price else None,
        "latency": {"batch_1": {"before": 1.0, "after": 1.25},
                    "batch_128": {"before": 0.1, "after": 0.12}},
        "attackers": [attacker("naive", worst - 0.1), attacker("averaging", worst)],
        "worst": "averaging",
        "gain_over_label": None if over_label is None else gain(over_label),
        "gain_over_none": None if over_none is None else gain(over_none), "pareto": False,
    } | changes  # fmt: skip


def grid(*rows: dict[str, Any]) -> DefenceGrid:
    """The two first rows, and these (or one that helps and one that does not)."""
    first = [
        defence_row("none", 0.92, -0.1, None),
        defence_row("label", 0.8, None, 0.12, (0.0, 0.4)),
    ]
    default = [
        defence_row("noise:scale=0.2", 0.7, 0.1, 0.22, (0.03, 0.5), pareto=True),
        defence_row("rounding:decimals=2", 0.91, -0.11, 0.005, (0.0, 0.01)),
    ]
    return DefenceGrid.model_validate({
        "schema": "clonecost/defences/1", "victim": "shop-classifier", "attack": "knockoff",
        "queries": 10_000, "seeds": [0], "test_rows": 1000, "majority_agreement": 0.1,
        "rows": first + (list(rows) or default),
    })  # fmt: skip


def detection(*detectors: dict[str, Any], caps: Any = None, noticed: bool = True) -> Detection:
    """Two detectors, one of which alarms, and one that cannot judge; a cap for each band."""
    rate = {"value": 0.01, "low": 0.0, "high": 0.05}
    alarm = {
        "name": "duplicates", "settings": {}, "threshold": 3.0, "false_alarms": rate,
        "first_alarm": 640, "milestone": 500, "agreement": wilson(0.4).model_dump(), "auroc": 0.97,
        "short_accounts": [{"rows": 100, "accounts": 50, "auroc": 0.9, "found": rate},
                           {"rows": 500, "accounts": 10, "auroc": 0.97,
                            "found": {"value": 0.8, "low": 0.7, "high": 0.9}}],
        "accounts_needed": 20,
    }  # fmt: skip
    silent = {"name": "prada", "settings": {}, "agreement": wilson(0.91).model_dump(),
              "false_alarms": rate}  # fmt: skip
    lower = silent | {
        "name": "labels",
        "without": {
            "users": "video",
            "threshold": 0.1,
            "first_alarm": 90,
            "milestone": None,
            "agreement": None,
        },
    }
    blind = {"name": "features", "settings": {}, "why_not": "The run kept no inputs."}
    default_caps = [
        {"band": 0.75, "days": 30, "below": 1000, "reached": 10_000, "per_day": 33,
         "accounts_in_a_day": 304},
        {"band": 0.9, "days": 30, "below": 10_000, "reached": None, "per_day": 333,
         "accounts_in_a_day": None},
    ]  # fmt: skip
    return Detection.model_validate({
        "schema": "clonecost/detection/1", "queries": 20_000, "rate": 0.01,
        "benign": {"source": "the test set of the run", "rows": 1000, "accounts": 40,
                   "account_rows": 500, "kinds": {"shuffled": 40}},
        "detectors": list(detectors) or [alarm, silent, lower, blind],
        "caps": default_caps if caps is None else caps, "noticed": noticed,
        "verdict": "The owner would have noticed after 640 queries.", "seed": 0, "seconds": 1.0,
        "ledger_head": "0f",
    })  # fmt: skip


def panel(*entries: dict[str, Any]) -> PanelDocument:
    default = [
        {"name": "knockoff", "run": "01-knockoff", "attack": "knockoff:shared",
         "owns": "public pictures", "seed": 0, "budget": 1000, "spent": 1000, "ended": "finished"},
        {"name": "dfme", "run": None, "attack": "dfme", "owns": "nothing", "seed": 0,
         "budget": 9000, "ended": "not_run", "why": "it does not fit into the time"},
    ]  # fmt: skip
    return PanelDocument.model_validate({
        "schema": "clonecost/panel/1", "level": "quick", "entries": list(entries) or default,
        "watch": {"ledger": None, "rows": 0, "words": "none"}, "rule": "never",
        "limits": {"budget": 10_000}, "spent": 1000,
    })  # fmt: skip
