"""How good is a clone? Pure functions of a clone and verdicts bought beforehand."""

import copy
from dataclasses import dataclass, replace

import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from clonecost.oracle import Oracle
from clonecost.result import ClassAgreement, Rate, Score, TableScore
from clonecost.tabular.features import uniform_rows
from clonecost.training.losses import kl, l1
from clonecost.types import LabelledInputs

BATCH = 512
UNIFORM_SEED = 1_609_02943  # of the rows behind R_unif: the same for all audits of a table


def rate(hits: Tensor) -> Rate:
    """The share of true entries in (n,) with its 95 % Wilson interval."""
    successes, rows = int(hits.sum()), len(hits)
    interval = binomtest(successes, rows).proportion_ci(0.95, method="wilson")
    return Rate(value=successes / rows, low=max(0.0, interval.low), high=min(1.0, interval.high))


@dataclass(frozen=True)
class Reference:
    """The test set with the *undefended* victim's answers, bought before the attack starts."""

    test: LabelledInputs  # on the scoring device
    answers: Tensor  # (n, K) probabilities
    # of a table: rows drawn evenly from the ranges of its features, (u, d), and their answers
    uniform: tuple[Tensor, Tensor] | None = None

    @classmethod
    def buy(
        cls, oracle: Oracle, test: LabelledInputs, device: torch.device, *, uniform: int = 0
    ) -> "Reference":
        """Ask for every test row once, through the evaluation account: costs len(test) there.

        Args:
            uniform: of a table's victim, ask about so many uniform rows, too.
        """
        index = torch.arange(len(test))
        answers = torch.cat([oracle(test.rows(rows, device)) for rows in index.split(BATCH)])
        features = oracle.threat.features
        test = replace(test, features=features)
        if features is None or not uniform:
            return cls(test.to(device), answers)
        rng = torch.Generator().manual_seed(UNIFORM_SEED)
        rows = uniform_rows(features, uniform, rng).to(device)
        bought = rows, torch.cat([oracle(part) for part in rows.split(BATCH)])
        return cls(test.to(device), answers, bought)

    @property
    def verdicts(self) -> Tensor:
        """(n,) the victim's top class."""
        return self.answers.argmax(1)

    def victim_accuracy(self) -> Rate:
        return rate(self.verdicts == self.test.labels)

    def majority(self) -> float:
        """Agreement of a clone that always names the victim's commonest class."""
        return int(self.verdicts.bincount().max()) / len(self.verdicts)


@torch.no_grad()
def _logits(clone: nn.Module, reference: Reference) -> Tensor:
    """(n, K), from a copy in eval mode: an attack in progress must not notice being watched."""
    frozen = copy.deepcopy(clone).eval()
    device = reference.test.inputs.device
    index = torch.arange(len(reference.test), device=device)
    return torch.cat([frozen(reference.test.rows(rows, device)) for rows in index.split(BATCH)])


def score(clone: nn.Module, reference: Reference, *, queries: int) -> Score:
    """Accuracy, agreement and KL of a clone on the whole test set."""
    logits = _logits(clone, reference)
    guess = logits.argmax(1)
    accuracy = rate(guess == reference.test.labels)
    victims = reference.victim_accuracy().value
    return Score(
        queries=queries,
        accuracy=accuracy,
        agreement=rate(guess == reference.verdicts),
        relative_accuracy=accuracy.value / victims if victims else 0.0,
        kl=float(kl(logits, reference.answers).mean().clamp_min(0)),  # -1e-17 is rounding
        table=_on_table(clone, logits, reference),
    )


@torch.no_grad()
def _on_table(clone: nn.Module, logits: Tensor, reference: Reference) -> TableScore | None:
    """Tramèr et al.'s errors, USENIX Security 2016, §4.1; None for images."""
    if reference.test.features is None:
        return None
    guess = logits.argmax(1)
    found = TableScore(
        r_test=rate(guess != reference.verdicts),
        tv_test=_total_variation(logits, reference.answers),
    )
    if reference.uniform is None:
        return found
    rows, answers = reference.uniform
    frozen = copy.deepcopy(clone).eval()
    logits = torch.cat([frozen(part) for part in rows.split(BATCH)])
    return found.model_copy(update={
        "uniform_rows": len(rows),
        "r_unif": rate(logits.argmax(1) != answers.argmax(1)),
        "tv_unif": _total_variation(logits, answers),
    })  # fmt: skip


def _total_variation(logits: Tensor, answers: Tensor) -> float:
    """The mean of 1/2 sum_k |p_k - q_k|."""
    return float(l1(logits, answers).mean() / 2)


def per_class(clone: nn.Module, reference: Reference) -> list[ClassAgreement]:
    """Agreement on the rows of each of the victim's verdicts."""
    guess = _logits(clone, reference).argmax(1)
    verdicts = reference.verdicts
    found = []
    for k in range(reference.answers.shape[1]):
        rows = verdicts == k
        count = int(rows.sum())
        name = reference.test.classes[k] if k < len(reference.test.classes) else str(k)
        agreement = rate(guess[rows] == k) if count else None
        found.append(ClassAgreement(name=name, rows=count, agreement=agreement))
    return found
