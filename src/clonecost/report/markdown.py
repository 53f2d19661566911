"""The same facts as Markdown, for a pull request, and as JSON, for a program."""

import json
import re
from collections.abc import Iterable, Sequence

from clonecost.report import wording
from clonecost.report.aggregate import Estimate, Group, group_runs
from clonecost.report.answer_drift import course, course_words
from clonecost.report.load_runs import Run
from clonecost.report.query_costs import PURPOSES, RULE, Bill, bill, purposes_of
from clonecost.report.search_strips import dearest_first, search_summary, search_words
from clonecost.report.summaries import TRANSFER_RULE, controls, flags, transfer_rows, transfers

SCHEMA = "clonecost/report/1"


def markdown(runs: Sequence[Run]) -> str:
    """Headline, prices, curves, threat, flags and provenance as GitHub-flavoured Markdown."""
    groups = group_runs(runs)
    victims = list(dict.fromkeys(group.first.victim.name for group in groups))
    subject = _plain(victims[0]) if len(victims) == 1 else f"{len(victims)} models"
    sections = [
        [f"# What it costs to clone {subject}"],
        *_endpoints(groups),
        *([_verdict(group)] for group in groups),
        [wording.VERDICT_RULE],
        ["## Price and worth"],
        _prices(groups),
        *(
            [f"**{_plain(group.label)}.** {_plain(errors)}"]
            for group in groups
            if (errors := wording.table_errors(group))
        ),
        *_bills(groups),
        ["## Curve"],
        _curve(groups),
        *_courses(groups),
        *([["## Controls"], _controls(groups)] if any(map(controls, groups)) else []),
        *_transfers(groups),
        *_searches(groups),
        ["## Who attacks, and what against"],
        *([f"**{_plain(labels)}.** {_plain(words)}"] for labels, words in wording.threats(groups)),
        _defences(groups),
        ["## Flags"],
        _flags(groups),
        [wording.MAPPING],
        ["## What this does not show"],
        [wording.LIMITS],
        ["## Provenance"],
        _provenance([run for group in groups for run in group.runs]),
        ["`clonecost verify RUN` checks a ledger; `clonecost replay RUN` reuses its answers."],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def as_json(runs: Sequence[Run]) -> str:
    """One run: its result document. Several: {"schema": "clonecost/report/1", "runs": [...]}."""
    results = [json.loads(run.result.model_dump_json(by_alias=True)) for run in runs]
    document = results[0] if len(results) == 1 else {"schema": SCHEMA, "runs": results}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _endpoints(groups: Sequence[Group]) -> list[list[str]]:
    """How each remote victim was asked, and who allowed it; [] for local ones."""
    return [
        [_plain(words), "", *(f"- {name}: {_plain(fact)}" for name, fact in facts)]
        for words, facts in wording.endpoint_words(groups)
    ]


def _verdict(group: Group) -> str:
    verdict = wording.verdict(group)
    words = f"{wording.headline(group)} *{verdict.reason} {wording.interval_words(group)}.*"
    return f"**{_plain(group.label)}: {verdict.title}.** {words}"


def _prices(groups: Sequence[Group]) -> list[str]:
    header = [
        "attack", "seeds", "to 75 %", "to 90 %", "spent", "lost", "price", "agreement",
        "commonest class", "accuracy", "relative", "KL (nats)",
    ]  # fmt: skip
    rows = [
        [
            group.label,
            str(len(group.runs)),
            _reached(group, wording.WARNING),
            _reached(group, wording.VULNERABLE),
            f"{group.spent:,}",
            f"{group.lost:,}",
            "–" if group.usd is None else wording.usd(group.usd),
            _interval(group.final.agreement),
            wording.percent(group.majority, 1),
            _interval(group.final.accuracy),
            wording.percent(group.final.relative_accuracy, 1),
            wording.nats(group.final.kl),
        ]
        for group in groups
    ]
    return markdown_table(header, rows)


def _bills(groups: Sequence[Group]) -> list[list[str]]:
    """A section on what the rows were bought for; [] when no run recorded it."""
    found = [(group, one) for group in groups if (one := bill(group))]
    if not found:
        return []
    purposes = purposes_of([one for _, one in found])

    def cell(one: Bill, rows: int | None) -> str:
        return "–" if rows is None else f"{rows:,} ({one.words(rows)})"

    rows = [
        [
            group.label,
            *(cell(one, one.purposes.get(purpose)) for purpose in purposes),
            cell(one, one.idle),
        ]
        for group, one in found
    ]
    header = ["attack", *(PURPOSES[purpose] for purpose in purposes), "taught nothing"]
    return [["## What the rows were bought for"], markdown_table(header, rows), [RULE]]


def _courses(groups: Sequence[Group]) -> list[list[str]]:
    """A sentence for each attack on how its answers changed; [] when no run recorded it."""
    words = [
        [f"**{_plain(group.label)}.** {_plain(course_words(found))}"]
        for group in groups
        if (found := course(group))
    ]
    return [["## How the answers changed over the run"], *words] if words else []


def _curve(groups: Sequence[Group]) -> list[str]:
    header = ["attack", "queries", "agreement", "accuracy", "relative", "KL (nats)"]
    rows = [
        [
            group.label,
            f"{point.queries:,}",
            _interval(point.agreement),
            _interval(point.accuracy),
            wording.percent(point.relative_accuracy, 1),
            wording.nats(point.kl),
        ]
        for group in groups
        for point in group.points
    ]
    return markdown_table(header, rows)


def _controls(groups: Sequence[Group]) -> list[str]:
    rows = [
        [group.label, control.name, _interval(control.agreement), _interval(control.accuracy)]
        for group in groups
        for control in controls(group)
    ]
    return markdown_table(["attack", "control", "agreement", "accuracy"], rows)


def _transfers(groups: Sequence[Group]) -> list[list[str]]:
    """Adversarial examples made on the clones; [] where nobody tried."""
    rows = [
        [
            group.label, found.method, f"{found.epsilon:g}", _interval(found.fooled),
            _interval(found.fooled_clone),
        ]
        for group in groups
        for found in transfers(group)
    ]  # fmt: skip
    if not rows:
        return []
    header = ["attack", "examples", "epsilon", "fooled the model", "fooled the clone"]
    rule = f"{TRANSFER_RULE} {transfer_rows(groups)}"
    return [["## What the clone is good for"], markdown_table(header, rows), [rule]]


def _searches(groups: Sequence[Group]) -> list[list[str]]:
    """Sections on the attacks that search: sentences, and what each class cost; [] if none does."""
    found = [(group, summary) for group in groups if (summary := search_summary(group))]
    if not found:
        return []
    words = [[f"**{_plain(group.label)}.** {search_words(summary)}"] for group, summary in found]
    rows = [
        [group.label, one.name, f"{one.queries:,.0f}", wording.percent(one.share, 1)]
        for group, summary in found
        for one in dearest_first(summary.classes)
    ]
    header = ["attack", "class searched for", "queries (mean per seed)", "share of all"]
    return [["## How the search went"], *words, markdown_table(header, rows)]


def _defences(groups: Sequence[Group]) -> list[str]:
    header = ["attack", *wording.threat_facts(groups[0])]
    return markdown_table(header, [[g.label, *wording.threat_facts(g).values()] for g in groups])


def _flags(groups: Sequence[Group]) -> list[str]:
    lines = [
        f"- **{view.flag.severity}** {_plain(view.flag.code)}: {_plain(view.flag.message)} "
        f"({_plain('; '.join(view.labels))})"
        for view in flags(groups)
    ]
    return lines or ["The audit's own checks raised nothing."]


def _provenance(runs: Sequence[Run]) -> list[str]:
    header = [
        "run", "attack", "seed", "version", "revision", "ended", "took", "rows", "lost",
        "scoring rows", "machine", "software", "ledger head", "command",
    ]  # fmt: skip
    rows = []
    for run in runs:
        result, origin = run.result, run.result.provenance
        rows.append(
            [
                run.name,
                result.attack.name,
                str(origin.seed),
                origin.version,
                origin.revision or "–",
                f"{result.ended.replace('_', ' ')}, {origin.created}",
                wording.duration(result.seconds),
                f"{origin.ledger_rows:,}",
                f"{result.lost:,}",
                f"{result.evaluation:,}",
                f"{origin.platform}; {origin.device}, {wording.count(origin.threads, 'thread')}",
                f"Python {origin.python}, PyTorch {origin.torch}",
                run.head or origin.ledger_head,
                origin.command,
            ]
        )
    return markdown_table(header, rows)


def _reached(group: Group, level: float) -> str:
    cost, hours = wording.reached_usd(group, level), wording.reached_hours(group, level)
    small = ", ".join(part for part in (cost, hours) if part not in ("–", ""))
    return wording.reached(group, level) + (f" ({small})" if small else "")


def _interval(estimate: Estimate) -> str:
    shown = wording.percent_range(estimate.low, estimate.high, 1)
    return f"{wording.percent(estimate.value, 1)} ({shown})"


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; nothing in a cell is obeyed as Markdown or HTML."""
    names = list(header)
    lines = [names, ["---"] * len(names), *([_plain(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _plain(words: str) -> str:
    """A user's words on one line, with nothing in them that Markdown or HTML would obey."""
    return re.sub(r"([\\`*\[\]|<>])", r"\\\1", " ".join(words.split()))
