"""Is the victim still the one that was asked? A few rows that are paid for are asked again.

Half of them are test rows, half rows of the attack (where its inputs are kept and no defence of
ours answers). They are counted in an account of their own, "spot", when a run is resumed and when
it ends. What differs by more than `TOLERANCE` has changed: another model is served, answers are
drawn at random, or rows came back in another order than they were sent, which shows in no other
way.
"""

import json
from dataclasses import replace

import torch
from torch import Tensor

from clonecost.audit.definition import Audit
from clonecost.errors import CloneCostError
from clonecost.evaluation.scoring import Reference
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import Oracle, Place
from clonecost.result import SpotCheck
from clonecost.types import ThreatModel

ROWS = 20  # of a victim at the other end of a wire; a model in this process does not change
TOLERANCE = 1e-3  # of a probability: sums differ a little with the size of a batch
FACT = "spot_check"
NOTHING = SpotCheck(rows=0, asked=0, changed=0, largest=0.0)


def rows_to_check(audit: Audit) -> int:
    """How many rows each check asks."""
    if audit.options.spot_check is not None:
        return audit.options.spot_check
    return 0 if audit.loaded.endpoint is None else ROWS


def spot_check(audit: Audit, ledger: Ledger, reference: Reference) -> str | None:
    """Ask `rows_to_check` rows again and add to the ledger's findings; a sentence if it failed."""
    count = min(rows_to_check(audit), 2 * len(audit.test))
    if not count:
        return None
    rng = torch.Generator().manual_seed(audit.seed + ledger.totals("spot").settled)
    pool = audit.proxy.inputs.cpu() if audit.proxy else None
    taught = None
    if not audit.defences and ledger.fact("keep") == "all":
        taught = ledger.some_bought(count // 2, rng, pool)
    of_test = torch.randperm(len(audit.test), generator=rng)[: count - count // 2]
    before = findings_of(ledger) or NOTHING
    plain = replace(  # test rows are bought so
        audit.threat, answers="probs", top_k=None, input_precision="float32", incomplete=False
    )
    of_test = of_test.to(audit.options.device)
    try:
        apart = [_asked_again(
            audit, ledger, plain, reference.test.rows(of_test, audit.options.device),
            reference.answers[of_test],
        )]  # fmt: skip
        if taught is not None:
            apart.append(_asked_again(audit, ledger, audit.threat, *taught))
    except CloneCostError as error:
        return f"the spot check could not be made: {error}"
    gaps = torch.cat(apart)
    ledger.note(**{FACT: json.dumps({
        "rows": 0, "asked": before.asked + len(gaps),
        "changed": before.changed + int((gaps > TOLERANCE).sum()),
        "largest": max(before.largest, float(gaps.max())),
    })})  # fmt: skip
    return None


def findings_of(ledger: Ledger) -> SpotCheck | None:
    """What all checks of this run found; None when there was none."""
    fact, totals = ledger.fact(FACT), ledger.totals("spot")
    if fact is None and not totals.lost:
        return None
    found = SpotCheck.model_validate_json(fact) if fact else NOTHING
    return found.model_copy(update={"rows": totals.settled + totals.lost})


def _asked_again(
    audit: Audit, ledger: Ledger, threat: ThreatModel, inputs: Tensor, answers: Tensor
) -> Tensor:
    """(n,): the largest change of a probability in each row."""
    spent = ledger.totals("spot").settled
    threat = replace(threat, query_budget=spent + len(inputs))
    oracle = Oracle(
        audit.loaded.answer, threat, ledger, account="spot", portion=audit.loaded.rows_in_flight,
        max_lost=audit.options.max_lost,
    )  # fmt: skip
    Place(oracle).go_on_after(spent)  # never from the record: that is what is in question
    return (oracle(inputs.to(audit.options.device)).cpu() - answers.cpu()).abs().amax(1)
