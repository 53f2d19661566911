"""Frozen head: guesses the public backbone of a fine-tuned model, and solves for its private head.

Zanella-Béguelin, Tople, Paverd, Köpf, ICML 2021; its equations are those of Tramèr et al., USENIX
Security 2016, on features. The victim is x -> softmax(W phi(x) + b), and phi(x) in R^d is public:

    1. phi(x) of pictures of the pool, which costs no query; of them the rows whose features span
       the space best (pivoted QR), or rows in random order
    2. log p_k - mean_j log p_j = (w_k - mean w) phi(x) + b_k - mean b      K equations a query
    3. W, b by least squares: d + 1 rows determine all that softmax does not ignore; fewer rows, or
       answers that show less, give an estimate (`clonecost.tabular.linear_head`)

`rows` (d + 1) rows come first. If the equations hold on rows that they leave out, the attack ends;
otherwise it asks more in rounds, up to the budget: with labels those nearest to a tie. With
`fine_tune` a clone whose equations do not hold is trained from there on the rows bought.

Differs from the papers: see docs/attacks/frozen_head.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks._solved_start import RECIPE, shortfall, trained_from, unfit_for
from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.backbones import Backbone, load_backbone, with_head
from clonecost.data.part_rows import part as part_of
from clonecost.errors import SpecError
from clonecost.networks.pretrained import Start
from clonecost.oracle import Oracle
from clonecost.tabular.answer_digits import step_of
from clonecost.tabular.linear_head import pivoted_rows, solve_head
from clonecost.training.log_ratio_head import Head
from clonecost.training.recipes import passes_of
from clonecost.types import ProxyData, ThreatModel, answered

EXACT = 1e-5  # share of the variation that an exact solution leaves; float32 answers leave 1e-9
ROUND = 256  # rows, at least; of many features a quarter of the first rows
BATCH = 64  # pictures of which features are made at a time, between two signs of progress


@dataclass(frozen=True, kw_only=True)
class FrozenHead:
    """Solves for the last layer of a model whose backbone is public.

    Example:
        >>> FrozenHead(backbone="my_models:encoder", size=96)
    """

    # the guess: a name, an ONNX file, or module:name of own code (`clonecost list backbones`)
    backbone: str = "efficientnet-lite0"
    size: int | None = None  # side to which pictures are resized for it; None: its own
    # of its pixels: imagenet, half (to [-1, 1]) or none; own: that of the backbone
    normalisation: Literal["own", "imagenet", "half", "none"] = "own"
    rows: float = 1.2  # rows asked first, for each of the d + 1 unknowns of a class
    candidates: float = 1.5  # pictures whose features are made, for each row of the rounds so far
    order: Literal["random", "pivoted"] = "pivoted"  # how rows are chosen before any is asked
    batch_size: int = 128  # rows per call of the victim
    # where the equations do not hold: train backbone and solved head on the paid rows
    fine_tune: bool = False

    declares: ClassVar = Declaration(
        needs="label", proxy="asked", skips_refused=True, by_settings=("unfit", "clone_epochs")
    )

    def clone_epochs(self, start: Start) -> int:
        # 2: features of the candidates take about as long as so many epochs on the rows
        return 2 + self.fine_tune * passes_of(RECIPE, "pretrained")

    def __post_init__(self) -> None:
        at_least(0.01, self, "rows")
        at_least(1, self, "candidates", "batch_size", "size")

    def plan(self, budget: int) -> str:
        return (
            f"makes features of proxy pictures by {self.backbone}, without a query; queries up to "
            f"{budget:,} of them, until the last layer's equations have an exact solution"
        )

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        return unfit_for(self.backbone, threat)

    def public(self) -> Backbone:
        """The backbone that is guessed."""
        pixels = None if self.normalisation == "own" else self.normalisation
        return load_backbone(self.backbone, size=self.size, normalisation=pixels)

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        backbone = self.public()
        backbone.as_module(frozen=not self.fine_tune)  # refused before a query if it must train
        steps = _Steps(self, oracle, kit, kit.required_proxy(self), backbone)
        for _ in kit.loop(lambda _: steps.go_on(), asked=steps.asked, answers=steps.answers):
            steps.ask()
            yield DeferredClone(steps.clone)
        steps.tell()


@dataclass
class _Steps:
    """What the attack has asked so far, and what it asks next."""

    attack: FrozenHead
    oracle: Oracle
    kit: AttackerKit
    pool: ProxyData  # its rows in the order of `places`, whose first have `features`
    backbone: Backbone
    asked: list[Tensor] = field(default_factory=list)  # places in that order
    answers: list[Tensor] = field(default_factory=list)
    solved: dict[int, Head] = field(default_factory=dict)  # by their rows

    def __post_init__(self) -> None:
        rng = self.kit.rng
        self.places = torch.randperm(len(self.pool), generator=rng, device=rng.device).cpu()
        self.features, self.order = torch.zeros(0, self.backbone.features), torch.zeros(0).long()
        self.first = ceil(self.attack.rows * (self.backbone.features + 1))
        self.round = max(ROUND, ceil(self.first / 4))

    @property
    def spent(self) -> int:
        return sum(map(len, self.asked))

    def go_on(self) -> bool:
        """Whether rows are left, and no round has ended with an exact solution."""
        if not self.oracle.remaining or self.spent == len(self.pool):
            return False
        over = self.spent >= self.first and (self.spent - self.first) % self.round == 0
        return not (over and self._exact(self.spent))

    def ask(self) -> None:
        """Ask the next rows of this round; what they are does not depend on the budget."""
        begins = 0 if self.spent < self.first else self.first
        begins += max(0, self.spent - self.first) // self.round * self.round
        ends = begins + (self.round if begins else self.first)
        self._make_features(ceil(self.attack.candidates * ends))
        new = torch.ones(len(self.features), dtype=torch.bool)
        if self.asked:
            new[torch.cat(self.asked)] = False
        if begins and self.oracle.threat.answers == "label":
            two = self._head(begins).logits(self.features).softmax(1).topk(2, 1).values
            order = (two[:, 0] - two[:, 1]).argsort()
        elif begins or self.attack.order == "random":
            order = torch.arange(len(new))
        else:
            if not len(self.order):
                self.order = pivoted_rows(self.features, ends)
            order = self.order
        rows = order[new[order]][: min(self.attack.batch_size, ends - self.spent)]
        index = self.places[rows[: self.oracle.remaining]]
        pixels = self.pool.rows(index, self.kit.device)
        self.answers.append(self.oracle(pixels, index=index).cpu())
        self.asked.append(rows[: len(index)])

    def _make_features(self, count: int) -> None:
        whole = ceil(count / BATCH) * BATCH  # so that a row has the same neighbours in any run
        if whole <= len(self.features):
            return
        made = [self.features]
        for part in self.places[len(self.features) : whole].split(BATCH):
            made.append(self.backbone(self.pool.rows(part, self.kit.device)).cpu())
            self.kit.progress("making features", sum(map(len, made)), min(whole, len(self.pool)))
        self.features = torch.cat(made)

    def _exact(self, rows: int) -> bool:
        return 1 - self._head(rows).explained < EXACT

    def _bought(self, rows: int) -> tuple[Tensor, Tensor, float]:
        """Places and answers of the first rows, and the step to which these are rounded."""
        answers = torch.cat(self.answers)[:rows]
        rounded = self.oracle.threat.answers == "probs" and step_of(answers[answered(answers)])
        return torch.cat(self.asked)[:rows], answers, float(rounded)

    def _head(self, rows: int) -> Head:
        if rows not in self.solved:
            asked, answers, step = self._bought(rows)
            self._make_features(int(asked.max()) + 1)  # none are there after a resume
            told = answered(answers)
            known, kind = self.features[asked[told]], self.oracle.threat.answers
            self.solved[rows] = solve_head(known, answers[told], kind, step=step)
        return self.solved[rows]

    def clone(self, rows: int, kit: AttackerKit) -> nn.Module:
        if self.attack.fine_tune and not self._exact(rows):
            asked, answers, step = self._bought(rows)
            inputs = part_of(self.pool.inputs, self.places[asked], kit.device)
            kind = self.oracle.threat.answers
            return trained_from(self.backbone, inputs, answers, kind, step, kit)
        head = self._head(rows)
        return with_head(self.backbone, head.weight, head.bias).to(kit.device)

    def tell(self) -> None:
        """Say so if the clone is no exact copy."""
        kind, spent = self.oracle.threat.answers, self.spent
        whole = not spent or self._exact(spent)
        self.kit.remark("" if whole else shortfall(self._head(spent), spent, self.backbone, kind))


PROFILES = {"fine_tune": FrozenHead(fine_tune=True)}
