"""The findings of a report as SARIF 2.1.0, which code-scanning services of pipelines read."""

import hashlib
import json
from collections.abc import Sequence
from urllib.parse import quote

from clonecost.report.documents import Material
from clonecost.report.findings import RULES, Finding, Rule, findings
from clonecost.result.gate import Outcome
from clonecost.safe_text import visible
from clonecost.version import __version__

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(material: Material, outcomes: Sequence[Outcome] = ()) -> str:
    """One SARIF run: a rule for each kind of finding, a result for each finding.

    Files are named relative to the report's folder: a run of another machine has no path of it.
    """
    document = {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "clonecost",
                        "version": __version__,
                        "rules": [_rule(rule) for rule in RULES],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(found) for found in findings(material, outcomes)],
            }
        ],
    }
    return visible(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.identifier,
        "name": rule.name,
        "shortDescription": {"text": f"{rule.short}."},
        "fullDescription": {"text": rule.help},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["security", "model-extraction", "external/atlas/AML.T0024.002"]},
    }


def _result(found: Finding) -> dict[str, object]:
    place = {"artifactLocation": {"uri": quote(found.file)}, "region": {"startLine": 1}}
    key = json.dumps([found.rule.identifier, *found.about])
    return {
        "ruleId": found.rule.identifier,
        "ruleIndex": RULES.index(found.rule),
        "level": found.level,
        "message": {"text": found.sentence},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"clonecost/v1": hashlib.sha256(key.encode()).hexdigest()[:32]},
    }
