"""The plan of an audit: its queries, cost and duration, and what is missing. Sends nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clonecost.audit.spot_check import ROWS
from clonecost.config import (
    Spec,
    answers_of,
    consents_needed,
    endpoint_url,
    features_of,
    generators_of,
    load_table_parts,
    lost_limit,
    make_attack,
    needs_proxy,
    of_table,
    proxy_name,
    singles,
    student_name,
    test_name,
    victim_shape,
)
from clonecost.data import Split, load
from clonecost.data.tables import load_table
from clonecost.errors import CloneCostError, DataError, VictimError
from clonecost.generators import cached_generator, is_path, row_and_epochs
from clonecost.persistence.file_limits import at_home
from clonecost.persistence.model_cache import CARD
from clonecost.report.number_format import duration
from clonecost.types import LabelledInputs
from clonecost.victims.endpoints import (
    RATE,
    EndpointSettings,
    is_local,
    least_seconds,
    proxy_of,
    refusal,
)
from clonecost.victims.zoo.catalogue import VICTIMS
from clonecost.victims.zoo.images import is_trained


@dataclass(frozen=True)
class Plan:
    """The plan of an audit, for which nothing was sent, trained or downloaded."""

    lines: list[tuple[str, str]]  # (name, fact)
    missing: list[str]  # parts that the audit would have to make or fetch first


def plan(spec: Spec, *, words: Callable[[CloneCostError], str] = str) -> Plan:
    """The plan of a spec's audits.

    Args:
        words: how an error about a missing part is worded; by default for Python.

    Raises:
        CloneCostError: the spec cannot be run, for another reason than a missing part.

    Example:
        >>> dict(plan(make_spec({"victim": "digits-lenet"})).lines)["queries"]
        'at most 10,000 of the attacks, all counted'
    """
    runs = singles(spec, Path())
    rows = spec.budget * len(runs)
    lines = [("victim", spec.victim), ("student", student_name(spec))]
    for name in spec.attack:
        attack = make_attack(name, spec.set)
        lines.append((name, attack.plan(spec.budget)))
    test = test_name(spec)
    lines.append(("runs", f"{len(spec.attack)} attack(s) x {len(spec.seed)} seed(s)"))
    lines.append(("queries", f"at most {rows:,} of the attacks, all counted"))
    missing, count = _survey(spec, test, words)
    count *= len(runs)
    if count:
        even = " and uniform ones" if of_table(spec) and spec.uniform else ""
        lines.append(
            ("evaluation", f"{count:,} rows of {test}{even}, to the undefended victim, apart")
        )
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
    return Plan(lines, missing)


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


def _survey(spec: Spec, test: str, words: Callable[[CloneCostError], str]) -> tuple[list[str], int]:
    """The missing parts, and the number of test rows (0: unknown)."""
    if of_table(spec):
        return _survey_table(spec, test, words)
    missing, count = [], 0
    loaded: dict[tuple[str, str], LabelledInputs] = {}
    needed = [(test, "test")] + ([(proxy_name(spec), "train")] if needs_proxy(spec) else [])
    if spec.victim in VICTIMS and not is_trained(spec.victim):
        missing.append(f"{spec.victim} is not trained yet: the audit trains it first")
        needed.append((VICTIMS[spec.victim].dataset, "train"))
    missing += _victim_missing(spec)
    for name, split in needed:
        try:
            data = load(
                name, cast(Split, split), root=spec.data, shape=victim_shape(spec), download=False
            )
        except DataError as error:  # the error of an unknown name is raised, not listed
            missing.append(words(error))
            continue
        loaded[name, split] = data
        count = len(data) if (name, split) == (test, "test") else count
    missing += _untrained(spec, loaded.get((proxy_name(spec), "train")))
    return list(dict.fromkeys(missing)), count


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
    spec: Spec, test: str, words: Callable[[CloneCostError], str]
) -> tuple[list[str], int]:
    missing = list(_victim_missing(spec))
    try:
        # a plan runs no code of the owner's
        if missing or Path(spec.victim).suffix.lower() != ".skops" or consents_needed(spec):
            rows = load_table(test, "test", features_of(spec), incomplete=spec.incomplete)
        else:
            _, rows = load_table_parts(spec)
        return missing, len(rows) + spec.uniform
    except (DataError, VictimError) as error:
        return [*missing, words(error)], 0


def _untrained(spec: Spec, proxy: LabelledInputs | None) -> Iterator[str]:
    """A line for each generator that an attack needs and that is not trained yet."""
    for name in generators_of(spec):
        if is_path(name):
            if not (at_home(name) / CARD).is_file():
                yield f"there is no trained generator in {name}"
            continue
        row, epochs = row_and_epochs(name)
        if proxy is None or cached_generator(row, proxy, epochs=epochs) is None:
            yield (
                f"the generator {name} is not trained on {proxy_name(spec)} yet: the audit trains "
                "it first, which costs time and no query"
            )
