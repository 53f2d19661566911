"""Every error this package raises on purpose, and what its caller can do about it.

CloneCostError
├── SpecError      the audit as written cannot be run (unknown name, typo, contradiction)
├── ConsentError   a file that may be a stranger's asks for code, an address or a secret
├── DataError      a data set, or a generator trained on one, is missing, broken, or does not fit
├── VictimError    the victim cannot be loaded, failed, or answered with something unusable
├── QueryError     the inputs are not what the victim's API accepts; nothing was sent
├── LostRowsError  the limit of rows paid without an answer is reached; no more are risked
├── BudgetError    the batch does not fit the remaining budget; nothing was sent
├── AnswersError   the attack needs answers that this threat model does not give
├── LedgerError    the ledger is broken, altered, in use, or of another audit
├── ReplayError    a resumed run asked something else than the recorded run did
├── PrecisionError arithmetic too coarse for finite differences
└── RunError       a run folder is missing, incomplete, or cannot be written

An error says what happened, what was got and what was wanted. Its remedies are data: `str(error)`
words them for Python, `clonecost.cli.errors` words the same remedies for the command line.

Example:
    >>> print(SpecError("The budget is too small.", SetKey("budget", 512), got=100, want="512"))
    The budget is too small: got 100, want 512. Set `query_budget=512`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

Listed = Literal[
    "attacks", "victims", "datasets", "networks", "defences", "countermeasures", "detectors",
    "generators", "suites", "backbones",
]  # fmt: skip
Workflow = Literal[
    "audit",
    "plan",
    "resume",
    "replay",
    "transfer",
    "detect",
    "verify",
    "salvage",
    "export",
    "report",
    "train generator",
    "train victim",
    "train misinformation",
]

# Keys of a spec whose Python name differs; every other key has the same name in `Audit`,
# `ThreatModel` or the function that takes it.
PYTHON_NAMES = {
    "budget": "query_budget", "defence": "defences", "shape": "input_shape",
    "classes": "num_classes", "data": "root",
}  # fmt: skip


@dataclass(frozen=True)
class SetKey:
    """Give the spec's key `key` (of `Spec`) a value: `value`, or one that fits."""

    key: str
    value: object = None


@dataclass(frozen=True)
class DropKey:
    """Leave the spec's key `key` out."""

    key: str


@dataclass(frozen=True)
class ChooseFrom:
    """Choose another name from the list of `kind`, or one of the settings of its part `part`."""

    kind: Listed
    part: str = ""


@dataclass(frozen=True)
class RunWorkflow:
    """Run a workflow on `target`: a run folder, a spec, a name; with `change` set, if given."""

    workflow: Workflow
    target: str | Path | None = None
    change: SetKey | None = None


@dataclass(frozen=True)
class Advice:
    """A remedy that is the same in every interface: one sentence, without its full stop."""

    sentence: str


_NAME = 100  # characters of an unknown name in a message

Remedy = SetKey | DropKey | ChooseFrom | RunWorkflow | Advice


class CloneCostError(Exception):
    """Base class: `except CloneCostError` catches everything that is raised on purpose.

    The command line prints one line, what happened and the remedies, and exits with status 2.

    Args:
        what: what happened, one sentence that names the thing.
        remedies: what the caller can do, the best first.
        got: what was found, if that is not in the sentence yet.
        want: what was wanted.
    """

    def __init__(
        self, what: str, *remedies: Remedy, got: object = None, want: object = None
    ) -> None:
        self.what, self.remedies, self.got, self.want = what, remedies, got, want
        super().__init__(what)

    @property
    def fact(self) -> str:
        """What happened, got against wanted, without a remedy."""
        pairs = (("got", self.got), ("want", self.want))
        against = ", ".join(f"{word} {value}" for word, value in pairs if value is not None)
        if against:
            return f"{self.what.removesuffix('.')}: {against}."
        return self.what

    def __str__(self) -> str:
        return worded(self.fact, [in_python(remedy) for remedy in self.remedies])


class SpecError(CloneCostError):
    """The audit as written cannot be run."""


class ConsentError(CloneCostError):
    """A file asks for what only the person at the keyboard may allow; nothing was done."""


class DataError(CloneCostError):
    """A data set, or a generator trained on one, is missing, broken, or does not fit."""


class VictimError(CloneCostError):
    """The victim cannot be loaded, failed, or answered with something unusable."""


class QueryError(CloneCostError):
    """The inputs are not what the victim's API accepts; nothing was sent."""


class LostRowsError(CloneCostError):
    """The limit of rows paid without an answer is reached."""


class BudgetError(CloneCostError):
    """The batch does not fit the remaining budget; nothing was sent."""

    def __init__(self, *, requested: int, spent: int, budget: int) -> None:
        self.requested, self.spent, self.budget = requested, spent, budget
        super().__init__(
            f"{requested:,} queries were requested with {budget - spent:,} left ({spent:,} of "
            f"{budget:,} spent); nothing was sent"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """As a worker's answer: the arguments are named."""
        return partial(BudgetError, requested=self.requested, spent=self.spent,
                       budget=self.budget), ()  # fmt: skip


class AnswersError(CloneCostError):
    """The attack needs answers that this threat model does not give."""


class LedgerError(CloneCostError):
    """The ledger is broken, altered, in use, or of another audit."""


class ReplayError(CloneCostError):
    """A resumed run asked something else than the recorded run did."""


class PrecisionError(CloneCostError):
    """Arithmetic too coarse for finite differences."""


class RunError(CloneCostError):
    """A run folder is missing, incomplete, or cannot be written."""


def worded(fact: str, remedies: list[str]) -> str:
    """The fact and its remedies as sentences on one line."""
    if not remedies:
        return fact
    said = "; or ".join(remedies)
    return f"{fact.removesuffix('.')}. {said[0].upper()}{said[1:]}."


def in_python(remedy: Remedy) -> str:
    """A remedy in the words of the Python interface, without capital and full stop."""
    match remedy:
        case SetKey(key, value):
            name = PYTHON_NAMES.get(key, key).removeprefix("set.")  # a setting: `dfme.step`
            return f"set `{name}`" if value is None else f"set `{name}={value!r}`"
        case DropKey(key):
            return f"leave `{PYTHON_NAMES.get(key, key)}` out"
        case ChooseFrom(_, part) if part:
            return f"choose one of the settings of `{part}`"
        case ChooseFrom(kind):
            return f"choose one of `clonecost.names({kind!r})`"
        case RunWorkflow("resume" | "audit", _, change):
            again = "call `run_audit` again with the same audit"
            return f"{again} and {_changed(change)}" if change else again
        case RunWorkflow(workflow, target, change):
            name = workflow.replace(" ", "_")
            call = f"call `{name}({str(target)!r})`" if target else f"call `{name}`"
            return f"{call} with {_changed(change)}" if change else call
        case Advice(sentence):
            return sentence


def _changed(change: SetKey) -> str:
    name = PYTHON_NAMES.get(change.key, change.key)
    return f"another `{name}`" if change.value is None else f"`{name}={change.value!r}`"


def suggest(kind: str, name: str, known: "list[str] | tuple[str, ...]") -> str:
    """One sentence for an unknown name: what was asked, the nearest known one, and all of them."""
    import difflib

    if len(name) > _NAME:  # of a damaged file, or a stranger's
        name = f"{name[:_NAME]}..."
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(sorted(known)) or 'none'}"
