import json

from tests.support.synthetic_runs import run

from clonecost.report import as_json, headline, markdown
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


def test_markdown_tells_the_same_facts() -> None:
    one = run("my-run", lost=12)
    text = markdown([one])
    assert headline(one) in text
    assert "| knockoff | 1 | ≤ 10,000 (≤ $10) | ≤ 20,000 (≤ $20) | 20,000 | 12 | $20 |" in text
    assert "| knockoff | 10,000 | 80.0 % (77.4 to 82.4 %) |" in text
    assert "| my-run | knockoff | 0 |" in text
    assert "is not “safe”" in text


def test_markdown_tables_survive_hostile_names() -> None:
    hostile = "a|b\n# <script>alert(1)</script> `x` *y*"
    flag = {"code": hostile, "severity": "warning", "message": hostile}
    text = markdown([run(attack=hostile, flags=[flag], victim={"name": hostile})])
    assert "<script>" not in text.replace(r"\<script", "")
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {line.count("|") - line.count(r"\|") for line in tables}
    assert widths == {13, 7, 9, 15}
    assert sum(line.startswith("# ") for line in text.splitlines()) == 1


def test_markdown_is_deterministic() -> None:
    runs = [run(seed=seed) for seed in range(3)]
    assert markdown(runs) == markdown(runs)
