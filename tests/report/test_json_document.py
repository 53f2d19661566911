import json
from dataclasses import replace

from tests.support.synthetic_documents import detection, grid
from tests.support.synthetic_runs import run

from clonecost.report import Documents, as_json
from clonecost.result import Result


def test_one_run_is_its_own_document() -> None:
    one = run()
    assert Result.model_validate_json(as_json([one])) == one.result


def test_several_runs_are_a_report() -> None:
    document = json.loads(as_json([run("a"), run("b", seed=1)]))
    assert document["schema"] == "clonecost/report/1"
    assert [one["provenance"]["seed"] for one in document["runs"]] == [0, 1]


def test_infinite_numbers_stay_json() -> None:
    text = as_json([run(kl=float("inf"))])
    assert json.loads(text, parse_constant=lambda name: name)["curve"][0]["kl"] == "Infinity"
    assert Result.model_validate_json(text).curve[0].kl == float("inf")


def test_documents_beside_the_runs_are_in_the_json() -> None:
    watched = replace(run("a"), detection=detection())
    document = json.loads(as_json([watched], Documents(grid=grid())))
    assert [row["defence"] for row in document["defences"]["rows"]][:2] == ["none", "label"]
    assert document["detections"]["a"]["noticed"] is True
    assert "panel" not in document
    assert Result.model_validate(document["runs"][0]) == watched.result
    assert Result.model_validate_json(as_json([watched])) == watched.result
