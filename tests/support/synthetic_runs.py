"""Results and run folders made up for the tests of the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from clonecost.report import Run
from clonecost.result import Rate, Result

CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat"]
MAJORITY = 0.1


def wilson(value: float, rows: int = 1000) -> Rate:
    z = 1.959964
    centre = (value + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * (value * (1 - value) / rows + z * z / (4 * rows**2)) ** 0.5
    return Rate(value=value, low=max(0, centre - half), high=min(1, centre + half))


def at_corrected(value: float, low: float | None = None, high: float | None = None) -> Rate:
    """The agreement whose chance-corrected value (and interval) is this; default: no width."""
    parts = [value if part is None else part for part in (value, low, high)]
    value, low, high = (MAJORITY + part * (1 - MAJORITY) for part in parts)
    return Rate(value=value, low=low, high=high)


def score(queries: int, agreement: Rate | float, kl: float) -> dict[str, Any]:
    rate = wilson(agreement) if isinstance(agreement, float) else agreement
    parts = [
        round((part - MAJORITY) / (1 - MAJORITY), 12) for part in (rate.value, rate.low, rate.high)
    ]
    return {
        "queries": queries,
        "accuracy": wilson(round(rate.value * 0.95, 6)),
        "agreement": rate,
        "corrected_agreement": dict(zip(("value", "low", "high"), parts, strict=True)),
        "balanced_agreement": rate,
        "learnt": parts[1] > 0,
        "relative_accuracy": rate.value * 0.95 / 0.93,
        "kl": kl,
    }


def made_control(name: str, agreement: float) -> dict[str, Any]:
    """A control with the accuracy of a clone of that agreement."""
    scored = score(0, agreement, 0.0)
    return {"name": name} | {
        part: scored[part] for part in ("accuracy", "agreement", "corrected_agreement")
    }


def result(
    curve: Sequence[tuple[int, Rate | float]] = ((1000, 0.5), (10_000, 0.8), (20_000, 0.91)),
    *,
    attack: str = "knockoff",
    seed: int = 0,
    usd_per_1000: float | None = 1.0,
    lost: int = 0,
    kl: float = 0.31,
    settings: dict[str, Any] | None = None,
    counter: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """A result whose parts can be changed one by one: `result(threat={"answers": "label"})`."""
    spent = curve[-1][0]
    document: dict[str, Any] = {
        "victim": {
            "name": "shop-classifier",
            "accuracy": wilson(0.93),
            "majority_accuracy": 0.2,
            "test_set": "fashion-mnist test",
            "test_rows": 1000,
            "classes": CLASSES,
            "weights": "ab" * 32,
        },
        "threat": {
            "input_shape": [1, 28, 28],
            "num_classes": 5,
            "query_budget": spent,
            "answers": "probs",
            "top_k": None,
            "input_precision": "uint8",
            "access": "black-box",
        },
        "attack": {
            "name": attack,
            "settings": settings or {"epochs": 10, "lr": 0.01},
            "student": "lenet",
            "proxy": "emnist letters",
            "counter": counter,
        },
        "defences": [],
        "curve": [score(queries, agreement, kl) for queries, agreement in curve],
        "per_class": [
            {"name": name, "rows": 200, "agreement": wilson(0.95 - 0.1 * index, 200)}
            for index, name in enumerate(CLASSES)
        ],
        "spent": spent,
        "lost": lost,
        "evaluation": 1000,
        "ended": "budget_exhausted",
        "majority_agreement": MAJORITY,
        "price": {
            "usd_per_1000": usd_per_1000,
            "usd": None if usd_per_1000 is None else (spent + lost) * usd_per_1000 / 1000,
        },
        "traffic": {
            "rows": spent,
            "class_histogram": [spent - 4 * (spent // 10), *([spent // 10] * 4)],
            "mean_entropy": 0.7,
            "confident": 0.42,
        },
        "search": None,
        "retrained": None,
        "controls": [],
        "flags": [],
        "seconds": 312.0,
        "provenance": {
            "version": "0.1.0",
            "revision": "c94c51f",
            "created": "2026-01-02T03:04:05Z",
            "command": f"clonecost audit spec.toml --seed {seed}",
            "seed": seed,
            "device": "cpu",
            "threads": 2,
            "python": "3.12.1",
            "torch": "2.13.0",
            "platform": "Linux x86_64",
            "ledger_head": "0f" * 32,
            "ledger_rows": spent + lost,
            "resumed": 0,
        },
    }
    for name, value in changes.items():
        document[name] = document[name] | value if isinstance(document[name], dict) else value
    return Result.model_validate({"schema": "clonecost/result/2"} | document)


def run(name: str = "run", **changes: Any) -> Run:
    return Run(Path(name), result(**changes))


def search(**changes: Any) -> dict[str, Any]:
    """What a search reports: 20,000 rows, 500 of them winners, the last class the dearest."""
    return {
        "targets": 500,
        "reached": 450,
        "queries_per_class": [2000, 3000, 3000, 4000, 8000],
        "used_rows": 500,
        "wasted": 0.975,
        "generations": 2.5,
    } | changes


def over_time(spans: int = 4, rows: int = 5000) -> list[dict[str, Any]]:
    """What was answered over a run: at first always the first class, at last always the last."""
    return [
        {
            "first": at * rows,
            "rows": rows,
            "class_histogram": [rows - at * rows // (spans - 1), 0, 0, 0, at * rows // (spans - 1)],
            "mean_entropy": 0.25 + at / 4,
        }
        for at in range(spans)
    ]


def write(
    folder: Path, found: Result, *, samples: int = 0, channels: int = 1, films: int = 0
) -> Path:
    """A run folder on disk, with `samples` rows of noise and films of `films` searches."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(found.model_dump_json(by_alias=True), encoding="utf-8")
    if samples:
        save_file(sample_tensors(samples, channels), folder / "samples.safetensors")
    if films:
        save_file(film_tensors(films, channels=channels), folder / "search.safetensors")
    return folder


def sample_tensors(rows: int, channels: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    answers = rng.dirichlet([0.3] * len(CLASSES), rows).astype(np.float32)
    return {
        "inputs": rng.integers(0, 256, (rows, channels, 8, 8), dtype=np.uint8),
        "answers": answers,
        "positions": np.arange(rows, dtype=np.int64) * 10,
    }


def film_tensors(
    targets: int, *, generations: int = 6, channels: int = 1, side: int = 8
) -> dict[str, np.ndarray[Any, Any]]:
    """Searches for class 0, 1, ... in turn; number n ends after n + 1 generations."""
    rng = np.random.default_rng(0)
    shape = (targets, generations, channels, side, side)
    rising = np.linspace(0.002, 0.98, generations, dtype=np.float32)
    ended = np.arange(generations)[None] > np.arange(targets)[:, None]
    return {
        "images": rng.integers(0, 256, shape, dtype=np.uint8),
        "probability": np.where(ended, np.float32("nan"), rising[None]).astype(np.float32),
        "targets": np.arange(targets, dtype=np.int64) % len(CLASSES),
    }
