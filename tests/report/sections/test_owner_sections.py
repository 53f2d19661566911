"""Advice, detection, defences, what was tested, standards and limits: as data, with documents."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.html_pages import HOSTILE, parsed
from tests.support.synthetic_documents import defence_row, detection, grid, panel, row_scores
from tests.support.synthetic_runs import at_corrected, run

from clonecost.report import Documents, Run, html, markdown
from clonecost.report.aggregate import group_runs
from clonecost.report.documents import Material
from clonecost.report.measures import measures
from clonecost.report.model import Block, Bullets, Card, Details, Grid, Inline, Paragraph, Section
from clonecost.report.sections.advice import advice
from clonecost.report.sections.defences import defences
from clonecost.report.sections.detection import detection as noticed
from clonecost.report.sections.limits import limits
from clonecost.report.sections.scope import scope
from clonecost.report.sections.standards import ITEMS, standards
from clonecost.report.sections.verdicts import verdicts


def material(*runs: Run, **documents: Any) -> Material:
    return Material(tuple(group_runs(runs or [run()])), **documents)


def grids(section: Section) -> list[Grid]:
    return [block for block in section.blocks if isinstance(block, Grid)]


def cells(found: Grid, first: str) -> list[str]:
    """The row whose heading starts so: each cell with its detail."""
    row = next(row for row in found.rows if row.cells[0].shown.startswith(first))
    return [f"{cell.shown} {cell.detail}".strip() for cell in row.cells]


def said(blocks: tuple[Block, ...]) -> str:
    """All words of paragraphs and lists."""
    lines: list[tuple[Inline, ...]] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            lines.append(block.content)
        elif isinstance(block, Bullets):
            lines += block.items
    return "".join(part if isinstance(part, str) else part.text for line in lines for part in line)


WATCHED = replace(run("watched"), detection=detection())


# -- defences


def test_without_a_grid_the_section_says_what_to_run() -> None:
    section = defences(material())
    assert "clonecost defend VICTIM" in said(section.blocks)
    assert grids(section) == []


def test_the_grid_marks_what_protects_no_more_than_labels() -> None:
    strength, price, *_ = grids(defences(material(grid=grid())))
    assert [row.cells[0].shown for row in strength.rows] == [
        "no defence", "labels only", "noise:scale=0.2", "rounding:decimals=2",
    ]  # fmt: skip
    rounding = cells(strength, "rounding")
    assert rounding[0] == "rounding:decimals=2 no more than label-only"
    assert rounding[2] == "averaging"
    assert rounding[4] == "−11.0 points −13.0 to −9.0 points"
    assert rounding[5] == "Vulnerable"
    assert "no more" not in cells(strength, "noise")[0]
    assert cells(strength, "labels")[4] == "the floor itself"
    assert [row.marked for row in strength.rows] == [False, False, True, False]
    assert cells(price, "noise")[1].startswith("3.0 %")
    assert cells(price, "noise")[3:] == ["0.020 → 0.310"] * 2 + [
        "not known",
        "0.25 0.02 in batches of 128",
    ]
    assert cells(price, "no defence")[1] == "serves the victim's own answers"


def test_a_gain_of_an_interval_around_nothing_is_no_gain() -> None:
    wide = defence_row("mad", 0.79, 0.01, 0.13, (0.0, 0.3))  # the interval of 0.01 is ± 0.02
    strength = grids(defences(material(grid=grid(wide))))[0]
    assert "no more than label-only" in cells(strength, "mad")[0]


# -- detection


def test_without_a_detector_the_section_says_what_to_run() -> None:
    assert "clonecost detect RUN" in said(noticed(group_runs([run()])).blocks)


def test_first_alarm_and_agreement_by_then_stand_side_by_side() -> None:
    section = noticed(group_runs([WATCHED]))
    found, caps = grids(section)
    assert "The owner would have noticed after 640 queries." in said(section.blocks)
    duplicates = cells(found, "duplicates")
    assert duplicates[1:3] == ["640", "40.0 % 37.0 to 43.1 %; after 500 queries"]
    assert duplicates[4] == "80.0 % 70.0 to 90.0 %; accounts of 500 rows"
    assert duplicates[6] == "20"
    assert cells(found, "prada")[1] == "no alarm"
    assert "after 20,000 queries" in cells(found, "prada")[2]
    assert cells(found, "features") == [
        "features", "cannot judge this run: The run kept no inputs.",
    ]  # fmt: skip
    assert cells(found, "labels")[1] == "no alarm without the users “video”: 90"
    assert cells(caps, "75 %") == ["75 %", "33 for an account of 30 days", "10,000 queries", "304"]
    assert cells(caps, "90 %")[2] == "not reached within the budget"


def test_an_alarm_that_decides_nothing_is_told_with_its_reason_and_advises_nothing() -> None:
    found = detection({"name": "labels", "settings": {}, "first_alarm": 20,
                       "set_aside": "its threshold is too low"})  # fmt: skip
    watched = replace(run(), detection=found)
    (row, *_) = grids(noticed(group_runs([watched])))
    assert cells(row, "labels")[1] == "20 decides nothing, since its threshold is too low"
    assert "none of the detectors that were tried noticed" in said(advice(material(watched)).blocks)


# -- advice


def test_nothing_measured_gives_no_number_and_what_to_run() -> None:
    words = said(advice(material()).blocks)
    assert "names no measure and no number" in words
    assert "clonecost defend VICTIM" in words
    assert "clonecost detect RUN" in words


def test_the_cheapest_measures_that_work_come_first_with_price_and_attacker() -> None:
    rows = [
        defence_row("dear", 0.5, 0.3, 0.42, (0.10, 0.9)),
        defence_row("weak", 0.9, -0.1, 0.01, (0.0, 0.1)),
        defence_row("same-price", 0.78, 0.02, 0.14, (0.0, 0.4)),
        defence_row("fourth", 0.5, 0.3, 0.41, (0.20, 0.9)),
        defence_row("unpriced", 0.5, 0.3, 0.9),
    ]
    section = advice(material(grid=grid(*rows)))
    (first,) = [block for block in section.blocks if isinstance(block, Bullets)]
    items = [said((Bullets((item,)),)) for item in first.items]
    assert [item.partition(" takes")[0] for item in items] == ["same-price", "labels only", "dear"]
    assert "takes 14.0 points of agreement from the attacker" in items[0]
    assert "It changes no user's top class" in items[0]
    assert "averaging (" in items[0]
    assert "changes the top class of 10.0 % of test rows" in items[2]


def test_measures_that_do_not_work_are_told_to_be_so() -> None:
    found = grid(defence_row("weak", 0.9, -0.1, 0.01, (0.0, 0.1)))
    found = found.model_copy(update={"rows": [found.rows[0], found.rows[2]]})
    words = said(advice(material(grid=found)).blocks)
    assert "The measure that was tried does not take agreement" in words
    assert "weak takes 1.0 points" in words


def test_runs_that_differ_in_the_answers_only_are_a_measure() -> None:
    full = run("full", curve=[(1000, 0.9)])
    label = run("label", curve=[(1000, 0.6)], threat={"answers": "label"})
    other = run("other", curve=[(1000, 0.6)], threat={"answers": "label"}, attack="dfme")
    (found,) = measures(None, group_runs([full, label, other]))
    assert found.name == "labels only"
    assert found.price_words == "users get the top class without any probability"
    assert found.effect.value == pytest.approx(0.3)
    assert found.works
    paired = [replace(full, rows=row_scores(0.9)), replace(label, rows=row_scores(0.6))]
    (again,) = measures(None, group_runs(paired))
    assert again.effect.value == pytest.approx(0.3)
    assert again.effect.low > found.effect.low - 0.1
    assert "labels only takes" in said(advice(material(*paired)).blocks)


def test_agreement_taken_by_wrong_answers_is_no_protection() -> None:
    bought = defence_row("bought", 0.2, 0.6, 0.72, (0.75, 0.9))  # 72 points, 75 % wrong answers
    words = said(advice(material(grid=grid(bought))).blocks)
    assert "labels only takes" in words
    assert "bought" not in words


COUNTER = {"name": "averaging", "settings": {}, "repeats": 4, "bound": False}


def test_the_best_attacker_over_the_countermeasures_judges_a_measure() -> None:
    noise: dict[str, Any] = {"defences": [{"name": "noise", "settings": {}}]}
    plain = run("plain", curve=[(1000, 0.9)])
    naive = run("naive", curve=[(1000, 0.5)], **noise)
    knows = run("knows", curve=[(1000, 0.85)], counter=COUNTER, **noise)
    bound = run("bound", curve=[(1000, 0.9)], counter={**COUNTER, "bound": True}, **noise)
    (found,) = measures(None, group_runs([plain, naive, knows, bound]))
    assert found.effect.value == pytest.approx(0.05)
    assert found.attacker == (
        "knockoff with averaging (85.0 % agreement), the best of 2 attackers tried on it"
    )
    (alone,) = measures(None, group_runs([plain, naive]))
    assert alone.attacker.endswith("the only attacker tried on it")


def test_cap_and_alarm_come_from_the_detectors() -> None:
    words = said(advice(material(WATCHED)).blocks)
    assert "at most 33 queries a day for one account keep an account of 30 days below 75 %" in words
    assert "304 accounts reaches it in one day" in words
    assert "the detector duplicates alarms, after 640 queries at the latest" in words
    assert "Calibrate it on your own traffic" in words
    silent = replace(run(), detection=detection({"name": "prada", "settings": {}}, caps=[]))
    assert "none of the detectors that were tried noticed" in said(advice(material(silent)).blocks)


@pytest.mark.parametrize(
    ("reached", "per_day", "words"),
    [
        (None, 33, "says nothing beyond 33 queries a day"),
        (500, None, "not even one query a day"),
        (500, 0, "came after 500 queries"),
    ],
)
def test_a_cap_that_the_curve_does_not_give_is_not_made_up(
    reached: int | None, per_day: int | None, words: str
) -> None:
    cap = {"band": 0.75, "days": 30, "below": None, "reached": reached, "per_day": per_day,
           "accounts_in_a_day": None}  # fmt: skip
    watched = replace(run(), detection=detection(caps=[cap]))
    assert words in said(advice(material(watched)).blocks)


# -- tested, standards, limits


def test_what_was_not_tested_is_listed() -> None:
    plain = grids(scope(material()))[0]
    assert cells(plain, "Answers") == ["Answers", "all probabilities", "labels only, top k"]
    assert cells(plain, "Defences")[1] == "none"
    assert "up to 20,000 queries" in cells(plain, "Queries")
    full = grids(scope(material(WATCHED, grid=grid(), panel=panel())))[0]
    assert "noise:scale=0.2" in cells(full, "Defences")[1]
    assert cells(full, "Attackers that know")[1] == "naive, averaging"
    assert cells(full, "Detectors")[1] == "duplicates, prada, labels"
    assert cells(full, "What the attacker owned")[1] == "public pictures"
    assert "dfme (it does not fit into the time)" in cells(full, "Attacks")[2]


def test_each_standard_is_measured_or_not_run() -> None:
    plain = {row.cells[0].shown: row.cells[3].shown for row in grids(standards(material()))[0].rows}
    full = {
        row.cells[0].shown: row.cells[3].shown
        for row in grids(standards(material(WATCHED, grid=grid())))[0].rows
    }
    assert list(plain) == [item.identifier for item in ITEMS]
    assert {name for name, status in plain.items() if status == "measured"} == {
        "MITRE ATLAS AML.T0024.002", "OWASP AITG-APP-09", "NIST AI 100-2", "EU AI Act, Art. 15(5)",
    }  # fmt: skip
    assert {name for name, status in full.items() if status == "not run"} == {
        "OWASP AISVS v1.0-C11.3.3", "OWASP AISVS v1.0-C11.3.4", "OWASP AISVS v1.0-C12.2.4",
    }  # fmt: skip


def test_the_bands_are_told_at_the_queries_of_the_guide() -> None:
    row = cells(grids(standards(material()))[0], "OWASP AITG-APP-09")
    assert row[2] == (
        "Verdict and bands; largest agreement 50.0 % within 1,000 queries, 50.0 % within 5,000 "
        "queries"
    )
    few = material(run(curve=[(900, 0.5)]))
    assert cells(grids(standards(few))[0], "OWASP AITG-APP-09")[3] == "not run"


def test_no_standard_is_said_to_be_complied_with() -> None:
    text = markdown([WATCHED], Documents(panel(), grid())).lower()
    assert "complies" not in text
    assert "compliant" not in text
    assert "supports evidence for" in text


def test_risk_and_retest_come_from_the_runs() -> None:
    words = said(limits(group_runs([run()])).blocks)
    assert "expected to reach 93 % agreement (upper bound of the interval) with 20,000" in words
    assert "by 2026-07-03, which is 182 days after the last run (2026-01-02)" in words
    failed = run(curve=[(100, at_corrected(0.02, -0.01, 0.05))])
    assert "not known. No attack" in said(limits(group_runs([failed])).blocks)
    odd = run(provenance={"created": "yesterday"})
    assert "182 days after the last run, and earlier" in said(limits(group_runs([odd])).blocks)


def test_a_grid_of_many_runs_keeps_the_verdicts_short() -> None:
    runs = [run(f"r{n}", attack=f"attack{n}", curve=[(100, 0.9 - n / 50)]) for n in range(9)]
    blocks = verdicts(group_runs(runs)).blocks
    assert sum(isinstance(block, Card) for block in blocks) == 6
    (rest,) = [block for block in blocks if isinstance(block, Details)]
    assert rest.summary == "The verdicts on 3 weaker attacks"
    assert [card.label for card in rest.blocks if isinstance(card, Card)] == [
        "attack6", "attack7", "attack8",
    ]  # fmt: skip


def test_names_in_documents_are_text_never_markup() -> None:
    found = grid(defence_row(HOSTILE, 0.7, 0.1, 0.22, (0.03, 0.5)))
    watched = detection({"name": HOSTILE, "settings": {}, "why_not": HOSTILE})
    watched = watched.model_copy(update={"verdict": f"{HOSTILE}\x1b[2J"})
    entry = {"name": HOSTILE, "run": HOSTILE, "attack": HOSTILE, "owns": HOSTILE, "seed": 0,
             "budget": 1, "ended": "failed", "why": HOSTILE}  # fmt: skip
    runs, documents = [replace(run(), detection=watched)], Documents(panel(entry), found)
    page = html(runs, documents)
    assert "script" not in parsed(page).seen
    assert parsed(page).text.count(HOSTILE) >= 8
    assert "\x1b" not in page + markdown(runs, documents)


def test_both_renderers_show_all_of_it() -> None:
    runs, documents = [WATCHED, run("b", attack="dfme")], Documents(panel(), grid())
    for text in (html(runs, documents), markdown(runs, documents)):
        for words in ("noise:scale=0.2", "AML.M0002", "duplicates", "no more than label-only"):
            assert words in text
