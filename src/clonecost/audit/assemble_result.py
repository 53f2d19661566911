"""The result of one audit in its published form."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

from torch import nn

from clonecost.audit import provenance
from clonecost.audit.attack_traits import (
    published_wiring,
    queries_per_iteration,
    required_generators,
    rows_per_unknown,
)
from clonecost.audit.definition import Audit, name_of, settings_of
from clonecost.audit.pool_record import overlap_with
from clonecost.countermeasures.base import is_bound, name_of_countermeasure
from clonecost.data.text_rows import characters
from clonecost.defences import declaration_of
from clonecost.evaluation.red_flags import Traits, flags
from clonecost.evaluation.scoring import Reference, per_class
from clonecost.networks.soft_vote import SoftVote
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.registry import snake_case
from clonecost.result import (
    AttackCard,
    Control,
    CounterCard,
    DefenceCard,
    EndpointCard,
    Price,
    Result,
    Score,
    SpotCheck,
    ThreatCard,
    Traffic,
    VictimCard,
)
from clonecost.types import narrower


class Outcome(NamedTuple):
    """How an attack ended."""

    clone: nn.Module  # the last one handed over
    curve: list[Score]
    ended: Literal["finished", "budget_exhausted", "stopped"]
    remark: str = ""  # the attack's own, if its clone is not what it promises


class History(NamedTuple):
    """The record of an audit's earlier sessions in its run folder."""

    horizon: int  # the first budget of the run
    resumed: int  # how many times it was resumed
    stops: tuple[int, ...]  # rows after which it was scored before
    releases: tuple[str, ...]  # of clonecost, in the order in which they ran it


def findings(
    audit: Audit, ledger: Ledger, reference: Reference, traffic: Traffic, outcome: Outcome,
    history: History, seconds: float, spot: SpotCheck | None = None,
    controls: Sequence[Control] = (),
) -> Result:  # fmt: skip
    """The result of one audit, without its search, which the caller adds."""
    used = {audit.generators[name].proxy for name in required_generators(audit.attack)}
    if audit.proxy is not None and audit.attack.declares.proxy != "none":
        used.add(audit.proxy.name)
    proxy = audit.proxy if audit.proxy is not None and audit.proxy.name in used else None
    # some endpoints show only with their first answers how little an answer gives
    kind, top_k = narrower((audit.threat.answers, audit.threat.top_k), audit.loaded.shows())
    facts = asdict(audit.threat) | {"answers": kind, "top_k": top_k}
    threat = ThreatCard.model_validate(json.loads(json.dumps(facts)))
    totals, asked = ledger.totals("attack"), ledger.totals("evaluation")
    named = list(audit.test.classes or audit.loaded.classes)
    several = audit.threat.multi_label  # then the victim's classes are its labels
    number = audit.threat.num_classes // 2 if several else audit.threat.num_classes
    classes = named or [str(k) for k in range(number)]
    settings = settings_of(audit.attack)
    defences = [
        DefenceCard(name=snake_case(name_of(d)), settings=settings_of(d)) for d in audit.defences
    ]
    paid = totals.paid
    # what the model gives is told as the first session found it: a resume sees other rows
    served = ", ".join(part for part in (audit.loaded.served, ledger.fact("gives")) if part)
    found = flags(
        threat=threat, attack=audit.attack_name, traits=_traits(audit), curve=outcome.curve,
        victim_accuracy=reference.victim_accuracy(),
        majority_accuracy=reference.majority_accuracy(),
        majority=reference.majority(), test_rows=len(reference.test), controls=controls,
        overlap=overlap_with(audit, proxy, ledger),
        traffic=traffic, lost=totals.lost, refused=totals.refused + asked.refused,
        refusal=ledger.first_refusal("attack") or ledger.first_refusal("evaluation"),
        resumed=history.resumed, spot=spot,
        releases=history.releases, remark=outcome.remark,
    )  # fmt: skip
    return Result(
        victim=VictimCard(
            name=audit.loaded.name, accuracy=reference.victim_accuracy(),
            majority_accuracy=reference.majority_accuracy(),
            test_set=audit.test.name, test_rows=len(reference.test), classes=classes,
            weights=audit.loaded.weights, served=served,
        ),
        endpoint=_endpoint(audit),
        threat=threat,
        attack=AttackCard(
            name=audit.attack_name, settings=settings, student=audit.student_name,
            proxy=", ".join(sorted(used)) or None, counter=_counter(audit),
            queries_per_iteration=queries_per_iteration(audit.attack),
        ),
        defences=defences,
        curve=outcome.curve,
        per_class=per_class(outcome.clone, reference),
        spent=outcome.curve[-1].queries,
        lost=totals.lost,
        refused=totals.refused,
        evaluation=asked.paid,
        evaluation_characters=characters(audit.test.inputs) if audit.threat.text else None,
        taken_over=asked.taken,
        ended=outcome.ended,
        majority_agreement=reference.majority(),
        price=Price(
            usd_per_1000=audit.price,
            usd_per_1000_characters=audit.price_characters,
            usd=_usd(audit, paid, traffic.characters or 0),
        ),
        traffic=traffic,
        spot_check=spot,
        controls=list(controls),
        flags=found,
        seconds=seconds,
        provenance=provenance.collect(
            command=audit.origin.command, seed=audit.seed, device=str(audit.options.device),
            threads_why=ledger.fact("threads_why") or "",
            ledger_head=ledger.head,
            ledger_rows=paid + asked.paid + (spot.rows if spot else 0),
            resumed=history.resumed,
        ),
    )  # fmt: skip


def _usd(audit: Audit, rows: int, characters: int) -> float | None:
    """The price of paid rows and characters; None without a price."""
    if audit.price is None and audit.price_characters is None:
        return None
    return (rows * (audit.price or 0.0) + characters * (audit.price_characters or 0.0)) / 1000


def _traits(audit: Audit) -> Traits:
    return Traits(
        finite_differences=audit.attack.declares.finite_differences,
        rows_per_unknown=rows_per_unknown(audit.attack),
        published_wiring=published_wiring(audit.attack),
        coarse_defence=any(declaration_of(defence).coarse for defence in audit.defences),
        random_answers=audit.steadiness.random,
        batch_answers=audit.steadiness.batch,
    )


def _counter(audit: Audit) -> CounterCard | None:
    counter = audit.counter
    if counter is None:
        return None
    return CounterCard(
        name=name_of_countermeasure(counter), settings=settings_of(counter),
        repeats=counter.repeats, bound=is_bound(counter),
    )  # fmt: skip


def _endpoint(audit: Audit) -> EndpointCard | None:
    if audit.loaded.endpoint is None:
        return None
    return audit.loaded.endpoint().model_copy(update={"lost_limit": audit.options.max_lost})


def recorded_files(run: Path, ledger: Ledger, result: Result) -> dict[str, str]:
    """The run's files as its ledger records them when the run ends (see `Record.files`).

    All but the result are in the folder already; the result is taken as it will be written. The
    ledgers of earlier transfers and honest rows stay recorded: their rows were paid for this run.
    """
    before = ledger.files or {}
    names = [name for name in (*run_folder.REPORTED, run_folder.INPUTS) if (run / name).is_file()]
    return {
        **{name: digest for name, digest in before.items() if name.startswith(run_folder.LEDGERS)},
        **{name: run_folder.digest_of_file(run / name) for name in names},
        run_folder.RESULT: run_folder.digest_of(run_folder.as_text(result)),
    }


def about_clone(audit: Audit, clone: nn.Module) -> dict[str, str]:
    """The metadata with which the network of the saved weights can be built again."""
    vote = {}
    if isinstance(clone, SoftVote):  # members.0.*, members.1.*: each a `network`
        vote = {"vote": "mean of softmax", "members": str(len(clone.members))}
    if audit.threat.multi_label:  # network.*: one with a logit a label
        vote = {"per_label": "logsigmoid(z), logsigmoid(-z)"}
    return vote | {
        "network": audit.student_name,
        "input_shape": json.dumps(audit.threat.input_shape),
        "num_classes": str(audit.threat.num_classes),
    }
