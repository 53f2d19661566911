"""What starts fast imports little: libraries are counted, since seconds depend on the machine."""

import json
import subprocess
import sys

import pytest

from clonecost.attacks import ATTACKS
from clonecost.defences import DEFENCES
from clonecost.registry import KINDS

HEAVY = {"torch", "numpy", "sklearn", "pandas", "scipy", "matplotlib", "jinja2", "safetensors"}
LIGHT = {
    "--help": ["--help"], "--version": ["--version"], "schema": ["schema"],
    **{f"{name} --help": [name, "--help"] for name in ("audit", "suite", "serve", "verify")},
    **{f"list {kind}": ["list", kind] for kind in KINDS},
    **{f"list attacks {name}": ["list", "attacks", name] for name in ("dfme", "maze_pd")},
    "list defences rounding": ["list", "defences", "rounding"],
    "list networks lenet": ["list", "networks", "lenet"],
}  # fmt: skip
CODE = """
import json, sys
from clonecost.cli import main
sys.argv = ["clonecost", *sys.argv[1:]]
try:
    main()
finally:
    top = {name.partition(".")[0] for name in sys.modules}
    parts = [name for name in sys.modules if name.startswith("clonecost.")]
    print(json.dumps([sorted(top), sorted(parts)]), file=sys.stderr)
"""


def imported(*words: str) -> tuple[set[str], set[str], str]:
    """The libraries and the modules of clonecost that a command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True
    )
    libraries, modules = json.loads(done.stderr.splitlines()[-1])
    return set(libraries), set(modules), done.stdout


@pytest.mark.parametrize("command", LIGHT)
def test_a_light_command_imports_no_heavy_library(command: str) -> None:
    libraries, modules, said = imported(*LIGHT[command])
    assert not libraries & HEAVY
    parts = {f"clonecost.attacks.{name}" for name in ATTACKS}
    parts |= {f"clonecost.defences.{name}" for name in DEFENCES}
    assert not modules & parts
    assert said.strip()


def test_the_test_would_see_torch() -> None:
    code = CODE.replace("main()", "import clonecost.attacks.base")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in json.loads(done.stderr.splitlines()[-1])[0]


@pytest.mark.parametrize("module", ["types", "result", "errors", "registry"])
def test_the_shared_vocabulary_imports_no_heavy_library(module: str) -> None:
    code = f"import sys, clonecost.{module}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
