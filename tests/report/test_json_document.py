import json

from tests.support.synthetic_runs import run

from clonecost.report import as_json
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
