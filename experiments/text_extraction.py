"""What clones of the zoo's classifiers of texts cost, and how fast texts go through the oracle.

    OMP_NUM_THREADS=1 python -m experiments.text_extraction OUT.json [--victim topics-tfidf ...]

Each victim with its test sentences; `text_knockoff` with three seeds, `tfidf_exact`, which draws
nothing, once for each answer policy. No row of a test set is shown to an attack. `--attack` runs
only some of them; what is in the file already is kept.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from clonecost.attacks import Attack
from clonecost.attacks.text_knockoff import TextKnockoff
from clonecost.attacks.tfidf_exact import TfidfExact
from clonecost.audit import Audit, run_audit
from clonecost.data.text_rows import decode
from clonecost.data.texts import TextOptions, load_texts
from clonecost.defences.rounding import Rounding
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import Oracle
from clonecost.types import Defence, LabelledInputs, ThreatModel
from clonecost.victims import LoadedVictim
from clonecost.victims.zoo.catalogue import TEXT_VICTIMS
from clonecost.victims.zoo.texts import text_pipeline, zoo_text_victim

MILESTONES = (1_000, 2_000, 5_000, 10_000, 20_000)
KNOCKOFF, EXACT = 10_000, 40_000  # query budgets


def main() -> None:
    """Write every curve to a JSON file, and print it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("out", type=Path)
    options.add_argument("--victim", nargs="*", default=list(TEXT_VICTIMS))
    options.add_argument("--attack", nargs="*", help="names as they are printed; default: all")
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    given = options.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    if given.out.exists():
        found = json.loads(given.out.read_text(encoding="utf-8"))
    known = {(one["victim"], one["attack"], one["seed"]) for one in found if "attack" in one}
    for name in given.victim:
        victim, test = zoo_text_victim(name)
        pool = load_texts("docs-sentences", "train",
                          TextOptions(longest=test.shape[0], cut=True))  # fmt: skip
        if not given.attack:
            found.append({"victim": name, "rows_a_second": speed(name, victim)})
            print(found[-1], flush=True)
        attacks: list[tuple[str, Attack, int, Sequence[Defence], int]] = [
            ("tfidf_exact", TfidfExact(), EXACT, [], 0),
            *((f"tfidf_exact, {d} decimals", TfidfExact(), EXACT, [Rounding(decimals=d)], 0)
              for d in (4, 2)),
            *(("text_knockoff", TextKnockoff(), KNOCKOFF, [], s) for s in given.seeds),
            *(("text_knockoff:salad", TextKnockoff(rows="salad"), KNOCKOFF, [], s)
              for s in given.seeds),
        ]  # fmt: skip
        for said, attack, budget, defences, seed in attacks:
            if (given.attack and said not in given.attack) or (name, said, seed) in known:
                continue
            found.append(audited(said, attack, budget, defences, seed, victim, test, pool))
            print(found[-1], flush=True)
            given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def audited(
    said: str, attack: Attack, budget: int, defences: Sequence[Defence], seed: int,
    victim: LoadedVictim, test: LabelledInputs, pool: LabelledInputs,
) -> dict[str, Any]:  # fmt: skip
    """The curve of one run."""
    began = time.monotonic()
    threat = ThreatModel(
        input_shape=test.shape, num_classes=len(victim.classes), query_budget=budget, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        result = run_audit(Audit(
            victim=victim, threat=threat, attack=attack, test=test, proxy=pool, out=folder,
            milestones=MILESTONES, seed=seed, defences=defences,
        ))  # fmt: skip
    return {
        "victim": victim.name, "attack": said, "seed": seed, "ended": result.ended,
        "spent": result.spent, "characters": result.traffic.characters,
        "majority": result.majority_agreement,
        "accuracy": result.victim.accuracy.value if result.victim.accuracy else None,
        "curve": [[one.queries, one.agreement.value, one.agreement.low, one.agreement.high, one.kl]
                  for one in result.curve],
        "flags": [flag.code for flag in result.flags],
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def speed(name: str, victim: LoadedVictim) -> dict[str, float]:
    """Words alone a second: through the oracle with its ledger, and through the bare pipeline."""
    words = load_texts("docs-words", "train", TextOptions(longest=32, cut=True))
    rows, texts = words.rows(slice(0, 16_384)), decode(words.inputs[:16_384])
    pipeline, parts = text_pipeline(name), range(0, len(rows), 1_024)
    began = time.perf_counter()
    for at in parts:
        pipeline.predict_proba(texts[at : at + 1_024])
    bare = len(rows) / (time.perf_counter() - began)
    threat = ThreatModel(
        input_shape=(32,), num_classes=len(victim.classes), query_budget=len(rows), text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite", audit="speed", input_shape=(32,),
                        num_classes=threat.num_classes)  # fmt: skip
        oracle = Oracle(victim.answer, threat, ledger, keep=True)
        began = time.perf_counter()
        for at in parts:
            oracle(rows[at : at + 1_024])
        through = len(rows) / (time.perf_counter() - began)
        ledger.close()
    return {"oracle": round(through), "bare": round(bare)}


if __name__ == "__main__":
    main()
