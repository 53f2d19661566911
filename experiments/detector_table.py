"""Which detector notices which attack? One table of all ledgers in a folder.

    for each attack: clonecost audit fmnist-lenet --attack ... --keep all --out LEDGERS/NAME
                     clonecost detect LEDGERS/NAME
    python -m experiments.detector_table LEDGERS suites/results/detectors/fmnist-lenet.json

A run without `detection.json` is left out.
"""

import json
import sys
from pathlib import Path
from typing import Any

from clonecost.result import read_result
from clonecost.result.detection import DetectorFinding, read_detection


def main() -> None:
    """Write the table as JSON and, beside it, as Markdown."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = [_row(one) for one in sorted(folder.iterdir()) if (one / "detection.json").is_file()]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(_markdown(found), encoding="utf-8")


def _row(run: Path) -> dict[str, Any]:
    result, detection = read_result(run), read_detection(run)
    assert detection is not None
    return {
        "attack": result.attack.name,
        "proxy": result.attack.proxy,
        "queries": detection.queries,
        "agreement": result.curve[-1].agreement.model_dump(),
        "rate": detection.rate,
        "detectors": {one.name: _alarm(one) for one in detection.detectors},
    }


def _alarm(one: DetectorFinding) -> dict[str, Any]:
    return {
        "first_alarm": one.first_alarm,
        "clone_by_then": one.agreement.value if one.agreement else None,
        "auroc": one.auroc,
        "without": None if one.without is None else one.without.model_dump(
            include={"users", "first_alarm"}
        ),
    }  # fmt: skip


def _markdown(found: list[dict[str, Any]]) -> str:
    names = list(found[0]["detectors"])
    lines = [
        "# Rows before the first alarm: fmnist-lenet", "",
        "At 1 % false alarms over a whole stream, five kinds of honest users. In brackets: the "
        "agreement of the clone that was scored last before the alarm.", "",
        f"| attack | attacker's data | rows | agreement | {' | '.join(names)} |",
        "|" + "---|" * (4 + len(names)),
    ]  # fmt: skip
    lines += [
        f"| `{row['attack']}` | {row['proxy'] or 'none'} | {row['queries']:,} | "
        f"{row['agreement']['value']:.1%} | "
        f"{' | '.join(_cell(row['detectors'][name]) for name in names)} |"
        for row in found
    ]
    return "\n".join(lines) + "\n"


def _cell(alarm: dict[str, Any]) -> str:
    if alarm["first_alarm"] is None:
        return "none"
    by_then = alarm["clone_by_then"]
    return f"{alarm['first_alarm']:,} ({'not scored' if by_then is None else f'{by_then:.1%}'})"


if __name__ == "__main__":
    main()
