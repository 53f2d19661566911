"""Title, victim and permission: what stands above the first section."""

from collections.abc import Sequence

from clonecost.report.aggregate import Group
from clonecost.report.model import Block, Facts, Strong, text
from clonecost.report.number_format import count, percent, percent_range
from clonecost.result import EndpointCard, VictimCard


def title(groups: Sequence[Group]) -> str:
    victims = _victims(groups)
    subject = victims[0].name if len(victims) == 1 else f"{len(victims)} models"
    return f"What it costs to clone {subject}"


def blocks(groups: Sequence[Group]) -> tuple[Block, ...]:
    """One paragraph a victim; for one behind an endpoint, the traffic and the permission, too."""
    found: list[Block] = [
        text(
            "The victim (the audited model) ",
            Strong(victim.name),
            f" has {count(len(victim.classes), 'class')} and {_accuracy(victim)}.",
        )
        for victim in _victims(groups)
    ]
    for endpoint in _endpoints(groups):
        found += [text(_traffic(endpoint)), _permission(endpoint)]
    return tuple(found)


def _accuracy(victim: VictimCard) -> str:
    rows = count(victim.test_rows, "test input")
    if victim.accuracy is None or victim.majority_accuracy is None:
        return (
            f"answered {rows} ({victim.test_set}). Its accuracy is not known, because the test set "
            "has no labels; agreement needs none"
        )
    return (
        f"classifies {percent(victim.accuracy.value, 1)} of {rows} correctly ({victim.test_set}; "
        f"95 % CI {percent_range(victim.accuracy.low, victim.accuracy.high, 1)}; always giving the "
        f"most frequent label: {percent(victim.majority_accuracy, 1)})"
    )


def _victims(groups: Sequence[Group]) -> list[VictimCard]:
    return list({repr(group.first.victim): group.first.victim for group in groups}.values())


def _endpoints(groups: Sequence[Group]) -> list[EndpointCard]:
    """Every endpoint with its permission once; the first run stands for all."""
    cards = [run.result.endpoint for group in groups for run in group.runs if run.result.endpoint]
    return list({f"{card.url} {card.authorisation}": card for card in reversed(cards)}.values())[
        ::-1
    ]


def _traffic(card: EndpointCard) -> str:
    latency = (
        ""
        if card.latency is None
        else f" The median latency of {count(card.requests, 'request')} was {card.latency:.2g} s."
    )
    return (
        f"The queries went to {card.url} ({card.protocol}) at no more than {card.rate:g} queries "
        f"per second and {card.rows_per_request} queries per request.{latency}"
    )


def _permission(card: EndpointCard) -> Facts:
    permit = card.authorisation
    if permit is None:
        return Facts(
            (("Authorisation", ("not needed: the endpoint runs on the machine of the audit",)),)
        )
    until = (("Until", (permit.until,)),) if permit.until else ()
    most = (("Rows", (f"at most {permit.rows:,}",)),) if permit.rows else ()
    return Facts(
        (
            ("Owner", (permit.owner,)),
            ("Authorised by", (permit.granted_by,)),
            ("Date", (permit.date,)),
            *until,
            ("Scope", (permit.scope,)),
            *most,
        )
    )
