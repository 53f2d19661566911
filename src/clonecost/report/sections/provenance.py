"""Where the numbers come from: code, machine and ledger of each run."""

import shlex
from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.report.model import Code, Details, Facts, Inline, Section, text
from clonecost.report.number_format import count, duration
from clonecost.result import Provenance

TITLE = "Provenance"
ENDED = {
    "finished": "the attack finished",
    "budget_exhausted": "the query budget was used up",
    "stopped": "stopped at a milestone by the panel's rule or its time limit",
}


def provenance(groups: Sequence[Group]) -> Section:
    runs = [run for group in groups for run in group.runs]
    introduction = text(
        "The ledger of a run records every query in a chain of digests. ",
        Code("clonecost verify RUN"),
        " recomputes the chain and compares its head with the head below. ",
        Code("clonecost replay RUN"),
        " trains another student on the recorded answers, without the victim.",
    )
    shown = [
        Details(run.place, (Facts(_facts(run)),), opened=index == 0)
        for index, run in enumerate(runs)
    ]
    return Section(TITLE, (introduction, *shown))


def _facts(run: Run) -> tuple[tuple[str, tuple[Inline, ...]], ...]:
    result, origin = run.result, run.result.provenance
    resumed = f"; resumed {count(origin.resumed, 'time')}" if origin.resumed else ""
    weights: tuple[Inline, ...] = ("not known",)
    if result.victim.weights:
        weights = ("sha256 ", Code(result.victim.weights))
    revision: tuple[Inline, ...] = (", revision ", Code(origin.revision)) if origin.revision else ()
    form = (("Victim's format", (result.victim.served,)),) if result.victim.served else ()
    head = Code(run.head or origin.ledger_head)
    return (
        ("Attack and seed", (f"{result.attack.name}, seed {origin.seed}{resumed}",)),
        (
            "End",
            (f"{origin.created}, after {duration(result.seconds)}; {ENDED[result.ended]}",),
        ),
        ("Queries", (_queries(run),)),
        ("Ledger", (f"{count(origin.ledger_rows, 'query')}, head ", head)),
        ("Victim's weights", weights),
        *form,
        ("Command", (Code(origin.command),)),
        ("Code", (f"clonecost {origin.version}", *revision)),
        ("Software", (f"Python {origin.python}, PyTorch {origin.torch}",)),
        (
            "Machine",
            (f"{origin.platform}; {origin.device}, {_threads(origin)}",),
        ),
        ("Verification", (Code(f"clonecost verify {shlex.quote(run.place)}"),)),
    )


def _threads(origin: Provenance) -> str:
    why = f" ({origin.threads_why})" if origin.threads_why else ""
    return count(origin.threads, "thread") + why


def _queries(run: Run) -> str:
    result = run.result
    spot = (
        f", {result.spot_check.rows:,} for the check that the victim did not change"
        if result.spot_check
        else ""
    )
    taken = (
        f" ({result.taken_over:,} more taken over from another run beside it, which paid for them)"
        if result.taken_over
        else ""
    )
    return (
        f"{result.spent:,} answered to the attack, {result.lost:,} lost; counted separately: "
        f"{result.evaluation:,} for the evaluation{taken}{spot}"
    )
