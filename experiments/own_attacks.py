"""Ex Nihilo with other settings, on victims that no table shows (`experiments.tuning_victims`).

    python -m experiments.own_attacks mnist --budget 3000 --seeds 0 1 2 [--answers label]
        [--set source=noise] [--label NAME] [--out FILE]

One line of JSON a run, on the screen and at the end of FILE: agreement on held-out training rows,
processor seconds of the search and of the last clone.
"""

import argparse
import json
import time
from ast import literal_eval
from pathlib import Path
from typing import Any, cast

import torch

from clonecost.attacks.base import AttackerKit, DeferredClone
from clonecost.attacks.ex_nihilo import ExNihilo
from clonecost.networks import build
from clonecost.oracle import Oracle
from clonecost.types import ThreatModel
from experiments.tuning_victims import CLASSES, SHAPES, STUDENTS, FreeOracle, tuning_victim


def setting(text: str) -> tuple[str, Any]:
    """'epochs=5' -> ('epochs', 5)."""
    key, _, value = text.partition("=")
    try:
        return key, literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("victim", choices=SHAPES)
    parser.add_argument("--budget", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", type=setting, nargs="*", default=[], dest="settings")
    parser.add_argument("--answers", choices=["probs", "label"], default="probs")
    parser.add_argument("--label", default="")
    parser.add_argument("--student")
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    victim, settings = tuning_victim(wanted.victim), dict(wanted.settings)
    shape, student = SHAPES[wanted.victim], wanted.student or STUDENTS[wanted.victim]
    for seed in wanted.seeds:
        threat = ThreatModel(
            input_shape=shape, num_classes=CLASSES, query_budget=wanted.budget,
            answers=wanted.answers,
        )  # fmt: skip
        oracle = FreeOracle(victim, threat)
        kit = AttackerKit(
            student=lambda: build(student, shape, CLASSES), generator=None,  # type: ignore[arg-type]
            rng=torch.Generator().manual_seed(seed), device=torch.device("cpu"),
            horizon=wanted.budget,
        )  # fmt: skip
        began = time.process_time()
        *_, last = ExNihilo(**settings).run(cast(Oracle, oracle), kit)
        searched = time.process_time()
        clone = cast(DeferredClone, last).make(oracle.spent, kit.branch(oracle.spent))
        row = {
            "label": wanted.label, "victim": wanted.victim, "student": student,
            "budget": wanted.budget,
            "answers": wanted.answers, "settings": settings, "seed": seed,
            "agreement": round(victim.agreement(clone), 4), "search_s": round(searched - began, 1),
            "clone_s": round(time.process_time() - searched, 1),
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        if wanted.out:
            with wanted.out.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
