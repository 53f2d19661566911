"""The spot check: a few paid rows are sent again, to detect that the victim has changed.

Half of them are test rows, half rows of the attack (if its inputs are kept and the audit has no
defence). They are counted in the account "spot", when a run resumes and, for an endpoint, when it
ends: a model in this process can be another one only after a pause. An answer
that differs by more than `TOLERANCE` has changed: another model is served, answers are drawn at
random, or rows came back in another order than they were sent, which no other check detects.
"""

import json
from dataclasses import replace

import torch
from torch import Tensor

from clonecost.audit.definition import Audit, of_evaluation
from clonecost.errors import CloneCostError
from clonecost.evaluation.scoring import Reference
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import Oracle, OraclePosition
from clonecost.result import SpotCheck
from clonecost.types import ThreatModel

ROWS = 20
TOLERANCE = 1e-3  # of a probability: sums differ a little with the size of a batch
FACT = "spot_check"
NOTHING = SpotCheck(rows=0, asked=0, changed=0, largest=0.0)


def rows_to_check(audit: Audit, *, ending: bool) -> int:
    """The number of rows of a check, when the run ends or else when it resumes."""
    if audit.threat.access == "white-box":  # reads the network itself, whose weights are compared
        return 0
    if audit.options.spot_check is not None:
        return audit.options.spot_check
    return 0 if ending and audit.loaded.endpoint is None else ROWS


def spot_check(audit: Audit, ledger: Ledger, reference: Reference, *, ending: bool) -> str | None:
    """Send `rows_to_check` rows again and add to the ledger's findings; a sentence on failure."""
    count = min(rows_to_check(audit, ending=ending), 2 * len(audit.test))
    if not count:
        return None
    rng = torch.Generator().manual_seed(audit.seed + ledger.totals("spot").settled)
    pool = audit.proxy.inputs if audit.proxy else None
    attack_rows = None
    if not audit.defences and ledger.fact("keep") == "all":
        attack_rows = ledger.sample_bought(count // 2, rng, pool)
    of_test = torch.randperm(len(reference.test), generator=rng)[: count - count // 2]
    before = findings_of(ledger) or NOTHING
    plain = of_evaluation(audit.threat, count)
    of_test = of_test.to(audit.options.device)
    changes: list[Tensor] = []
    failed = None
    try:
        changes.append(_sent_again(
            audit, ledger, plain, reference.test.rows(of_test, audit.options.device),
            reference.answers[of_test],
        ))  # fmt: skip
        if attack_rows is not None:
            changes.append(_sent_again(audit, ledger, audit.threat, *attack_rows))
    except CloneCostError as error:
        failed = f"The spot check failed: {error.fact}"
    if not changes:
        return failed
    gaps = torch.cat(changes)  # what was compared counts, also if the rest was not
    ledger.note(**{FACT: json.dumps({
        "rows": 0, "asked": before.asked + len(gaps),
        "changed": before.changed + int((gaps > TOLERANCE).sum()),
        "largest": max(before.largest, float(gaps.max())),
    })})  # fmt: skip
    return failed


def findings_of(ledger: Ledger) -> SpotCheck | None:
    """The findings of all checks of this run; None if there was no check."""
    fact, totals = ledger.fact(FACT), ledger.totals("spot")
    if fact is None and not totals.lost:
        return None
    found = SpotCheck.model_validate_json(fact) if fact else NOTHING
    return found.model_copy(update={"rows": totals.paid})


def _sent_again(
    audit: Audit, ledger: Ledger, threat: ThreatModel, inputs: Tensor, answers: Tensor
) -> Tensor:
    """(n,): the largest change of a probability in each row."""
    spent = ledger.totals("spot").settled
    threat = replace(threat, query_budget=spent + len(inputs))
    oracle = Oracle(
        audit.loaded.answer, threat, ledger, account="spot",
        rows_in_flight=audit.loaded.rows_in_flight, max_lost=audit.options.max_lost,
        skips_refused=True,  # a row that was answered before and is refused now has changed
    )  # fmt: skip
    OraclePosition(oracle).move_to(spent)  # never from the record, which is what is checked
    return (oracle(inputs.to(audit.options.device)).cpu() - answers.cpu()).abs().amax(1)
