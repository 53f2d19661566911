"""The findings as SARIF: what the standard requires is there, and nothing of the machine."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.html_pages import HOSTILE
from tests.support.synthetic_documents import detection, grid
from tests.support.synthetic_runs import at_corrected, result, run

from clonecost.report import Documents, Run, sarif
from clonecost.report.findings import RULES
from clonecost.result.gate import Limit, apply

FLAGS = [{"code": "overlap", "severity": "warning", "message": "3 test inputs overlap"}]


def written(*runs: Run, **settings: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(sarif(runs, **settings))
    return document


def results(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["runs"][0]["results"]
    return found


def everything() -> dict[str, Any]:
    silent = replace(
        run("silent", flags=FLAGS), detection=detection(noticed=False)
    )  # fmt: skip
    failed = run("failed", attack="bad", curve=[(100, at_corrected(0.02, -0.01, 0.05))])
    warned = run("warned", attack="mild", curve=[(100, at_corrected(0.8, 0.78, 0.82))])
    limit = apply(Limit("agreement", 0.5), [silent.result])
    return written(silent, failed, warned, documents=Documents(grid=grid()), outcomes=[limit])


def test_every_kind_of_finding_has_its_rule() -> None:
    found = results(everything())
    assert {one["ruleId"] for one in found} == {rule.identifier for rule in RULES}
    levels = {one["ruleId"]: one["level"] for one in found}
    assert levels["clone-vulnerable"] == levels["limit-exceeded"] == "error"
    assert levels["attack-failed"] == "note"
    defences = [one for one in found if one["ruleId"] == "defence-no-better-than-label"]
    assert ["rounding:decimals=2" in one["message"]["text"] for one in defences] == [True]


def test_what_the_standard_requires_is_there() -> None:
    document = everything()
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (only,) = document["runs"]
    driver = only["tool"]["driver"]
    assert driver["name"] == "clonecost"
    identifiers = [rule["id"] for rule in driver["rules"]]
    assert len(set(identifiers)) == len(identifiers)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for found in results(document):
        assert identifiers[found["ruleIndex"]] == found["ruleId"]
        assert found["message"]["text"]
        assert found["level"] in ("error", "warning", "note")
        uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert not re.match(r"/|\w+:|\.\.", uri)
        assert re.fullmatch("[0-9a-f]{32}", found["partialFingerprints"]["clonecost/v1"])


def test_no_path_of_the_machine_is_told() -> None:
    one = Run(Path("/home/me/secret place/run 1"), result(flags=FLAGS))
    text = sarif([one])
    assert "/home" not in text
    assert "secret" not in text
    assert "run%201/result.json" in text


def test_a_finding_keeps_its_fingerprint_when_numbers_change() -> None:
    def fingerprints(agreement: float) -> list[str]:
        found = results(written(run(curve=[(100, agreement)])))
        return [one["partialFingerprints"]["clonecost/v1"] for one in found]

    assert fingerprints(0.95) == fingerprints(0.97)
    assert fingerprints(0.95) != fingerprints(0.80)  # another rule


@pytest.mark.parametrize("name", [HOSTILE, "a\x1b[2Jb\u202ec", '"}], "x": ["'])
def test_names_of_strangers_stay_text(name: str) -> None:
    hostile = run(attack=name, victim={"name": name}, flags=[{**FLAGS[0], "message": name}])
    text = sarif([hostile])
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    messages = [one["message"]["text"] for one in results(json.loads(text))]
    assert any(name in message for message in messages)


def test_nothing_to_say_is_an_empty_list() -> None:
    assert results(written(run(curve=[(100, at_corrected(0.5, 0.4, 0.6))]))) == []


def test_a_flag_of_several_attacks_is_one_finding() -> None:
    found = results(written(*(run(name, attack=name, flags=FLAGS) for name in ("a", "b", "c"))))
    said = [one["message"]["text"] for one in found if one["ruleId"] == "audit-flag"]
    assert said == ["a and 2 other attacks: 3 test inputs overlap (overlap)"]
