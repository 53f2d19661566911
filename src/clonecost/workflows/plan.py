"""What an audit would ask, what it would cost, and what is missing. Sends nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clonecost.audit.spot_check import ROWS
from clonecost.config import (
    Spec,
    endpoint_url,
    features_of,
    generators_of,
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
from clonecost.errors import DataError
from clonecost.generators import cached_generator, is_path, row_and_epochs
from clonecost.persistence.model_cache import CARD
from clonecost.report.number_format import duration
from clonecost.types import LabelledInputs
from clonecost.victims.endpoints import RATE, EndpointSettings, is_local, least_seconds, refusal
from clonecost.victims.zoo.catalogue import VICTIMS
from clonecost.victims.zoo.images import is_trained


@dataclass(frozen=True)
class Plan:
    """What an audit would do. Nothing was sent, trained or downloaded for it."""

    lines: list[tuple[str, str]]  # (what, the fact)
    missing: list[str]  # what the audit would have to make or fetch first


def plan(spec: Spec) -> Plan:
    """What would be asked, what it would cost, and what is missing."""
    runs = singles(spec, Path())
    rows = spec.budget * len(runs)
    lines = [("victim", spec.victim), ("student", student_name(spec))]
    for name in spec.attack:
        attack = make_attack(name, spec.set)
        lines.append((name, attack.plan(spec.budget)))
    test = test_name(spec)
    lines.append(("runs", f"{len(spec.attack)} attack(s) x {len(spec.seed)} seed(s)"))
    lines.append(("queries", f"at most {rows:,} of the attacks, all counted"))
    missing, count = _survey(spec, test)
    count *= len(runs)
    if count:
        even = " and uniform ones" if of_table(spec) and spec.uniform else ""
        lines.append(
            ("evaluation", f"{count:,} rows of {test}{even}, apart, from the undefended victim")
        )
    if spec.price is not None:
        lines.append(
            ("money", f"at most ${rows * spec.price / 1000:,.2f} for the attacks' queries")
        )
    if spec.access == "white-box":
        lines.append(("access", "white box: a reference, not an attack through the API"))
    lines += _endpoint(spec, rows + count, len(runs))
    lines.append(("answers", f"{spec.answers}, inputs {spec.input_precision}"))
    lines.append(("defences", ", ".join(spec.defence) or "none"))
    return Plan(lines, missing)


def _endpoint(spec: Spec, rows: int, runs: int) -> Iterator[tuple[str, str]]:
    """Of a remote victim: how it would be asked, who allows it, how long it takes, what it risks.

    Args:
        rows: of the attacks and of the evaluation, over all runs.
    """
    url = endpoint_url(spec)
    if url is None:
        return
    settings, rate = spec.endpoint or EndpointSettings(), spec.rate or RATE
    yield "endpoint", f"{url}, at most {rate:g} rows a second"
    if permit := spec.authorisation:
        words = f"{permit.granted_by} for {permit.owner}, {permit.date}: {permit.scope}"
    else:
        words = "none needed, it is this machine" if is_local(url) else "none yet"
    yield "permission", words
    known = "" if settings.latency is None else f" and {settings.latency:g} s a request"
    least = duration(least_seconds(rows, settings, rate))
    yield "time", f"at least {least} for {rows:,} rows at that rate{known}"
    again = ROWS if spec.spot_check is None else spec.spot_check
    if again:
        yield "spot check", f"{again:,} rows more, when a run ends and each time that it resumes"
    lost = (lost_limit(spec) or 0) * runs
    words = f"at most {lost:,} rows more, should the endpoint fail to answer"
    if spec.price is not None:
        cost = (rows + lost + again * runs) * spec.price / 1000
        words += f"; with them, the evaluation and a spot check a run at most ${cost:,.2f}"
    yield "losses", words


def _survey(spec: Spec, test: str) -> tuple[list[str], int]:
    """What is missing, and how many test rows there are (0: unknown)."""
    if of_table(spec):
        return _survey_table(spec, test)
    found, count = [], 0
    loaded: dict[tuple[str, str], LabelledInputs] = {}
    wanted = [(test, "test")] + ([(proxy_name(spec), "train")] if needs_proxy(spec) else [])
    if spec.victim in VICTIMS and not is_trained(spec.victim):
        found.append(f"{spec.victim} is not trained yet: the audit trains it first")
        wanted.append((VICTIMS[spec.victim].dataset, "train"))
    found += _victim_missing(spec)
    for name, split in wanted:
        try:
            data = load(
                name, cast(Split, split), root=spec.data, shape=victim_shape(spec), download=False
            )
        except DataError as error:  # an unknown name is no missing one: that is raised
            found.append(str(error))
            continue
        loaded[name, split] = data
        count = len(data) if (name, split) == (test, "test") else count
    found += _untrained(spec, loaded.get((proxy_name(spec), "train")))
    return list(dict.fromkeys(found)), count


def _victim_missing(spec: Spec) -> Iterator[str]:
    """Why a victim of the user's own cannot be asked yet, if that is so."""
    if url := endpoint_url(spec):
        if reason := refusal(url, spec.authorisation):
            yield str(reason)
    elif ":" not in spec.victim and Path(spec.victim).suffix and not Path(spec.victim).is_file():
        yield f"there is no file {spec.victim}"


def _survey_table(spec: Spec, test: str) -> tuple[list[str], int]:
    found = list(_victim_missing(spec))
    try:
        return found, len(load_table(test, "test", features_of(spec))) + spec.uniform
    except DataError as error:
        return [*found, str(error)], 0


def _untrained(spec: Spec, proxy: LabelledInputs | None) -> Iterator[str]:
    """The generators that attacks want and nobody has trained."""
    for name in generators_of(spec):
        if is_path(name):
            if not (Path(name) / CARD).is_file():
                yield f"there is no trained generator in {name}"
            continue
        row, epochs = row_and_epochs(name)
        if proxy is None or cached_generator(row, proxy, epochs=epochs) is None:
            yield (
                f"the generator {name} is not trained on {proxy_name(spec)} yet: the audit trains "
                "it first, which costs time and no query"
            )
