"""One audit: a victim, its defences, one attack, one budget -> one run folder."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from clonecost import provenance, run_folder
from clonecost.attacks.base import Attack, AttackerKit
from clonecost.checks import flags
from clonecost.controls import run_controls
from clonecost.data import overlap
from clonecost.defences import defend
from clonecost.errors import AnswersError, BudgetError, SpecError
from clonecost.evaluate import Reference, per_class, score
from clonecost.ledger import Ledger
from clonecost.networks import build, build_generator
from clonecost.oracle import Oracle
from clonecost.result import (
    AttackCard,
    DefenceCard,
    Price,
    Result,
    Score,
    ThreatCard,
    VictimCard,
)
from clonecost.traffic import TrafficLog
from clonecost.types import AnswerKind, Defence, LabelledInputs, ThreatModel, Victim
from clonecost.victims import file_digest, torch_victim

Keep = Literal["auto", "all", "none"]
KEEP_UNDER = 256 * 1024**2  # bytes: "auto" keeps the inputs when all of them surely fit into this
RANK: dict[AnswerKind, int] = {"label": 0, "top_k": 1, "probs": 2}


@dataclass(frozen=True)
class Watcher:
    """Who is told how an audit goes; nothing that it does can change the audit."""

    spent: Callable[[int, int], None] = lambda spent, budget: None
    step: Callable[[str, int, int], None] = lambda what, done, total: None
    scored: Callable[[Score], None] = lambda score: None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything that one audit is composed of.

    Attributes:
        victim: (n, *input_shape) pixels in [0, 1] -> (n, K) probabilities; a module that gives
            logits is soft-maxed.
        attack_name: the class's name in small letters when it is left out.
        test: rows with true labels, for scoring only; fitted to the threat's input shape.
        student: name in `clonecost.networks`, or a function that makes an untrained network.
        price: USD per 1,000 rows.
        milestones: the clone is scored after these many rows, and at the end.
        keep: whether sent inputs are kept: "auto" keeps them if the first budget needs under 256 MiB
            (rows of the proxy take 4 bytes each).
        weights: sha256 of the victim's weights or file.
        true_labels: the victim's own training data, for the control of that name only.
        command: what was typed, for the record.
        spec: the audit as TOML, for `clonecost resume`; an audit made in Python has none.
    """

    victim: Victim | nn.Module
    threat: ThreatModel
    attack: Attack
    test: LabelledInputs
    out: Path
    victim_name: str = "victim"
    attack_name: str = ""
    student: str | Callable[[], nn.Module] = "lenet"
    proxy: LabelledInputs | None = None
    defences: Sequence[Defence] = ()
    price: float | None = None
    milestones: Sequence[int] = ()
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    keep: Keep = "auto"
    controls: bool = False
    weights: str | None = None
    true_labels: LabelledInputs | None = None
    command: str = ""
    spec: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.victim, nn.Module):
            if self.weights is None:
                object.__setattr__(self, "weights", _weights(self.victim))
            module = self.victim.to(self.device)
            object.__setattr__(self, "victim", torch_victim(module, device=self.device))
        object.__setattr__(
            self, "attack_name", self.attack_name or type(self.attack).__name__.lower()
        )
        object.__setattr__(self, "out", Path(self.out))

    @property
    def student_name(self) -> str:
        return self.student if isinstance(self.student, str) else _name(self.student)

    def new_student(self) -> nn.Module:
        if not isinstance(self.student, str):
            return self.student()
        return build(self.student, self.threat.input_shape, self.threat.num_classes)

    def kept_bytes(self) -> int:
        """What keeping every input of the whole budget would take at most."""
        from_pool = getattr(self.attack, "uses_proxy", False)
        return self.threat.query_budget * (4 if from_pool else 4 * prod(self.threat.input_shape))

    def identity(self) -> str:
        """What makes this audit itself and no other: all but the budget, which may grow."""
        threat = {k: v for k, v in asdict(self.threat).items() if k != "query_budget"}
        facts = {
            "victim": [self.victim_name, self.weights],
            "threat": threat,
            "attack": [self.attack_name, _settings(self.attack)],
            "defences": [[_name(d), _settings(d)] for d in self.defences],
            "student": self.student_name,
            "proxy": _fingerprint(self.proxy),
            "test": _fingerprint(self.test),
            "seed": self.seed,
            "device": self.device.type,
        }
        return json.dumps(facts, sort_keys=True, default=list)


def check(audit: Audit) -> None:
    """Refuse what cannot work, before anything is sent.

    Raises:
        AnswersError: the attack needs richer answers.
        SpecError: shapes, classes, or settings contradict each other.
    """
    threat, attack = audit.threat, audit.attack
    if RANK[attack.needs] > RANK[threat.answers]:
        raise AnswersError(
            f"{audit.attack_name} needs answers of kind {attack.needs!r}, this threat model gives "
            f"{threat.answers!r}: choose another attack (`clonecost list attacks`) or --answers"
        )
    if threat.query_budget < 1:
        raise SpecError(f"the budget is {threat.query_budget}: at least one query is needed")
    if threat.answers == "top_k" and not 1 <= (threat.top_k or 0) < threat.num_classes:
        raise SpecError(
            f"top_k:{threat.top_k} of {threat.num_classes} classes: "
            f"choose from 1 to {threat.num_classes - 1}"
        )
    if getattr(attack, "uses_proxy", False) and not audit.proxy:
        raise SpecError(f"{audit.attack_name} asks about proxy data: name some with --proxy")
    for what, data in (("test set", audit.test), ("proxy", audit.proxy)):
        if data is not None and data.shape != threat.input_shape:
            raise SpecError(
                f"the {what} {data.name} has rows of shape {data.shape}, the victim takes "
                f"{threat.input_shape}: load it with shape={threat.input_shape}"
            )
    if len(audit.test) == 0:
        raise SpecError("the test set is empty: agreement needs rows to be measured on")
    if int(audit.test.labels.min()) < 0:
        raise SpecError(f"the test set {audit.test.name} has no labels: agreement needs them")
    top = int(audit.test.labels.max())
    if top >= threat.num_classes:
        raise SpecError(
            f"the test set has labels up to {top}, the victim {threat.num_classes} classes: "
            "is this the test set of that victim?"
        )
    if isinstance(audit.student, str):
        with torch.device("meta"):  # takes no time and draws no random numbers
            audit.new_student()
    least = getattr(attack, "queries_per_iteration", 1)
    if threat.query_budget < least:
        raise SpecError(
            f"one iteration of {audit.attack_name} costs {least:,} queries, the budget is "
            f"{threat.query_budget:,}: raise --budget to at least that"
        )


def run_audit(audit: Audit, watcher: Watcher | None = None) -> Result:
    """Attack the victim under the threat model; score the clone at each milestone and at the end.

    Called again on the same folder it resumes: answers in the ledger are replayed, and only what
    is new is asked. A larger budget than before is fine; schedules keep the first one's layout.

    Raises:
        CloneCostError: with one sentence; whatever was paid for stays in the run folder.
    """
    watcher = watcher or Watcher()
    check(audit)
    run_folder.make(audit.out)
    began = time.monotonic()
    threat = audit.threat
    ledger = Ledger(
        audit.out / run_folder.LEDGER, audit=audit.identity(),
        input_shape=threat.input_shape, num_classes=threat.num_classes,
    )  # fmt: skip
    try:
        horizon, resumed, earlier = _continue(ledger, audit)
        (audit.out / run_folder.RESULT).unlink(missing_ok=True)  # of a smaller budget
        if audit.spec:
            run_folder.write(audit.out / run_folder.SPEC, audit.spec)
        with _deterministic(audit.seed, int(ledger.fact("threads") or 1)):
            return _run(audit, watcher, ledger, horizon, resumed, earlier, began)
    finally:
        ledger.close()


def _run(
    audit: Audit, watcher: Watcher, ledger: Ledger, horizon: int, resumed: int,
    earlier: tuple[int, ...], began: float,
) -> Result:  # fmt: skip
    threat = audit.threat

    def verdicts(position: int, inputs: Tensor, answers: Tensor) -> None:
        asking = "asking the victim about the test set"
        watcher.step(asking, position + len(inputs), len(audit.test))

    purse = ThreatModel(
        input_shape=threat.input_shape, num_classes=threat.num_classes,
        query_budget=len(audit.test),
    )  # fmt: skip
    victim = cast(Victim, audit.victim)
    evaluation = Oracle(victim, purse, ledger, purse="evaluation", observe=verdicts)
    reference = Reference.buy(evaluation, audit.test, audit.device)

    traffic = TrafficLog(threat.query_budget, threat.num_classes)

    def observe(position: int, inputs: Tensor, answers: Tensor) -> None:
        traffic(position, inputs, answers)
        watcher.spent(position + len(inputs), threat.query_budget)

    keep = ledger.fact("keep") == "all"
    oracle = Oracle(
        defend(victim, *audit.defences), threat, ledger,
        keep=keep, observe=observe,
    )  # fmt: skip
    stops = {*audit.milestones, *earlier}  # the curve keeps the points of smaller budgets
    ledger.note(stops=json.dumps(sorted(stops)))
    milestones = tuple(sorted(m for m in stops if 0 < m < threat.query_budget))
    kit = AttackerKit(
        student=audit.new_student,
        generator=lambda latent, *, width: build_generator(latent, threat.input_shape, width=width),
        proxy=audit.proxy,
        rng=torch.Generator(audit.device).manual_seed(audit.seed),
        device=audit.device,
        horizon=horizon,
        milestones=milestones,
        progress=watcher.step,
    )
    clone, curve, ended = _attack(audit, oracle, kit, reference, watcher)
    seconds = float(ledger.fact("seconds") or 0) + time.monotonic() - began
    result = _result(
        audit, ledger, oracle, reference, traffic, clone, curve, ended, resumed, seconds,
    )  # fmt: skip
    if audit.controls:
        pool = audit.proxy.inputs if audit.proxy else None
        branch = kit.branch(-1)
        found = run_controls(
            new_student=branch.new_student,
            bought=ledger.bought(pool) if keep else None,
            true_labels=audit.true_labels, reference=reference, rng=branch.rng,
            progress=watcher.step,
        )  # fmt: skip
        result = result.model_copy(update={"controls": found})
    run_folder.write_network(audit.out / run_folder.CLONE, clone, _about(audit))
    if samples := traffic.samples():
        run_folder.write_tensors(audit.out / run_folder.SAMPLES, samples, {})
    ledger.note(
        seconds=seconds, stops=json.dumps(sorted({*stops, oracle.spent})),
        files=json.dumps(_digests(audit.out, result)),
    )  # fmt: skip
    run_folder.write_result(audit.out, result)  # last: a folder with a result is a finished run
    return result


def _attack(
    audit: Audit, oracle: Oracle, kit: AttackerKit, reference: Reference, watcher: Watcher
) -> tuple[nn.Module, list[Score], Literal["finished", "budget_exhausted"]]:
    """Let the attack run and score the clones that are due."""
    curve: list[Score] = []
    due = list(kit.milestones)
    clone: nn.Module | None = None
    ended: Literal["finished", "budget_exhausted"] = "finished"

    def look(clone: nn.Module) -> None:
        curve.append(score(clone, reference, queries=oracle.spent))
        watcher.scored(curve[-1])

    try:
        for clone in audit.attack.run(oracle, kit):
            if due and oracle.spent >= due[0]:
                look(clone)
                due = [m for m in due if m > oracle.spent]
    except BudgetError:
        ended = "budget_exhausted"
    if clone is None:
        raise SpecError(
            f"{audit.attack_name} handed over no clone within {oracle.spent:,} queries: "
            "raise --budget"
        )
    if not curve or curve[-1].queries < oracle.spent:
        look(clone)
    return clone, curve, ended


def _result(
    audit: Audit, ledger: Ledger, oracle: Oracle, reference: Reference, traffic: TrafficLog,
    clone: nn.Module, curve: list[Score], ended: Literal["finished", "budget_exhausted"],
    resumed: int, seconds: float,
) -> Result:  # fmt: skip
    proxy = audit.proxy if getattr(audit.attack, "uses_proxy", False) else None
    threat = ThreatCard(**{**asdict(audit.threat), "input_shape": list(audit.threat.input_shape)})
    totals, asked = ledger.totals("attack"), ledger.totals("evaluation")
    classes = list(audit.test.classes) or [str(k) for k in range(audit.threat.num_classes)]
    settings = _settings(audit.attack)
    defences = [DefenceCard(name=_name(d).lower(), settings=_settings(d)) for d in audit.defences]
    paid = totals.settled + totals.lost
    found = flags(
        threat=threat, attack=audit.attack_name, settings=settings,
        defences=[d.name for d in defences], curve=curve,
        victim_accuracy=reference.victim_accuracy(), majority=reference.majority(),
        test_rows=len(audit.test),
        overlap=overlap(proxy, audit.test) if proxy else 0,
        traffic=traffic.summary(), lost=totals.lost, resumed=resumed,
    )  # fmt: skip
    return Result(
        victim=VictimCard(
            name=audit.victim_name, accuracy=reference.victim_accuracy(),
            test_set=audit.test.name, test_rows=len(audit.test), classes=classes,
            weights=audit.weights,
        ),
        threat=threat,
        attack=AttackCard(
            name=audit.attack_name, settings=settings, student=audit.student_name,
            proxy=proxy.name if proxy else None,
        ),
        defences=defences,
        curve=curve,
        per_class=per_class(clone, reference),
        spent=oracle.spent,
        lost=totals.lost,
        evaluation=asked.settled + asked.lost,
        ended=ended,
        majority_agreement=reference.majority(),
        price=Price(
            usd_per_1000=audit.price,
            usd=None if audit.price is None else paid * audit.price / 1000,
        ),
        traffic=traffic.summary(),
        controls=[],
        flags=found,
        seconds=seconds,
        provenance=provenance.collect(
            command=audit.command, seed=audit.seed, device=str(audit.device),
            ledger_head=ledger.head, ledger_rows=paid + asked.settled + asked.lost,
            resumed=resumed,
        ),
    )  # fmt: skip


def _continue(ledger: Ledger, audit: Audit) -> tuple[int, int, tuple[int, ...]]:
    """(budget the run began with, times it was resumed, rows at which it was scored before)."""
    budget, bought = audit.threat.query_budget, ledger.totals("attack").settled
    if budget < bought:
        raise SpecError(
            f"this run has bought {bought:,} rows already, the budget is {budget:,}: "
            "it can only grow"
        )
    if ledger.fact("horizon") is None:
        fits = audit.kept_bytes() <= KEEP_UNDER
        keep = ("all" if fits else "none") if audit.keep == "auto" else audit.keep
        ledger.note(horizon=budget, resumed=0, threads=torch.get_num_threads(), keep=keep)
        return budget, 0, ()
    resumed = int(ledger.fact("resumed") or 0) + 1
    ledger.note(resumed=resumed)
    stops: list[int] = json.loads(ledger.fact("stops") or "[]")
    return int(ledger.fact("horizon") or budget), resumed, tuple(stops)


@contextmanager
def _deterministic(seed: int, threads: int) -> Iterator[None]:
    """The same questions again after a crash; the caller's own settings are restored.

    The number of threads is part of it: sums of floats depend on how they are split.
    """
    cudnn = torch.backends.cudnn
    before, had = (cudnn.deterministic, cudnn.benchmark), torch.get_num_threads()
    cudnn.deterministic, cudnn.benchmark = True, False
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
        torch.set_num_threads(had)


def _fingerprint(data: LabelledInputs | None) -> list[str | int] | None:
    if data is None:
        return None
    digest = hashlib.blake2b(data.inputs.cpu().contiguous().numpy().data, digest_size=16)
    return [data.name, len(data), digest.hexdigest()]


def _weights(module: nn.Module) -> str:
    """sha256 over names and values of everything that the module would save."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        # as bytes: NumPy has no bfloat16
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _name(part: object) -> str:
    """A function's own name, else that of the class."""
    return getattr(part, "__name__", type(part).__name__)


def _settings(part: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON has them; none of any other callable."""
    found = asdict(cast(Any, part)) if is_dataclass(part) else {}
    return json.loads(json.dumps(found, default=str))


def _digests(run: Path, result: Result) -> dict[str, str]:
    """sha256 of the clone as written and of the result as it will be, for `clonecost verify`."""
    text = run_folder.as_text(result).encode()
    return {
        run_folder.CLONE: file_digest(run / run_folder.CLONE),
        run_folder.RESULT: hashlib.sha256(text).hexdigest(),
    }


def _about(audit: Audit) -> dict[str, str]:
    return {
        "network": audit.student_name,
        "input_shape": json.dumps(audit.threat.input_shape),
        "num_classes": str(audit.threat.num_classes),
    }
