"""Copies of boosted trees and forests: thresholds first, against rows without them, and labels.

    python -m experiments.harvested_trees --out suites/results/harvested_trees.json

Each victim is fitted to the training rows of a table, with its library's default settings, and
attacked at several budgets with several seeds. Agreement is on the table's test rows, and on
uniform rows. What is in the file already is kept.
"""

import argparse
import json
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import clonecost as cc
from clonecost.attacks.threshold_harvest import ThresholdHarvest
from clonecost.attacks.tramer_adaptive_retrain import TramerAdaptiveRetrain

ATTACKS: dict[str, tuple[Any, str]] = {
    "threshold_harvest": (ThresholdHarvest(), "probs"),
    "without thresholds": (ThresholdHarvest(harvest=0), "probs"),
    "labels, boosted": (TramerAdaptiveRetrain(model="boosted"), "label"),
}
KEYS = ("table", "victim", "attack", "budget", "seed")


def data(name: str) -> tuple[cc.LabelledInputs, cc.LabelledInputs]:
    """The training and the test rows of a table."""
    if name != "synthetic-50":
        return cc.load_table(name, "train"), cc.load_table(name, "test")
    x, y = make_classification(
        6_000, 50, n_informative=15, n_redundant=10, n_classes=3, random_state=0
    )
    return cc.table(x[:4_000], y[:4_000]), cc.table(x[4_000:], y[4_000:])


def fitted(kind: str, train: cc.LabelledInputs) -> Any:
    x, y = train.inputs.double().numpy(), train.labels.numpy()
    if kind in ("lightgbm", "lightgbm-stumps"):
        from lightgbm import LGBMClassifier

        depth = 1 if kind.endswith("stumps") else -1
        return LGBMClassifier(verbose=-1, n_jobs=1, max_depth=depth).fit(x, y)
    if kind == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_jobs=1).fit(x, y)
    if kind == "forest":
        return RandomForestClassifier(random_state=0).fit(x, y)
    return HistGradientBoostingClassifier(random_state=0).fit(x, y)


def one(
    model: Any, test: cc.LabelledInputs, attack: tuple[Any, str], budget: int, seed: int
) -> dict[str, Any]:
    """The scores of one run at its end."""
    threat = cc.ThreatModel(
        input_shape=test.shape, num_classes=len(model.classes_), query_budget=budget,
        features=test.features, answers=attack[1],  # type: ignore[arg-type]
    )  # fmt: skip
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = cc.run_audit(cc.Audit(
            victim=cc.sklearn_victim(model), threat=threat, attack=attack[0], test=test,
            seed=seed, out=Path(folder) / "run", milestones=(),
            options=cc.RunOptions(uniform=2_000),
        ))  # fmt: skip
    score = result.curve[-1]
    unif = score.table.r_unif if score.table else None
    return {
        "budget": budget, "seed": seed, "spent": result.spent,
        "agreement": score.agreement.value,
        "uniform": 1 - unif.value if unif else None,
        "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["breast_cancer", "wine", "diabetes"])
    parser.add_argument(
        "--victims", nargs="+", default=["lightgbm", "lightgbm-stumps", "xgboost", "forest"]
    )
    parser.add_argument("--budgets", nargs="+", type=int, default=[1_000, 5_000, 20_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--attacks", nargs="+", choices=tuple(ATTACKS), default=list(ATTACKS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = json.loads(asked.out.read_text()) if asked.out.exists() else []
    known = {tuple(row[key] for key in KEYS) for row in rows}
    # the cheap budgets of everything come first
    for budget, table, kind in product(asked.budgets, asked.tables, asked.victims):
        train, test = data(table)
        model = fitted(kind, train)
        for name, seed in product(asked.attacks, asked.seeds):
            if (table, kind, name, budget, seed) in known:
                continue
            row = one(model, test, ATTACKS[name], budget, seed)
            rows.append({"table": table, "victim": kind, "attack": name, **row})
            asked.out.write_text(json.dumps(rows, indent=1) + "\n")
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
