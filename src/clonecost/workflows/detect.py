"""Would the victim's owner have noticed the attack of a run?"""

import time
from collections.abc import Container, Sequence
from contextlib import closing
from pathlib import Path

from clonecost.config import load_pool, load_test, make_defence, of_table, sends_proxy, takes_of
from clonecost.config.defaults import must_give_one_class
from clonecost.config.schema import Spec
from clonecost.detectors import DETECTORS
from clonecost.detectors.base import Detector, Stream
from clonecost.errors import Advice, ChooseFrom, LedgerError, RunError, SetKey, SpecError, suggest
from clonecost.monitoring.benign import accounts_of
from clonecost.monitoring.caps import DAYS, caps
from clonecost.monitoring.judging import judge
from clonecost.monitoring.ledger_stream import (
    attack_stream,
    distinct,
    honest_stream,
    in_memory,
    without_inputs,
)
from clonecost.monitoring.verdict import set_aside, verdict
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.paid_rows import PaidRows
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.result import Result, read_result
from clonecost.result.detection import Benign, Detection
from clonecost.types import PredictionApi, Progress, Rows, no_progress
from clonecost.workflows.benign_rows import ask_benign
from clonecost.workflows.run import spec_of

RATE = 0.01
ACCOUNTS = 400
BENIGN_ROWS = 5_000


def detect(
    run: Path, *, benign: str | Path | None = None, benign_rows: int = BENIGN_ROWS,
    detectors: Sequence[str] = (), rate: float = RATE,
    accounts: int = ACCOUNTS, users: Sequence[str] = (), account_rows: int | None = None,
    days: int = DAYS, seed: int = 0, progress: Progress = no_progress,
    consent: Container[str] = (),
) -> Detection:  # fmt: skip
    """Watch the recorded rows of a finished run with detectors; write `run/detection.json`.

    The detectors are calibrated on honest users, made from the victim's recorded answers to the
    test rows, as the audit's defences and output policy show them.

    Args:
        benign: another run, whose paid rows are honest traffic instead; or a data set, whose test
            rows are then sent to the victim and counted apart. None: nothing is sent.
        benign_rows: the most rows of a data set that are sent.
        detectors: names in `DETECTORS`; none: all.
        rate: false-alarm rate over the whole stream of an account, in (0, 1).
        accounts: benign accounts, of which one half calibrates and the other half checks.
        users: kinds of honest users, names in `monitoring.benign.USERS`; none: all.
        account_rows: rows of each benign account; None: as many as the rows allow, at most 2,000.
        consent: what the person agreed to, as KIND:WHAT, if a data set is sent.
        days: for which an attacker may use an account, for the daily cap.

    Raises:
        RunError: the run has not finished.
        DataError: the benign rows are too few to calibrate, or cannot be loaded.
        LedgerError: the ledger is damaged, or belongs to another test set.
        SpecError: a name is unknown, or a number out of range.

    Example:
        >>> detect(Path("runs/lenet")).noticed  # doctest: +SKIP
        True
    """
    began = time.monotonic()
    names = _checked(detectors, rate, days)
    if benign_rows < 1:
        raise SpecError("The number of honest rows is out of range", SetKey("benign_rows"),
                        got=benign_rows, want="at least 1")  # fmt: skip
    result, spec = read_result(run), spec_of(run)
    must_give_one_class(spec, "A detector")
    with closing(PaidRows.read(run / run_folder.LEDGER)) as ledger:
        watched = attack_stream(ledger, result.threat.answers, inputs=False)
        seen = _with_inputs(ledger, spec, result, progress)
        honest: Stream | None = None
        source = f"{benign}, test rows sent to the victim"
        if benign is None:
            honest, source = _of_test(
                run, spec, result, ledger, inputs=seen is not None, progress=progress
            )
        elif run_folder.is_run(Path(benign)):
            honest, source = _of_run(Path(benign), result, inputs=seen is not None)
        head = ledger.head_of_rows
    bought = 0
    if honest is None:  # the ledger is closed: what is bought is recorded in it
        honest = ask_benign(run, result, str(benign), rows=benign_rows, seed=seed,
                            progress=progress, consent=consent)  # fmt: skip
        bought = len(honest)
        honest = without_inputs(honest) if seen is None else honest
    rows = distinct(honest)
    traffic, digests_only = (
        accounts_of(
            part, accounts=accounts, rate=rate, source=source, users=tuple(users),
            account_rows=account_rows, seed=seed, pixels=takes_of(spec) == "images",
        )
        for part in (rows, without_inputs(rows))
    )  # fmt: skip
    findings = []
    for number, name in enumerate(names):
        progress("detectors", number, len(names))
        detector: Detector = DETECTORS[name]()
        reads = seen if detector.declares.reads != "answers" else None
        stream, honest_accounts = (watched, digests_only) if reads is None else (reads, traffic)
        findings.append(
            judge(name, detector, stream, honest_accounts, rate=rate, curve=result.curve)
        )
    progress("detectors", len(names), len(names))
    findings = set_aside(findings, rate, traffic.account_rows)
    found = Detection(
        queries=len(watched), rate=rate,
        benign=Benign(source=source, rows=traffic.rows, queries=bought, accounts=accounts,
                      account_rows=traffic.account_rows, kinds=traffic.kinds),
        detectors=findings, caps=caps(result.curve, days),
        noticed=any(one.alarm is not None for one in findings),
        verdict=verdict(findings, len(watched), rate, traffic.account_rows), seed=seed,
        seconds=time.monotonic() - began, ledger_head=head,
    )  # fmt: skip
    _write(run, found)
    return found


def _checked(detectors: Sequence[str], rate: float, days: int) -> list[str]:
    for name in detectors:
        if name not in DETECTORS:
            raise SpecError(suggest("detector", name, list(DETECTORS)), ChooseFrom("detectors"))
    if not 0 < rate < 1:
        raise SpecError("The false-alarm rate is out of range", got=f"{rate:g}",
                        want="above 0 and below 1")  # fmt: skip
    if days < 1:
        raise SpecError("The days of an account are out of range", got=days, want="at least 1")
    return list(dict.fromkeys(detectors)) or list(DETECTORS)


def _with_inputs(ledger: PaidRows, spec: Spec, result: Result, progress: Progress) -> Stream | None:
    """The attack's rows with their inputs, which are read in parts; None: they were not kept."""
    if ledger.fact("keep") != "all" or ledger.torn:
        return None
    pool = _pool(spec, ledger, progress)
    found = attack_stream(ledger, result.threat.answers, pool)
    return None if found.inputs is None else found


def _pool(spec: Spec, ledger: PaidRows, progress: Progress) -> Rows | None:
    """The proxy data, if the attack sent rows of them as they are: the ledger has their indices."""
    if of_table(spec) or not sends_proxy(spec):
        return None
    return load_pool(spec, ledger.input_shape, progress).inputs


def _of_test(
    run: Path, spec: Spec, result: Result, ledger: PaidRows, *, inputs: bool, progress: Progress
) -> tuple[Stream, str]:
    """The test rows as honest users ask them, and where they are from."""
    defences = [make_defence(text) for text in spec.defence]
    test = None
    if (inputs or defences) and not of_table(spec):
        test = load_test(spec, progress)
        recorded = ledger.recorded("evaluation", 0, len(test))
        if recorded is None or recorded.digests != row_digests(test.inputs):
            raise LedgerError(
                f"{test.name} has other rows than the test set of {run}",
                Advice("restore the test set of the run"),
            )
    rows = result.victim.test_rows
    api = PredictionApi(
        input_shape=tuple(result.threat.input_shape), num_classes=result.threat.num_classes,
        answers=result.threat.answers, top_k=result.threat.top_k,
    )  # fmt: skip
    return honest_stream(ledger, api, rows, test, defences), "the test set of the run"


def _of_run(benign: Path, result: Result, *, inputs: bool) -> tuple[Stream, str]:
    """The paid rows of another run, taken as honest traffic."""
    other, spec = read_result(benign), spec_of(benign)
    same = (other.threat.num_classes, other.threat.input_shape, other.threat.answers)
    want = (result.threat.num_classes, result.threat.input_shape, result.threat.answers)
    if same != want:
        raise RunError(
            f"{benign} has another model or other answers than the run, so it shows nothing about "
            "its honest users", Advice("give a run on the same model and answers"),
            got=f"{same[0]} classes, {same[1]}, {same[2]}",
            want=f"{want[0]} classes, {want[1]}, {want[2]}",
        )  # fmt: skip
    with closing(PaidRows.read(benign / run_folder.LEDGER)) as ledger:
        pool = _pool(spec, ledger, no_progress) if inputs else None
        found = attack_stream(ledger, other.threat.answers, pool, inputs=inputs)
    if inputs and found.inputs is None:
        raise LedgerError(
            f"{benign} did not keep its inputs, and detectors on the run read inputs",
            Advice("make that run again with all inputs kept"),
        )
    return in_memory(found), f"the paid rows of {benign.name}"


def _write(run: Path, found: Detection) -> None:
    """Write the document and record it in the ledger, so that `verify` covers it."""
    text = found.model_dump_json(indent=2) + "\n"
    with closing(Ledger.reopen(run / run_folder.LEDGER)) as ledger:
        ledger.record_files(
            {**(ledger.files or {}), run_folder.DETECTION: run_folder.digest_of(text)}
        )
    run_folder.write(run / run_folder.DETECTION, text)  # last: a written file is a recorded one
