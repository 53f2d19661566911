"""The documents run: Python blocks are executed, commands exist, links lead on."""

import functools
import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
from tests.support.toys import MakeAudit
from tests.support.undisturbed_runs import few_rows, undisturbed
from typer.main import get_command

import clonecost.attacks
from clonecost.attacks import ATTACKS
from clonecost.cli import app
from clonecost.config import make_spec
from clonecost.types import LabelledInputs, ThreatModel, Victim
from clonecost.version import __version__

ROOT = Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [code for kind, code in FENCE.findall(text) if kind == language]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_runs_as_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)
    shown = capsys.readouterr().out
    assert bool(shown) == any("print(" in code for code in blocks(page, "python"))
    assert "agree" in shown or not shown


COMMANDS = [
    (page.name, line)
    for page in PAGES
    for block in blocks(page, "console")
    for line in re.sub(r"\\\n\s*", "", block).splitlines()
    if line.startswith("$ clonecost ")
]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_are_ones_that_the_program_has(page: str, line: str) -> None:
    words = shlex.split(line.removeprefix("$ clonecost "), comments=True)
    command = get_command(app)
    while hasattr(command, "commands"):  # `train` has commands of its own
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


SPECS = [
    code for page in ("spec.md", "endpoints.md") for code in blocks(ROOT / "docs" / page, "toml")
] + [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("examples/endpoints/*.toml"))]


@pytest.mark.parametrize("code", SPECS)
def test_the_example_spec_is_one(code: str) -> None:
    import tomllib

    spec = tomllib.loads(code)
    if "victim" not in spec:  # keys of `[endpoint]` alone
        spec = {"victim": "shop", "test": "test.npz",
                "endpoint": {"url": "http://127.0.0.1:8000/predict", **spec}}  # fmt: skip
    make_spec(spec)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_pages_attack_is_the_examples() -> None:
    example = (ROOT / "examples" / "own_attack.py").read_text(encoding="utf-8")
    attack, use = blocks(ROOT / "docs/contributing/attack.md", "python")
    assert attack in example
    assert textwrap.indent(use, "    ") in example


def test_the_version_stands_in_one_place() -> None:
    place = ROOT / "src" / "clonecost" / "version.py"
    others = [ROOT / "CITATION.cff", ROOT / "pyproject.toml", *ROOT.glob("docs/*.md")]
    assert f'"{__version__}"' in place.read_text(encoding="utf-8")
    version = re.compile(rf"version\W+{re.escape(__version__)}\b", re.IGNORECASE)
    assert [path.name for path in others if version.search(path.read_text("utf-8"))] == []


def test_every_flag_of_checks_is_explained() -> None:
    source = (ROOT / "src" / "clonecost" / "evaluation" / "red_flags.py").read_text(
        encoding="utf-8"
    )
    raised = set(re.findall(r'_(?:warning|info)\(\s*"([a-z0-9-]+)"', source))
    explained = set(
        re.findall(
            r"^\| `([a-z0-9-]+)`",
            (ROOT / "docs" / "flags.md").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
    assert raised == explained
    assert len(raised) > 8


def test_the_pages_attack_keeps_the_contract(
    monkeypatch: pytest.MonkeyPatch,
    victim: Victim,
    threat: ThreatModel,
    proxy: LabelledInputs,
    make_audit: MakeAudit,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "attacks"
    folder.mkdir()
    code = blocks(ROOT / "docs/contributing/attack.md", "python")[0]
    (folder / "noise.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(clonecost.attacks, "__path__", [*clonecost.attacks.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "clonecost.attacks.noise", raising=False)
    assert "noise" in ATTACKS
    contract = runpy.run_path(str(ROOT / "tests" / "attacks" / "test_attack_contract.py"))
    few = few_rows(threat, proxy)
    runs = {
        kind: undisturbed(make_audit, "noise", victim, tmp_path / kind, **settings)
        for kind, settings in {"whole": {}, "short": few}.items()
    }
    rows: dict[str, object] = {"victim": victim, "few": few}
    properties: dict[str, dict[str, object]] = {
        "test_spends_what_it_reports_and_beats_the_majority_class": {"whole": runs["whole"]},
        "test_failure_and_scores_change_neither_the_queries_nor_the_clone": {
            **rows, "short": runs["short"], "tmp_path": tmp_path / "resumes",
            "make_audit": make_audit},
        "test_a_larger_budget_continues_a_run_of_a_smaller_one": {
            **rows, "threat": threat,
            "make_audit": functools.partial(make_audit, out=tmp_path / "larger")},
    }  # fmt: skip
    for test, more in properties.items():
        contract[test](name="noise", **more)
