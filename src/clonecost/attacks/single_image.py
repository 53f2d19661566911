"""Single Image: asks patches of one public picture, each once, and trains on the very same views.

Asano, Saeed, ICLR 2023, https://arxiv.org/abs/2112.00725; here with a query budget.

    1. x = a view of the picture: patch, turn, shear, colour; half of them CutMix of two patches
    2. y = victim(x)                                                      one query a view
    3. min over S of  mean of T^2 KL(softmax(log y / T) || softmax(S(x) / T))    from scratch

Differs from the paper: see docs/attacks/single_image.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    at_most,
    out_of_range,
)
from clonecost.data.fitting import fit_rows
from clonecost.data.part_rows import part
from clonecost.data.whole_picture import pictures_in, whole_picture
from clonecost.errors import ChooseFrom, SetKey, SpecError
from clonecost.networks.pretrained import Start
from clonecost.oracle import Oracle
from clonecost.query_synthesis.active_selection import probabilities
from clonecost.query_synthesis.picture_views import NUMBERS, PictureViews, ViewSettings, views_of
from clonecost.training.distill import Recipe, distill
from clonecost.types import Shape, ThreatModel, answered, as_pixels

CHOICES = (1.0, 8.0)  # no temperature, and the published one
FEWEST = 50  # bought views on which a choice is made


@dataclass(frozen=True, kw_only=True)
class SingleImage:
    """Asks views of one picture once each, then trains each clone from scratch on these views.

    Example:
        >>> SingleImage(temperature=8.0, cutmix=0.5)
    """

    picture: int = 0  # its place in the proxy data; of `photos`: 0 the temple, 1 the flower
    scale: float = 0.01  # smallest share of the picture that a patch shows
    turn: float = 30.0  # largest angle and largest slant of a patch, in degrees
    jitter: float = 0.4  # largest change of brightness, contrast and each channel
    invert: float = 0.0  # share of the patches whose light and dark are exchanged
    cutmix: float = 0.5  # share of the views in which a box shows another patch
    mixup: float = 0.0  # share of the views that are a weighted mean of two patches
    # T of the student's loss; None: 1 or 8, whichever predicts a fifth of the bought views better
    # after a fifth of the epochs. Labels alone, and several labels a row, are taken with 1.
    temperature: float | None = None
    epochs: int = 60  # epochs of each scored clone
    batch_size: int = 256  # rows per call of the victim

    declares: ClassVar = Declaration(
        needs="label",
        proxy="changed",
        skips_refused=True,
        multi_label=True,
        by_settings=("clone_epochs", "unfit"),
    )

    def __post_init__(self) -> None:
        at_least(0, self, "picture", "turn", "jitter", "invert", "cutmix", "mixup")
        at_least(1, self, "temperature", "epochs", "batch_size")
        at_least(1e-6, self, "scale")
        at_most(1, self, "scale", "jitter", "invert", "cutmix", "mixup")
        at_most(80, self, "turn")
        if self.cutmix + self.mixup > 1:
            raise out_of_range(self, "mixup", f"at most {1 - self.cutmix:g}, the rest of cutmix")

    def clone_epochs(self, start: Start) -> int:
        tried = len(CHOICES) * self._short if self.temperature is None else 0
        return self.epochs + tried

    @property
    def _short(self) -> int:
        """Epochs after which a temperature is chosen."""
        return max(1, self.epochs // 5)

    def unfit(self, threat: ThreatModel) -> SpecError | None:
        if not threat.multi_label or self.temperature in (None, 1):
            return None
        return SpecError(
            "its temperature needs the probabilities of all classes, of which one is right",
            SetKey("set.single_image.temperature", 1), got=self.temperature,
        )  # fmt: skip

    def plan(self, budget: int) -> str:
        return (
            f"queries {budget:,} views of one picture once each, then trains each scored clone for "
            f"{self.epochs} epochs"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        threat, shape = oracle.threat, oracle.threat.input_shape
        soft = threat.answers != "label" and not threat.multi_label
        picture = self._picture(shape, kit)
        numbers: list[Tensor] = []
        answers: list[Tensor] = []

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            views = self._views(picture, shape, torch.cat(numbers)[:bought])
            return self._clone(views, torch.cat(answers)[:bought], kit, soft=soft)

        for _ in kit.loop(lambda _: oracle.remaining > 0, numbers=numbers, answers=answers):
            # a whole batch is drawn also where the budget ends: a larger one goes on from there
            drawn = torch.rand(self.batch_size, NUMBERS, generator=kit.rng, device=kit.device)
            numbers.append(drawn[: oracle.remaining])
            answers.append(oracle(as_pixels(self._views(picture, shape, numbers[-1])[:])))
            yield DeferredClone(clone)

    def _picture(self, shape: Shape, kit: AttackerKit) -> Tensor:
        """(C, h, w) uint8, with the victim's channels and in the picture's own size."""
        pool = kit.required_proxy(self, "photos")
        if len(shape) != 3:
            raise SpecError(
                "single_image does not fit the shape of the victim's inputs",
                ChooseFrom("attacks"), got=shape, want="images (C, H, W)",
            )  # fmt: skip
        if self.picture >= (held := pictures_in(pool)):
            raise out_of_range(self, "picture", f"at most {held - 1:,}: {pool.name} holds {held:,}")
        whole = whole_picture(pool, self.picture)
        return fit_rows(whole[None], (shape[0], *whole.shape[1:]))[0]

    def _views(self, picture: Tensor, shape: Shape, numbers: Tensor) -> PictureViews:
        settings = ViewSettings(
            scale=self.scale, turn=self.turn, jitter=self.jitter, invert=self.invert,
            cutmix=self.cutmix, mixup=self.mixup,
        )  # fmt: skip
        return views_of(picture, shape, settings, numbers)

    def _clone(
        self, views: PictureViews, answers: Tensor, kit: AttackerKit, *, soft: bool
    ) -> nn.Module:
        every = torch.arange(len(views))
        temperature = self._temperature(views, answers, kit) if soft else CHOICES[0]
        return _trained(views, every, answers, temperature, Recipe(epochs=self.epochs), kit)

    def _temperature(self, views: PictureViews, answers: Tensor, kit: AttackerKit) -> float:
        """The setting, else the better one of two on bought views that take no part in training."""
        if self.temperature is not None:
            return self.temperature
        told = answered(answers).nonzero().flatten()
        told = told[torch.randperm(len(told), generator=kit.rng, device=kit.device)].cpu()
        held, rest = told[: len(told) // 5], told[len(told) // 5 :]
        if len(held) < FEWEST:
            return CHOICES[0]
        recipe = Recipe(epochs=self._short, validation=0.0)
        inputs, top = part(views, held, kit.device), answers[held.to(kit.device)].argmax(1)
        agreed = []
        for temperature in CHOICES:
            student = _trained(views, rest, answers, temperature, recipe, kit)
            agreed.append(int((probabilities(student, inputs).argmax(1) == top).sum()))
        return CHOICES[agreed.index(max(agreed))]


def _trained(
    views: PictureViews, places: Tensor, answers: Tensor, temperature: float, recipe: Recipe,
    kit: AttackerKit,
) -> nn.Module:  # fmt: skip
    """A student trained from scratch on the views at `places`, (m,) on the CPU."""
    student = kit.new_student()
    distill(
        student, part(views, places, kit.device), answers[places.to(kit.device)],
        replace(recipe, temperature=None if temperature == 1 else temperature),
        rng=kit.rng, progress=kit.progress, loop=kit.loop,
    )  # fmt: skip
    return student
