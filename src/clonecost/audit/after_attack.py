"""What is trained after an attack has ended, on rows that it paid for: it sends no query."""

from collections.abc import Callable

from torch import nn

from clonecost.attacks.base import AttackerKit
from clonecost.audit.definition import Audit
from clonecost.data.part_rows import held
from clonecost.evaluation.controls import run_controls
from clonecost.evaluation.scoring import Reference, score
from clonecost.oracle.ledger import Ledger
from clonecost.result import Control, Score
from clonecost.training.recipes import shared_recipe, train

CONTROLS, RETRAINED = -1, -2  # branches of the kit


def controls_of(
    audit: Audit, ledger: Ledger, kit: AttackerKit, reference: Reference
) -> list[Control]:
    """The controls that the audit asks for, see `clonecost.evaluation.controls`."""
    if not audit.options.controls:
        return []
    pool = audit.proxy.inputs if audit.proxy else None
    branch = kit.branch(CONTROLS)
    return run_controls(
        new_student=branch.new_student,
        bought=ledger.bought_rows(pool) if _kept(ledger) else None,
        true_labels=audit.loaded.true_labels,
        reference=reference,
        rng=branch.rng,
        progress=kit.progress,
        loop=kit.loop,
    )


def retrained(
    audit: Audit, ledger: Ledger, kit: AttackerKit, reference: Reference,
    notice: Callable[[str], None],
) -> Score | None:  # fmt: skip
    """The score of a fresh student, trained by the shared recipe on every row that was bought.

    It is what `clonecost replay` trains with the audit's own student. No query is sent and no test
    row takes part. None: the audit does not ask for it, or the attack bought nothing.
    """
    if not audit.options.retrain or not ledger.totals("attack").settled:
        return None
    if not _kept(ledger):
        notice(
            "No fresh clone was trained on the bought rows: this run began without keeping its "
            "inputs"
        )
        return None
    branch = kit.branch(RETRAINED)
    inputs, answers = ledger.bought_rows(audit.proxy.inputs if audit.proxy else None)
    student: nn.Module = branch.new_student()
    train(
        student, held(inputs, kit.device), answers.to(kit.device),
        shared_recipe(student, audit.options.retrain_epochs), rng=branch.rng,
        progress=kit.progress, loop=kit.loop,
    )  # fmt: skip
    return score(student, reference, queries=len(inputs))


def _kept(ledger: Ledger) -> bool:
    return ledger.fact("keep") == "all" and ledger.totals("attack").settled > 0
