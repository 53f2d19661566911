"""A private head on a public sentence embedding, copied: queries and answer policies.

    OMP_NUM_THREADS=1 python -m experiments.embedding_head OUT.json

Victims: all-MiniLM-L6-v2 (d = 384) with a softmax head fitted on 1,200 training sentences of six
topics each. The attacker has the same public embedding and asks sentences of other libraries'
documentation. Agreement is on 600 test sentences.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import clonecost as cc
from clonecost.attacks.text_knockoff import TextKnockoff
from clonecost.data.text_rows import decode
from clonecost.data.texts import TextOptions, load_texts
from clonecost.defences.rounding import Rounding
from clonecost.text.sentence_embedding import sentence_encoder
from clonecost.victims.load_text import text_victim

TRAIN, TEST, BUDGET = 1_200, 600, 1_000
MILESTONES = (100, 200, 386, 462, 700)  # d + 1 = 385 unknowns a class, and 1.2 times as many
POLICIES: dict[str, tuple[str, list[Any]]] = {
    "float64": ("probs", []),
    "4 decimals": ("probs", [Rounding(decimals=4)]),
    "2 decimals": ("probs", [Rounding(decimals=2)]),
    "label": ("label", []),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("out", type=Path)
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    given = options.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    train = load_texts("docs-topics", "train")
    test = load_texts("docs-topics", "test")
    rng = np.random.default_rng(0)
    test = test.take(torch.from_numpy(rng.permutation(len(test))[:TEST]))
    pool = load_texts("docs-sentences", "train", TextOptions(longest=test.shape[0], cut=True))
    encoder = sentence_encoder()
    for seed in given.seeds:
        rows = np.random.default_rng(seed).permutation(len(train))[:TRAIN]
        embedded = encoder(decode(train.inputs[rows])).numpy()
        model = LogisticRegression(C=10.0, max_iter=1_000).fit(embedded, train.labels[rows].numpy())

        def answer(texts: list[str], head: Any = model) -> Any:
            return head.predict_proba(encoder(texts).numpy())

        for policy, (kind, defences) in POLICIES.items():
            began = time.monotonic()
            threat = cc.ThreatModel(
                input_shape=test.shape, num_classes=6, query_budget=BUDGET, text=True,
                answers=kind,  # type: ignore[arg-type]
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                result = cc.run_audit(cc.Audit(
                    victim=text_victim(answer, name="head"), threat=threat, seed=seed,
                    attack=TextKnockoff(student="embedding"), test=test, proxy=pool,
                    milestones=MILESTONES, defences=defences, out=folder,
                ))  # fmt: skip
            accuracy = result.victim.accuracy
            found.append({
                "answers": policy, "seed": seed, "majority": result.majority_agreement,
                "accuracy": accuracy.value if accuracy else None,
                "curve": [[one.queries, one.agreement.value, one.kl] for one in result.curve],
                "seconds": round(time.monotonic() - began, 1),
            })  # fmt: skip
            print(found[-1], flush=True)
            given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
