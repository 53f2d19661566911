"""Run one audit: query the victim, score the clone at milestones, write the run folder."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from clonecost.attacks.base import AttackerKit, Clone
from clonecost.audit.after_attack import controls_of, retrained
from clonecost.audit.assemble_result import History, Outcome, about_clone, findings, recorded_files
from clonecost.audit.checks import check, skipping
from clonecost.audit.curve import Curve, follow
from clonecost.audit.definition import Audit, kept_bytes, of_evaluation
from clonecost.audit.event_log import event_log
from clonecost.audit.halt import Halt, KeptHalt, never
from clonecost.audit.pool_record import record_pool
from clonecost.audit.provenance import release
from clonecost.audit.query_stats import TrafficLog
from clonecost.audit.resumption import must_hold_its_rows, must_recall, recall, take_up
from clonecost.audit.shown import Remark, Shown
from clonecost.audit.spot_check import findings_of, spot_check
from clonecost.audit.taken_over import taken_over
from clonecost.audit.threads import threads_of, words_on_threads
from clonecost.audit.watcher import Watcher
from clonecost.countermeasures import View
from clonecost.countermeasures.base import own_rows
from clonecost.defences import defend
from clonecost.errors import LedgerError, RunWorkflow, SetKey, SpecError, VictimError
from clonecost.evaluation.row_scores import row_scores
from clonecost.evaluation.scoring import Reference
from clonecost.networks import build_generator
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.oracle import Oracle, OraclePosition
from clonecost.persistence import run_folder
from clonecost.persistence.atomic_write import remove_partial
from clonecost.persistence.snapshots import GlobalRandomness, Snapshots
from clonecost.result import Result
from clonecost.types import Purpose
from clonecost.version import __version__

_OF_A_CLONE = (
    run_folder.RESULT, run_folder.TRANSFER, run_folder.DETECTION, run_folder.SAMPLES,
    run_folder.SEARCH, run_folder.ROWS, run_folder.POOL,
)  # fmt: skip


def run_audit(
    audit: Audit, watcher: Watcher | None = None, *, halt: Halt = never,
    evaluation_of: Path | None = None,
) -> Result:  # fmt: skip
    """Attack the victim under the threat model; score the clone at each milestone and at the end.

    A second call on the same folder resumes the run: it starts from the newest snapshot, answers
    that the ledger recorded after it are replayed, and only new rows are sent. The budget may be
    larger than before; schedules keep the layout of the first budget.

    Args:
        halt: may end the attack at a milestone. That it did is a fact of the ledger: a resumed run
            with the same budget ends there again, also without `halt`.
        evaluation_of: the folder of another run on the same victim and test set, where
            `oracle.payer` finds it, which has paid for the victim's answers to the test rows. A new
            run takes them over and sends none; its ledger says so.

    Raises:
        CloneCostError: the audit cannot be run; every paid answer stays in the run folder.

    Example:
        >>> result = run_audit(audit)  # doctest: +SKIP
        >>> result.curve[-1].agreement.value  # doctest: +SKIP
        0.95
    """
    watcher = watcher or Watcher()
    check(audit)
    _ask_twice(audit, watcher)
    run_folder.make(audit.folder)
    must_hold_its_rows(audit.folder)
    began = time.monotonic()
    try:
        ledger = _open_ledger(audit)
    except LedgerError:
        if lost := take_up(audit.folder, audit.identity()):  # raises if the folder is not free
            watcher.notice(lost)
        ledger = _open_ledger(audit)
    with closing(ledger), event_log(audit, watcher) as watcher:
        remedies = SetKey("out"), RunWorkflow("replay", audit.folder)
        if warning := must_recall(audit.defences, audit.threat, ledger, *remedies):
            watcher.notice(warning)
        history = _continue(ledger, audit)
        if len(history.releases) > 1:
            watcher.notice(
                f"The run began under {history.releases[0]} and goes on under "
                f"{history.releases[-1]}"
            )
        if words := words_on_threads(audit, ledger):
            watcher.notice(words)
        remove_partial(audit.folder)
        for name in _OF_A_CLONE:  # they belong to the clone of a smaller budget
            (audit.folder / name).unlink(missing_ok=True)
        if audit.origin.spec:
            run_folder.write(audit.folder / run_folder.SPEC, audit.origin.spec)
        with _deterministic(audit.seed, int(ledger.fact("threads") or 1)):
            return _run(audit, watcher, ledger, history, began, halt, evaluation_of)


def _ask_twice(audit: Audit, watcher: Watcher) -> None:
    """Refuse a victim whose answers depend on the batch; give notice of one that is random."""
    found = audit.steadiness
    if found.random:
        watcher.notice(
            f"The victim answers at random: a probability changes by up to {found.random:.2g} when "
            "the same rows are asked again"
        )


def _keep_form(audit: Audit, ledger: Ledger) -> None:
    """Record what the model returns, as its first answers show; a later session must find the same.

    Raises:
        VictimError: the answers in the ledger were read in another form than those of now.
    """
    form, before = audit.loaded.form(), ledger.fact("outputs")
    if form is None:
        return
    if before is None:
        ledger.note(outputs=form.outputs, gives=form.words)
    elif before != form.outputs:
        raise VictimError(
            f"The victim {audit.loaded.name} {form.words}, and in the first session of this audit "
            f"it {ledger.fact('gives')}: one of the two was read wrongly, or the model has changed",
            SetKey("outputs", before), SetKey("out"),
        )  # fmt: skip


def _run(
    audit: Audit, watcher: Watcher, ledger: Ledger, history: History, began: float, halt: Halt,
    evaluation_of: Path | None,
) -> Result:  # fmt: skip
    reference = _buy_reference(audit, watcher, ledger, evaluation_of)
    if history.resumed:
        _check_spots(audit, watcher, ledger, reference, ending=False)
    _keep_form(audit, ledger)
    traffic = TrafficLog(
        audit.threat.query_budget,
        audit.threat.num_classes,
        multi_label=audit.threat.multi_label,
        text=audit.threat.text,
    )
    oracle = _open_oracle(audit, watcher, ledger, traffic)
    stops = {*audit.milestones, *history.stops}  # the curve keeps the points of smaller budgets
    ledger.note(stops=json.dumps(sorted(stops)))
    milestones = sorted(stop for stop in stops if 0 < stop < audit.threat.query_budget)
    shown, remark, curve = Shown(), Remark(), Curve(reference, watcher.scored)
    kit = _kit(audit, watcher, own_rows(history.horizon, audit.repeats), shown, remark)
    view = audit.view(oracle, reference.answers)
    place = OraclePosition(oracle)
    parts = {
        "place": place, "traffic": traffic, "curve": curve, "shown": shown,
        "remark": remark, "view": view,
    }  # fmt: skip
    snapshots = _snapshots(audit, watcher, ledger, kit, milestones, parts)
    kit = replace(kit, loop=snapshots.loop)
    kept = KeptHalt(ledger, audit.threat.query_budget, halt)
    try:
        outcome = _attack(audit, oracle, view, kit, milestones, curve, snapshots, kept)
    finally:
        place.settle()
    outcome = outcome._replace(remark=remark.sentence)
    _check_spots(audit, watcher, ledger, reference, ending=True)
    _keep_form(audit, ledger)
    seconds = float(ledger.fact("seconds") or 0) + time.monotonic() - began
    ledger.note(seconds=seconds, stops=json.dumps(sorted({*stops, oracle.spent})))
    controls = controls_of(audit, ledger, kit, reference)
    again = retrained(audit, ledger, kit, reference, watcher.notice)
    result = findings(
        audit, ledger, reference, traffic.summary(), outcome, history, seconds,
        findings_of(ledger), controls,
    )  # fmt: skip
    result = result.model_copy(update={"search": shown.search, "retrained": again})

    about = about_clone(audit, outcome.clone)
    run_folder.write_network(audit.folder / run_folder.CLONE, outcome.clone, about)
    if not audit.threat.multi_label:  # a row has no one class that two runs could agree on
        rows = row_scores(outcome.clone, reference, audit.test)
        run_folder.write_tensors(audit.folder / run_folder.ROWS, rows, {})
    if audit.threat.features is None and (samples := traffic.samples()):
        run_folder.write_tensors(audit.folder / run_folder.SAMPLES, samples, {})
    if shown.pictures:
        run_folder.write_tensors(audit.folder / run_folder.SEARCH, dict(shown.pictures), {})
    record_pool(audit, ledger, watcher.notice)
    ledger.record_files(recorded_files(audit.folder, ledger, result))
    run_folder.write_result(audit.folder, result)  # last: a folder with a result is a finished run
    snapshots.forget()
    return result


def _open_ledger(audit: Audit) -> Ledger:
    return Ledger(
        audit.folder / run_folder.LEDGER,
        audit=audit.identity(),
        input_shape=audit.threat.input_shape,
        num_classes=audit.threat.num_classes,
    )


def _buy_reference(
    audit: Audit, watcher: Watcher, ledger: Ledger, evaluation_of: Path | None
) -> Reference:
    """The undefended victim's answers on the test set, paid in the evaluation account."""
    taken = taken_over(ledger, evaluation_of)

    def observe(position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
        watcher.step("querying the test set", position + len(inputs), threat.query_budget)

    uniform = audit.options.uniform if audit.threat.features is not None else 0
    threat = of_evaluation(audit.threat, len(audit.test) + uniform)
    oracle = Oracle(
        taken or audit.loaded.answer, threat, ledger, account="evaluation", observe=observe,
        rows_in_flight=audit.loaded.rows_in_flight, max_lost=audit.options.max_lost,
        skips_refused=True, notice=watcher.notice,
    )  # fmt: skip
    return Reference.buy(oracle, audit.test, audit.options.device, uniform=uniform)


def _check_spots(
    audit: Audit, watcher: Watcher, ledger: Ledger, reference: Reference, *, ending: bool
) -> None:
    """Send a few paid rows again; the result is reported, and the run continues in any case."""
    before = findings_of(ledger)
    if failed := spot_check(audit, ledger, reference, ending=ending):
        watcher.notice(failed)
    found = findings_of(ledger)
    if found and found.changed > (before.changed if before else 0):
        watcher.notice(
            f"The victim has changed: {found.changed} of {found.asked} rows that were sent again "
            f"have other answers, by up to {found.largest:.2g}"
        )


def _open_oracle(audit: Audit, watcher: Watcher, ledger: Ledger, traffic: TrafficLog) -> Oracle:
    """The oracle through which the attack queries the victim behind its defences."""

    def observe(position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
        traffic(position, inputs, answers, purpose)
        watcher.spent(position + len(inputs), audit.threat.query_budget)

    victim = defend(audit.loaded.answer, *audit.defences)
    recall(audit.defences, victim, ledger)
    keep = ledger.fact("keep") == "all"
    return Oracle(
        victim, audit.threat, ledger, keep=keep, observe=observe,
        rows_in_flight=audit.loaded.rows_in_flight, max_lost=audit.options.max_lost,
        observe_chunk=lambda rows: watcher.spent(rows, audit.threat.query_budget),
        skips_refused=audit.attack.declares.skips_refused, notice=watcher.notice,
        instead=lambda: skipping(audit.threat),
        ahead=audit.loaded.free_rows and audit.options.device.type == "cuda",
    )  # fmt: skip


def _kit(audit: Audit, watcher: Watcher, horizon: int, shown: Shown, remark: Remark) -> AttackerKit:
    shape = audit.threat.input_shape
    return AttackerKit(
        student=audit.new_student,
        generator=lambda latent_dim, *, width: build_generator(latent_dim, shape, width=width),
        generators=audit.fitted_generators(),
        proxy=audit.proxy,
        rng=torch.Generator(audit.options.device).manual_seed(audit.seed),
        device=audit.options.device,
        horizon=horizon,
        compile=audit.options.compile,
        progress=watcher.step,
        exhibit=shown,
        remark=remark,
        white_box=audit.open_network(),
    )


def _snapshots(
    audit: Audit, watcher: Watcher, ledger: Ledger, kit: AttackerKit, milestones: Sequence[int],
    parts: dict[str, Any],
) -> Snapshots:  # fmt: skip
    """The snapshots of this run; those of another budget or version of the code are not used."""
    facts = [
        audit.identity(), audit.threat.query_budget, kit.horizon, milestones,
        __version__, torch.__version__, torch.get_num_threads(),
    ]  # fmt: skip
    return Snapshots(
        folder=audit.folder / run_folder.SNAPSHOTS,
        identity=json.dumps(facts),
        shared={**parts, "rng": kit.rng, "torch": GlobalRandomness(audit.options.device)},
        mark=lambda: ledger.head,
        known=lambda mark: not ledger.torn and ledger.has(mark),  # torn: all rows are asked again
        every=audit.options.snapshot_every,
        notice=watcher.notice,
    )


def _attack(
    audit: Audit, oracle: Oracle, view: View | None, kit: AttackerKit, milestones: Sequence[int],
    curve: Curve, snapshots: Snapshots, halt: Halt,
) -> Outcome:  # fmt: skip
    """Run the attack, scored at the milestones and at its end."""

    def clones() -> Iterator[Clone]:
        # an attack uses what both have: a call, `threat`, `spent` and `remaining`
        for clone in audit.attack.run(cast(Oracle, view) if view else oracle, kit):
            snapshots.clones += 1
            yield clone

    clone, ended = follow(clones(), oracle, kit, milestones, curve, halt, audit.repeats)
    if clone is None:
        raise SpecError(
            f"{audit.attack_name} yielded no clone within its budget",
            SetKey("budget"), got=f"{oracle.spent:,} queries", want="more",
        )  # fmt: skip
    return Outcome(clone, curve.scores, ended)


def _continue(ledger: Ledger, audit: Audit) -> History:
    """Start a run, or resume one that was started before."""
    budget, bought = audit.threat.query_budget, ledger.totals("attack").settled
    if budget < bought:
        raise SpecError(
            "The budget of a run can only grow, and this run has paid for more rows",
            SetKey("budget", bought), got=budget, want=f"at least {bought}",
        )  # fmt: skip
    if ledger.fact("horizon") is None:
        kept = kept_bytes(
            audit.attack, audit.threat.input_shape, budget, audit.options.keeps, audit.alters_rows
        )
        keep = "all" if kept or audit.options.keeps == "all" else "none"
        threads = threads_of(audit)
        ledger.note(horizon=budget, resumed=0, threads=threads.number, threads_why=threads.why,
                    keep=keep, releases=json.dumps([release()]))  # fmt: skip
        return History(budget, 0, (), (release(),))
    resumed = int(ledger.fact("resumed") or 0) + 1
    releases: list[str] = json.loads(ledger.fact("releases") or "[]")
    if releases[-1:] != [release()]:
        releases.append(release())
    ledger.note(resumed=resumed, releases=json.dumps(releases))
    stops: list[int] = json.loads(ledger.fact("stops") or "[]")
    horizon = int(ledger.fact("horizon") or budget)
    return History(horizon, resumed, tuple(stops), tuple(releases))


@contextmanager
def _deterministic(seed: int, threads: int) -> Iterator[None]:
    """Make the attack send the same queries again after a crash; restore the caller's settings.

    The number of threads is set, too: sums of floats depend on how they are split.
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
