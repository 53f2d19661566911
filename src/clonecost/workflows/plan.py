"""The plan of an audit: its queries, cost, time and memory, and what is missing. Sends nothing."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from clonecost.audit.spot_check import ROWS
from clonecost.config import (
    Spec,
    answers_of,
    bring_student,
    consents_needed,
    consents_of_student,
    endpoint_url,
    features_of,
    generators_of,
    load_attacked,
    load_pool,
    load_table_parts,
    load_test,
    lost_limit,
    make_attack,
    make_counter,
    needs_proxy,
    of_table,
    of_text,
    proxy_name,
    singles,
    stated_classes,
    student_name,
    takes_of,
    test_name,
    victim_shape,
)
from clonecost.config.panel_entries import (
    entries_of,
    fingerprint_rows,
    measures_labels,
    of_one_entry,
    sized,
    watch_parts,
    watch_rows,
)
from clonecost.countermeasures.base import own_rows
from clonecost.data import Split, load
from clonecost.data.tables import load_table
from clonecost.data.text_rows import characters
from clonecost.errors import CloneCostError, DataError, VictimError
from clonecost.generators import cached_generator, is_path, row_and_epochs
from clonecost.persistence.file_limits import at_home
from clonecost.persistence.model_cache import CARD
from clonecost.report.number_format import duration
from clonecost.types import LabelledInputs, ProxyData, ThreatModel
from clonecost.victims import LoadedVictim
from clonecost.victims.endpoints import (
    RATE,
    EndpointSettings,
    is_local,
    least_seconds,
    proxy_of,
    refusal,
)
from clonecost.victims.file_kinds import OF_TABLES
from clonecost.victims.zoo.catalogue import VICTIMS, Training
from clonecost.victims.zoo.images import first_step, is_trained
from clonecost.workflows.costs import (
    BATCH,
    estimates,
    in_words,
    is_free,
    known_speed,
    speed_of_student,
    speed_of_victim,
    threads_in_words,
    with_drawing,
)
from clonecost.workflows.estimate import Clock, Speed
from clonecost.workflows.panel_watch import PROBES


@dataclass(frozen=True)
class Plan:
    """The plan of an audit, for which nothing was sent, trained or downloaded."""

    lines: list[tuple[str, str]]  # (name, fact)
    missing: list[str]  # parts that the audit would have to make or fetch first


@dataclass(frozen=True)
class Survey:
    """What is there of an audit's parts, without a query, a training or a download."""

    missing: list[str]  # parts that the audit would have to make or fetch first
    test: LabelledInputs | None  # None: they are missing
    victim: LoadedVictim | None = None  # of a table, where its model states the columns


def plan(
    spec: Spec, *, words: Callable[[CloneCostError], str] = str, clock: Clock = time.perf_counter
) -> Plan:
    """The plan of a spec's audits.

    Args:
        words: how an error about a missing part is worded; by default for Python.
        clock: seconds, by which the student's training and a local model are timed.

    Raises:
        CloneCostError: the spec cannot be run, for another reason than a missing part.

    Example:
        >>> dict(plan(make_spec({"victim": "digits-lenet"})).lines)["queries"]
        'at most 10,000 of the attacks, all counted'
    """
    runs = singles(spec, Path())
    found = survey(spec, words=words)
    if spec.panel and found.test is not None:
        spec = sized(spec, found.test.shape)
    rows = spec.budget if spec.panel else spec.budget * len(runs)
    lines = [("victim", spec.victim), ("student", student_name(spec))]
    counter = make_counter(spec.counter)
    repeats = counter.repeats if counter else 1
    if spec.panel:
        lines += _panel(spec)
    else:
        for name in spec.attack:
            attack = make_attack(name, spec.set)
            lines.append((name, attack.plan(own_rows(spec.budget, repeats))))
    test = test_name(spec)
    lines.append(("runs", f"{len(spec.attack)} attack(s) x {len(spec.seed)} seed(s)"))
    lines.append(("queries", f"at most {rows:,} of the attacks, all counted"))
    count = 0 if found.test is None else len(found.test) + (spec.uniform if of_table(spec) else 0)
    count *= 1 if spec.panel else len(runs)
    if count:
        once = ", once for all attacks" if spec.panel else ""
        even = " and uniform ones" if of_table(spec) and spec.uniform else ""
        lines.append(
            ("evaluation", f"{count:,} rows of {test}{even}, to the undefended victim, apart{once}")
        )
    if found.test is not None and found.test.text:
        lines.append(("characters", _characters(spec, found.test, count)))
    if spec.price is not None:
        lines.append(
            ("money", f"at most ${rows * spec.price / 1000:,.2f} for the attacks' queries")
        )
    if spec.access == "white-box":
        lines.append(("access", "white box: a reference, not an attack through the API"))
    lines += _endpoint(spec, rows + count, len(runs))
    kind, top_k = answers_of(spec)
    answers = f"top_k:{top_k}" if top_k else kind
    lines.append(("answers", f"{answers}, inputs {spec.input_precision}"))
    lines.append(("defences", ", ".join(spec.defence) or "none"))
    if asked := consents_needed(spec):
        lines.append(("consent", f"the audit would {'; '.join(one.words for one in asked)}"))
    if spec.counter:
        each = f", {repeats} queries a row" if repeats > 1 else ""
        lines.append(("countermeasure", f"{spec.counter}{each}"))
    missing = list(found.missing)
    try:
        lines += _costs(of_one_entry(spec), found, len(runs), clock)
    except (VictimError, DataError) as error:
        missing.append(words(error))
    return Plan(lines, missing)


def _characters(spec: Spec, test: LabelledInputs, rows: int) -> str:
    """The characters of the evaluation, what an attack's texts may have, and their price."""
    each = characters(test.inputs) / len(test)
    said = f"{round(each * rows):,} of the evaluation; an attack's texts have at most "
    said += f"{test.shape[0]:,} bytes each"
    if spec.price_characters is None:
        return said
    usd = spec.budget * each * spec.price_characters / 1000
    return f"{said}; at the mean of {each:.0f} a test text, about ${usd:,.2f} a run"


def _panel(spec: Spec) -> Iterator[tuple[str, str]]:
    """The lines of a panel: its entries in their order, its watch rows, and its limits."""
    rows = of_one_entry(spec).budget
    yield "panel", f"{spec.panel}: these attacks, cheapest first, each on its own account"
    for place, entry in enumerate(entries_of(spec), start=1):
        how = f"not run: {entry.missing}" if entry.missing else entry.made.plan(rows)
        yield f"{place}. {entry.name}", f"owns {entry.owns}; {how}"
    names = watch_parts(spec)
    if each := watch_rows(spec, len(names)):
        watched = " and ".join(f"{each:,} {name}" for name in names)
        if any(entry.pieces or entry.exact for entry in entries_of(spec)):
            watched += f" ({PROBES} of them twice: are its answers a tree's?)"
        yield "watch rows", f"{watched}, bought first: by them the panel stops what cannot win"
    if looked := fingerprint_rows(spec):
        yield "fingerprint", f"{looked:,} public pictures: does it have a public backbone?"
    yield "then: detectors", "would you have noticed the cheapest clone's attack? Sends nothing"
    if measures_labels(spec):
        kept = f"the cheapest clone's attack again; at most {rows:,} rows are kept back for it"
        yield "then: labels only", f"{kept}, and it runs if the time allows"
    limits = [f"{spec.budget:,} queries in all"]
    limits += [f"{spec.minutes:g} minutes"] if spec.minutes is not None else []
    limits += [f"${spec.max_usd:g}, evaluation included"] if spec.max_usd is not None else []
    yield "limits", ", ".join(limits)


def _costs(spec: Spec, found: Survey, runs: int, clock: Clock) -> Iterator[tuple[str, str]]:
    """The lines of time and memory, as far as they are known without a query or anyone's code.

    A model of this process is timed on test rows, which cost nothing and leave it by no API.
    """
    if found.test is None:
        yield "time and memory", "not known without the test rows"
        return
    victim, classes = found.victim, _classes(spec, found.test)
    if found.victim is None and not found.missing and _is_local(spec):
        victim, loaded = load_attacked(spec, found.test)
        classes = loaded.num_classes
    if classes is None:
        yield "time and memory", "not known before the victim says how many classes it has"
        return
    threat = ThreatModel(
        input_shape=found.test.shape, num_classes=classes, query_budget=spec.budget,
        access=spec.access, features=found.test.features, text=found.test.text,
    )  # fmt: skip
    student = None
    if takes_of(spec) == "images" and not consents_of_student(spec):
        student = bring_student(spec, threat)
    yield "threads", threads_in_words(spec, threat, victim, student)
    speed = Speed()
    if victim and is_free(victim, spec):
        rows = found.test.rows(slice(0, BATCH))
        speed = Speed(victim=speed_of_victim(victim, rows, clock)[0])
    if student:
        speed = replace(speed, student=speed_of_student(spec, threat, student, clock))
    speed = with_drawing(spec, threat, speed, clock)
    count = len(found.test)
    costs = estimates(spec, threat, count, known_speed(spec, speed), student)
    for name, fact in in_words(costs, runs):
        yield f"{name}: cost" if name in spec.attack else name, fact


def _is_local(spec: Spec) -> bool:
    """Whether the victim is a model of images here, which loads without anyone's code."""
    return not (takes_of(spec) != "images" or endpoint_url(spec) or consents_needed(spec))


def _classes(spec: Spec, test: LabelledInputs) -> int | None:
    """The number of classes, as far as it is known without the victim."""
    stated = stated_classes(spec) or len(test.classes)
    return stated or (int(test.labels.max()) + 1 if test.labelled else None)


def _endpoint(spec: Spec, rows: int, runs: int) -> Iterator[tuple[str, str]]:
    """The lines of an endpoint: its address, permission, duration, spot check and lost rows.

    Args:
        rows: of the attacks and of the evaluation, over all runs.
    """
    url = endpoint_url(spec)
    if url is None:
        return
    settings, rate = spec.endpoint or EndpointSettings(), spec.rate or RATE
    yield "endpoint", f"{url}, at most {rate:g} rows a second"
    if permit := spec.authorisation:
        until = f" until {permit.until}" if permit.until else ""
        most = f", at most {permit.rows:,} rows" if permit.rows else ""
        permission = f"{permit.granted_by} for {permit.owner}, {permit.date}{until}{most}: "
        permission += permit.scope
    else:
        permission = "none needed on this machine" if is_local(url) else "none yet"
    yield "permission", permission
    if proxy := proxy_of(url):
        yield "proxy", f"{proxy}, as the environment says"
    known = "" if settings.latency is None else f" and {settings.latency:g} s a request"
    least = duration(least_seconds(rows, settings, rate))
    yield "time", f"at least {least} for {rows:,} rows at that rate{known}"
    again = ROWS if spec.spot_check is None else spec.spot_check
    if again:
        yield "spot check", f"{again:,} more rows, when a run ends and each time that it resumes"
    lost = (lost_limit(spec) or 0) * runs
    if permit and permit.rows and rows + again * runs > permit.rows:
        yield "too many", f"the permission allows {permit.rows:,} rows, fewer than the audit sends"
    losses = f"at most {lost:,} more rows, if the endpoint fails to answer"
    if spec.price is not None:
        cost = (rows + lost + again * runs) * spec.price / 1000
        losses += f"; with the evaluation and one spot check per run, at most ${cost:,.2f} in all"
    yield "losses", losses


def survey(
    spec: Spec, *, words: Callable[[CloneCostError], str] = str, test: LabelledInputs | None = None
) -> Survey:
    """The parts of a spec's audits that are there, and those that are missing.

    Args:
        test: the test rows, if they are read already.
    """
    name = test_name(spec)
    if of_table(spec):
        return _survey_table(spec, name, words, test)
    missing: list[str] = []
    found: dict[tuple[str, Split], LabelledInputs] = {}
    proxy: ProxyData | None = None
    needed: list[tuple[str, Split]] = [] if test is not None else [(name, "test")]
    if spec.victim in VICTIMS and not is_trained(spec.victim):
        try:
            missing.append(first_step(spec.victim, root=spec.data))
        except VictimError as error:
            missing.append(words(error))
        if isinstance(VICTIMS[spec.victim].training, Training):
            needed.append((VICTIMS[spec.victim].dataset, "train"))
    missing += _victim_missing(spec)
    for data, split in dict.fromkeys(needed):
        try:
            found[data, split] = load_test(spec) if of_text(spec) else load(
                data, split, root=spec.data, shape=victim_shape(spec), download=False,
                background=spec.background,
            )  # fmt: skip
        except DataError as error:  # the error of an unknown name is raised, not listed
            missing.append(words(error))
    test = test or found.get((name, "test"))
    if needs_proxy(spec):
        shape = victim_shape(spec) or (test.shape if test else None)
        try:
            if shape or not of_text(spec):
                proxy = load_pool(spec, shape, download=False)
        except DataError as error:
            missing.append(words(error))
    missing += _untrained(spec, proxy)
    return Survey(list(dict.fromkeys(missing)), test)


def _victim_missing(spec: Spec) -> Iterator[str]:
    """The reason why the user's own victim cannot be queried yet, if there is one."""
    if url := endpoint_url(spec):
        if reason := refusal(url, spec.authorisation):
            yield str(reason)
        return
    path = at_home(spec.victim)
    if ":" not in spec.victim and path.suffix and not path.is_file():
        yield f"there is no file {spec.victim}"


def _survey_table(
    spec: Spec, name: str, words: Callable[[CloneCostError], str], test: LabelledInputs | None
) -> Survey:
    missing = list(_victim_missing(spec))
    if test is not None:
        return Survey(missing, test)
    try:
        # a plan runs no code of the owner's
        unread = Path(spec.victim).suffix.lower() not in OF_TABLES
        if missing or unread or consents_needed(spec):
            rows = load_table(name, "test", features_of(spec), incomplete=spec.incomplete)
            return Survey(missing, rows)
        victim, rows = load_table_parts(spec)
        return Survey(missing, rows, victim)
    except (DataError, VictimError) as error:
        return Survey([*missing, words(error)], None)


def _untrained(spec: Spec, proxy: ProxyData | None) -> Iterator[str]:
    """A line for each generator that an attack needs and that is not trained yet."""
    rows = None
    for name in generators_of(spec):
        if is_path(name):
            if not (at_home(name) / CARD).is_file():
                yield f"there is no trained generator in {name}"
            continue
        row, epochs = row_and_epochs(name)
        rows = rows or (None if proxy is None else proxy.to("cpu"))
        if rows is None or cached_generator(row, rows, epochs=epochs) is None:
            yield (
                f"the generator {name} is not trained on {proxy_name(spec)} yet: the audit trains "
                "it first, which costs time and no query"
            )
