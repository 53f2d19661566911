"""What starts fast imports little: libraries are counted, since seconds depend on the machine."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
# After each command, what this process has imported since it began.
CODE = """
import contextlib, io, json, sys
from clonecost.cli import main
for name, words in json.loads(sys.argv[1]).items():
    sys.argv = ["clonecost", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as end:
            assert not end.code, (name, end.code)
    print(json.dumps([name, sorted(sys.modules), out.getvalue()]), flush=True)
"""


def imported(commands: Mapping[str, Sequence[str]], code: str = CODE) -> Iterator[Any]:
    """(name, modules imported so far, what it printed) of commands that one process runs."""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    return map(json.loads, done.stdout.splitlines())


def test_a_light_command_imports_no_heavy_library() -> None:
    parts = {f"clonecost.attacks.{name}" for name in ATTACKS}
    parts |= {f"clonecost.defences.{name}" for name in DEFENCES}
    ran = []
    for name, modules, said in imported(LIGHT):
        assert not {one.partition(".")[0] for one in modules} & HEAVY, name
        assert not set(modules) & parts, name
        assert said.strip(), name
        ran.append(name)
    assert ran == list(LIGHT)


def test_the_test_would_see_a_heavy_library() -> None:
    code = CODE.replace("main()", "import numpy")
    ((_, modules, _),) = imported({"numpy": []}, code)
    assert "numpy" in modules


def test_the_shared_vocabulary_imports_no_heavy_library() -> None:
    modules = ", ".join(f"clonecost.{name}" for name in ("types", "result", "errors", "registry"))
    code = f"import sys, {modules}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
