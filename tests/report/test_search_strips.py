import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.html_pages import HOSTILE, parsed, words
from tests.support.synthetic_runs import CLASSES, film_tensors, result, run, search

from clonecost.report import Run, SearchImages, as_json, group_runs, html, markdown
from clonecost.report.search_strips import (
    LARGEST_PX,
    MOST_FRAMES,
    most_queries_first,
    search_summary,
    search_words,
    strips,
)

TITLE = "Search for training images"


def searched(targets: int, **shape: int) -> Run:
    found = result(attack="ripper", search=search())
    return Run(Path("run"), found, search_images=SearchImages(**film_tensors(targets, **shape)))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_a_strip_ends_with_its_search() -> None:
    found = strips(searched(5), 10)
    assert [strip.target for strip in found] == CLASSES
    assert [len(strip.frames) for strip in found] == [1, 2, 3, 4, 5]
    assert [frame.generation for frame in found[3].frames] == [1, 2, 3, 4]
    assert found[3].frames[1].probability == pytest.approx(0.1976, abs=1e-4)


def test_each_class_is_shown_once_by_its_first_search() -> None:
    assert [len(strip.frames) for strip in strips(searched(12), 10)] == [1, 2, 3, 4, 5]
    assert len(strips(searched(12), 3)) == 3


@pytest.mark.parametrize(("channels", "mode"), [(1, "LA"), (3, "RGBA"), (2, "LA")])
def test_the_frames_of_a_strip_are_cells_of_one_picture(channels: int, mode: str) -> None:
    run = searched(3, channels=channels)
    picture = decoded(strips(run, 10)[2].source)
    assert (picture.mode, picture.size) == (mode, (3 * 9, 8))
    pixels = np.asarray(picture)
    assert not pixels[:, 8::9, -1].any()  # the gaps are clear
    assert (pixels[:, 9:17, -1] == 255).all()
    if channels != 2:
        assert run.search_images is not None
        np.testing.assert_array_equal(
            pixels[:, 9:17, :-1], run.search_images.images[2, 1].transpose(1, 2, 0)
        )


def test_long_searches_are_thinned_and_big_images_shrunk() -> None:
    (strip,) = strips(searched(1, generations=300, side=100), 10)
    assert len(strip.frames) == 1  # it ended in its first generation
    long = film_tensors(1, generations=300, side=100)
    long["probability"][:] = 0.5
    (strip,) = strips(Run(Path("run"), result(), search_images=SearchImages(**long)), 10)
    shown = [frame.generation for frame in strip.frames]
    assert len(shown) == MOST_FRAMES
    assert (shown[0], shown[-1]) == (1, 300)
    assert shown == sorted(set(shown))
    assert decoded(strip.source).size == (MOST_FRAMES * (LARGEST_PX + 1), LARGEST_PX)
    assert not strip.pixelated


def test_a_search_that_never_began_is_left_out() -> None:
    tensors = film_tensors(3)
    tensors["probability"][1] = np.nan
    found = strips(Run(Path("run"), result(), search_images=SearchImages(**tensors)), 10)
    assert [strip.target for strip in found] == [CLASSES[0], CLASSES[2]]
    assert strips(run(), 10) == []
    assert strips(searched(2, generations=0), 10) == []


def test_a_class_without_a_name_has_a_number() -> None:
    tensors = film_tensors(1) | {"targets": np.array([77])}
    assert (
        strips(Run(Path("run"), result(), search_images=SearchImages(**tensors)), 1)[0].target
        == "class 77"
    )


def test_the_words_of_one_seed() -> None:
    (group,) = group_runs([run(search=search())])
    summary = search_summary(group)
    assert summary is not None
    assert search_words(summary) == (
        "500 searches ended; 450 (90.0 %) reached the target probability. The mean length of a "
        "search was 2.5 generations. The clone was trained on 500 of 20,000 answers; 97.5 % of the "
        "answers served the search only."
    )
    assert [one.share for one in summary.classes] == [0.1, 0.15, 0.15, 0.2, 0.4]
    assert [one.scale for one in summary.classes] == [0.25, 0.375, 0.375, 0.5, 1]
    assert most_queries_first(summary.classes)[0].name == CLASSES[4]


def test_seeds_are_summed_and_means_weighted() -> None:
    more = search(targets=1500, reached=1500, generations=4.5, used_rows=20_000, wasted=0.0)
    (group,) = group_runs([run(search=search()), run(seed=1, search=more), run(seed=2)])
    summary = search_summary(group)
    assert summary is not None
    assert (summary.seeds, summary.targets, summary.reached) == (2, 2000, 1950)
    assert summary.generations == 4.0
    assert (summary.used, summary.spent, summary.unused) == (20_500, 40_000, 0.4875)
    assert summary.classes[0].queries == 2000
    assert search_words(summary).startswith("2,000 searches ended (all 2 seeds); 1,950 (97.5 %)")


def test_edges_have_words_too() -> None:
    none = search(targets=0, reached=0, generations=0.0, queries_per_class=[0] * 5)
    (group,) = group_runs([run(search=none)])
    summary = search_summary(group)
    assert summary is not None
    assert search_words(summary).startswith("No search ended within the query budget. The clone")
    assert [one.scale for one in summary.classes] == [0] * 5
    (group,) = group_runs([run(search=search(wasted=0.0, targets=1, reached=1))])
    summary = search_summary(group)
    assert summary is not None
    assert "1 search ended; 1 (100.0 %)" in search_words(summary)
    assert search_words(summary).endswith("trained on all 20,000 answers.")


def test_the_page_shows_the_search() -> None:
    page = html([searched(5), run()])
    text, found = words(page), parsed(page)
    assert text.count(TITLE) == 1
    for fact in ("500 searches ended", "97.5 %", "Queries by target class", "8,000", "40.0 %"):
        assert fact in text, fact
    assert "Coat: <1 % → 78 % in 5 generations" in text
    assert found.seen.count("img") == 5
    assert page.count('alt="Best image after each generation of a search for') == 5
    assert len(found.ids) == len(set(found.ids))
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in found.addresses)


def test_runs_without_a_search_have_no_such_section() -> None:
    assert search_summary(group_runs([run()])[0]) is None
    assert TITLE not in html([run()])
    assert TITLE not in markdown([run()])


def test_a_result_of_an_older_version_still_renders() -> None:
    document = json.loads(as_json([run()]))
    del document["search"]
    old = Run(Path("old"), type(run().result).model_validate(document))
    assert old.result.search is None
    assert TITLE not in html([old]) + markdown([old])


def test_a_search_without_images_says_so() -> None:
    text = words(html([run(search=search())]))
    assert "This run folder holds no images of the search." in text
    assert "500 searches ended" in text


def test_many_classes_show_the_most_queries_first() -> None:
    classes = [f"class-{index}" for index in range(60)]
    many = run(search=search(queries_per_class=range(60)), victim={"classes": classes})
    page = html([many])
    section = page[page.index(TITLE) :]
    assert "The 20 classes with the most queries" in section
    assert section.index("class-59<") < section.index("All 60 classes") < section.index("class-0<")


def test_names_in_strips_are_text() -> None:
    one = searched(2)
    victim = one.result.victim.model_copy(update={"classes": [HOSTILE] * 5})
    hostile = one.result.model_copy(update={"victim": victim})
    found = parsed(html([Run(Path("run"), hostile, search_images=one.search_images)]))
    assert "script" not in found.seen
    text = markdown([Run(Path("run"), hostile)])
    assert "<script>" not in text.replace(r"\<script", "")


def test_markdown_and_json_tell_the_same_numbers() -> None:
    one = searched(5)
    text = markdown([one])
    assert f"## {TITLE}" in text
    assert "500 searches ended; 450" in text
    assert "| Coat | 8,000 | 40.0 % |" in text
    assert json.loads(as_json([one]))["search"] == search()


def test_the_page_of_a_search_stays_small() -> None:
    plain, shown = len(html([run()])), len(html([searched(5, generations=12, side=32, channels=3)]))
    assert shown - plain < 100_000
