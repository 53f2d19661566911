import re
from pathlib import Path

import pytest
from tests.support.html_pages import HOSTILE, parsed, words
from tests.support.synthetic_runs import made_control, run, sample_tensors, wilson, write

from clonecost.persistence.run_folder import runs_in
from clonecost.report import Run, Samples, headline, html, load_runs


@pytest.fixture
def several() -> list[Run]:
    """Attacks, seeds, defences, lost rows, no price, flags, controls and huge numbers."""
    control = made_control("true_labels", 0.88)
    warning = {"code": "overlap", "severity": "warning", "message": "3 rows overlap"}
    return [
        run("s0", controls=[control], flags=[warning]),
        run("s1", seed=1),
        run("lost", attack="ripper", curve=[(1000, 0.3), (20_000, 0.6)], lost=12),
        run("free", attack="dfme", curve=[(20_000_000_000, 0.8)], usd_per_1000=None),
        run("ref", attack="zskd", curve=[(0, 0.97)], threat={"access": "white-box"}),
        run("def", attack="ripper", defences=[{"name": "label_only", "settings": {}}]),
    ]


def test_the_page_is_well_formed_and_its_ids_are_unique(several: list[Run]) -> None:
    page = parsed(html(several))
    assert len(page.ids) == len(set(page.ids))


def test_nothing_is_loaded_from_the_network(several: list[Run]) -> None:
    several[0] = Run(several[0].path, several[0].result, Samples(**sample_tensors(40)))
    page = html(several)
    found = parsed(page)
    assert {"script", "link", "iframe"}.isdisjoint(found.seen)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in found.addresses)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not re.search(r"url\((?!#)|@import|https?:", page)


def test_names_are_text_never_markup() -> None:
    hostile = run(
        HOSTILE,
        attack=HOSTILE,
        settings={HOSTILE: HOSTILE},
        victim={"name": HOSTILE, "test_set": HOSTILE, "classes": [HOSTILE] * 5, "weights": None},
        defences=[{"name": HOSTILE, "settings": {HOSTILE: HOSTILE}}],
        per_class=[{"name": HOSTILE, "rows": 3, "agreement": None}],
        flags=[{"code": HOSTILE, "severity": "warning", "message": HOSTILE}],
        provenance={"command": HOSTILE, "platform": HOSTILE, "revision": HOSTILE},
    )
    hostile = Run(hostile.path, hostile.result, Samples(**sample_tensors(2)))
    found = parsed(html([hostile]))
    assert "script" not in found.seen
    assert found.text.count(HOSTILE) >= 12


def test_the_same_runs_give_the_same_bytes(several: list[Run]) -> None:
    assert html(several) == html(several)


def test_every_group_has_its_sentence_strongest_first(several: list[Run]) -> None:
    text = words(html(several))
    places = [text.index(headline(several[i])) for i in (5, 3, 2)]
    assert places == sorted(places)
    assert "mean of 2 seeds" in text


def test_what_a_reader_must_know_is_there(several: list[Run]) -> None:
    text = words(html(several))
    for fact in (
        "12 queries got no usable answer",
        "not reached within 20,000 queries",
        "≤ 10,000 ≤ $10",
        "The interval of one seed covers the choice of test inputs",
        "The interval covers the variation between 2 seeds (Student's t).",
        "1 warning about this audit",
        "3 rows overlap",
        "The upper bound of the 95 % CI decides.",
        "A white-box reference gives no verdict on the API.",
        "AML.T0024.002",
        "AITG-APP-09",
        "AISVS v1.0-C11.3",
        "“Not reached within N queries” describes where the attack stopped.",
        "clonecost verify RUN",
        "clonecost replay RUN",
        "head " + "0f" * 32,
        "counted separately: 1,000 for the evaluation",
        "Trained on true labels",
    ):
        assert fact in text, fact


def test_many_classes_show_the_worst_first() -> None:
    per_class = [
        {"name": f"class-{index}", "rows": 9, "agreement": wilson(index / 100)}
        for index in range(60)
    ]
    page = html([run(per_class=per_class)])
    middle = page.index("class-30<")
    assert page.index("class-0<") < page.index("class-59<") < page.index("class-50<") < middle
    assert page.index("All 60 classes") < middle


def test_ten_thousand_classes_make_a_short_page() -> None:
    card = {"name": "thing", "rows": 0, "agreement": None}
    seen = [{"name": f"seen-{k}", "rows": 9, "agreement": wilson(k / 10)} for k in range(9)]
    page = html([run(per_class=[*[card] * 9_991, *seen])])
    assert "The 9 classes of 10,000 with a test input:" in page
    assert "All 10,000 classes are in result.json." in page
    assert page.count("seen-") == 9
    assert len(page) < 200_000


def test_a_page_is_made_from_folders(tmp_path: Path, several: list[Run]) -> None:
    for one in several:
        write(tmp_path / one.path.name, one.result, samples=3, channels=3)
    page = html(load_runs(runs_in(tmp_path)))
    assert str(tmp_path) not in page
    assert parsed(page).seen.count("img") == 3 * len(several)
