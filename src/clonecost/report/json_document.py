"""The results of runs as JSON, for a program."""

import json
from collections.abc import Sequence

from clonecost.report.load_runs import Run

SCHEMA = "clonecost/report/1"


def as_json(runs: Sequence[Run]) -> str:
    """One run: its result document. Several: {"schema": "clonecost/report/1", "runs": [...]}."""
    results = [json.loads(run.result.model_dump_json(by_alias=True)) for run in runs]
    document = results[0] if len(results) == 1 else {"schema": SCHEMA, "runs": results}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
