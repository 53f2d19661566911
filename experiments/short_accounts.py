"""How often do detectors alarm on honest accounts of 20 rows, with thresholds from 100 rows?

    python -m experiments.short_accounts --out suites/results/detectors/short_accounts.json

Honest rows of a victim calibrate each detector as `clonecost detect` does, for accounts of 20 rows
at a rate of 1 %. Then it watches fresh accounts of the same kinds of users, of rows that took no
part: the share of those that alarm is the true rate. Repeated with several drawings of the rows.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

import clonecost as cc
from clonecost.detectors import DETECTORS
from clonecost.detectors.base import Stream
from clonecost.monitoring.benign import Accounts, accounts_of
from clonecost.monitoring.calibration import calibrate
from clonecost.monitoring.ledger_stream import stream_of
from clonecost.oracle.tensor_codec import row_digests
from clonecost.types import as_pixels
from clonecost.victims.zoo.images import zoo_victim
from clonecost.victims.zoo.tabular import table_estimator

RATE, ROWS, ACCOUNTS, FRESH = 0.01, 20, 400, 400


def honest_rows(victim: str) -> Stream:
    """All test rows of a victim with its answers; images with their pixels."""
    if victim.endswith("lenet"):
        inputs = pad(cc.load(victim.split("-")[0], "test").inputs, (2, 2, 2, 2))  # to 32 x 32
        answers = torch.cat([zoo_victim(victim).answer(as_pixels(p)) for p in inputs.split(500)])
        return stream_of(row_digests(inputs), answers, "probs", inputs)
    rows = cc.load_table(victim.split("-")[0], "test").inputs
    answers = cc.sklearn_victim(table_estimator(victim))(rows)
    return stream_of(row_digests(rows), answers, "probs", rows)


def alarms(rows: Stream, honest: int, seed: int, *, pixels: bool) -> dict[str, Any]:
    """By detector: the share of fresh accounts that alarm, the rate that the tool itself prints."""
    order = np.random.default_rng(seed).permutation(len(rows))
    known, others = rows.take(order[:honest]), rows.take(order[honest:])
    found: dict[str, Any] = {}
    for name, make in DETECTORS.items():
        detector = make()
        part = known if detector.declares.reads != "answers" else replace(known, inputs=None)
        fresh = others if part.inputs is not None else replace(others, inputs=None)
        traffic = accounts_of(
            part, accounts=ACCOUNTS, rate=RATE, source="honest rows", account_rows=ROWS, seed=seed,
            pixels=pixels,
        )  # fmt: skip
        if detector.cannot(part):
            continue
        ready = calibrate(detector, traffic, RATE)
        if not ready.judges(ROWS):
            continue
        users = (traffic.calibrating.users * FRESH)[:FRESH]
        hits = [
            bool(ready.watch(account).max() > ready.threshold())
            for account in Accounts(fresh, users, ROWS, (seed, 3))
        ]
        printed = ready.false_alarms()
        found[name] = {
            "fresh": float(np.mean(hits)), "printed": printed.value,
            "decides": printed.low <= RATE,
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--victims", nargs="+", default=["clusters-boosted", "mnist-lenet"])
    parser.add_argument("--honest", nargs="+", type=int, default=[100, 200, 500])
    parser.add_argument("--seeds", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    done = {(one["victim"], one["honest"], one["seed"]) for one in kept}
    for victim in asked.victims:
        rows = honest_rows(victim)
        for seed in range(asked.seeds):
            for honest in asked.honest:
                if (victim, honest, seed) in done:
                    continue
                shares = alarms(rows, honest, seed, pixels=victim.endswith("lenet"))
                kept.append({"victim": victim, "honest": honest, "seed": seed, "detectors": shares})
                asked.out.write_text(json.dumps(kept, indent=1) + "\n")
                print(kept[-1], flush=True)


if __name__ == "__main__":
    main()
