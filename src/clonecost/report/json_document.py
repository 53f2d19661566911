"""The results of runs as JSON, for a program."""

import json
from collections.abc import Sequence
from typing import Any

from clonecost.report.documents import Documents
from clonecost.report.load_runs import Run
from clonecost.result import Model

SCHEMA = "clonecost/report/1"


def as_json(runs: Sequence[Run], documents: Documents | None = None) -> str:
    """One run: its result document. Else {"schema": "clonecost/report/1", "runs": [...], ...}.

    With `documents`, those beside the runs have the keys `panel`, `defences` and `detections` (by
    the place of the run), and one run with such a document is a report, too; a key is absent
    without its document.
    """
    results = [_plain(run.result) for run in runs]
    beside: dict[str, object] = {}
    if documents is not None:
        beside = {
            "panel": documents.panel and _plain(documents.panel),
            "defences": documents.grid and _plain(documents.grid),
            "detections": {run.place: _plain(run.detection) for run in runs if run.detection},
        }
    found = {name: value for name, value in beside.items() if value}
    document = {"schema": SCHEMA, "runs": results, **found}
    if len(results) == 1 and not found:
        document = results[0]
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(document: Model) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True))
    return found
