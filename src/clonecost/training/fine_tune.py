"""Train a student that starts from weights of others: linear probing, then fine-tuning.

Everything is decided on a tenth of the rows that were paid for: the loss and the penalty of the
probe, whether rows are augmented, and which of the candidates is handed over.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clonecost.networks.pretrained import Pretrained
from clonecost.persistence.resumable_loop import Loop, plain
from clonecost.training.augmentation import Augment, augment
from clonecost.training.distill import at_places, mean_kl, seeded
from clonecost.training.linear_head import best_head, features_of
from clonecost.training.losses import TEMPERATURES, Loss, student_loss
from clonecost.training.mixed_precision import autocast_bfloat16
from clonecost.training.optimisers import AdamW
from clonecost.training.read_ahead import batches_of
from clonecost.training.weight_averaging import WeightAverages
from clonecost.types import Progress, Rows, Shape, answered, as_pixels, no_progress

GROUPS = 8  # of layers, each with its own rate
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LEAST = 32  # pixels: a low-resolution stage never goes below
FitHead = Callable[..., None]  # as `best_head`
WAYS: tuple[Augment, ...] = ("none", "crop+flip")  # of augmentation, that are tried out


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Settings of the training of a pretrained student.

    Example:
        >>> FineTune(epochs=0).plan
        'by linear probing'
    """

    epochs: int = 4  # at the student's own size; 0 and no low epochs: linear probing only
    low_epochs: int = 4  # before them, at a lower resolution
    low_resolution: float = 0.6  # the side of those, as a share of the student's own
    lr: float = 5e-4  # of the last group of layers
    layer_decay: float = 0.75  # the rate of a group is that of the next one times this
    weight_decay: float = 0.01
    batch_size: int = 32
    warm_up: float = 0.1  # share of the steps in which the rate rises from 0; then cosine to 0
    # probe: a training with and one without flips and shifts, and the better one's way
    augment: Augment | Literal["probe"] = "probe"
    # T of E3's loss (`losses.tempered`); sweep: by short trainings, one each; None: KL
    temperature: float | Literal["sweep"] | None = None
    bfloat16: bool = True  # where this machine trains faster with it
    validation: float = 0.1  # share of the rows, by which everything is decided

    @property
    def passes(self) -> int:
        """Epochs of all stages."""
        return self.epochs + self.low_epochs

    @property
    def plan(self) -> str:
        """The stages in words."""
        if not self.passes:
            return "by linear probing"
        return (
            f"by linear probing, {self.low_epochs} epochs at a lower resolution, {self.epochs} more"
        )


def fine_tune(
    student: Pretrained, inputs: Rows, answers: Tensor, recipe: FineTune, *,
    rng: torch.Generator, progress: Progress = no_progress, loop: Loop = plain,
    fit: FitHead = best_head,
) -> None:  # fmt: skip
    """Train `student` in place, as `distill` does for a student from scratch. Sends no query.

    1. Linear probing: the head is fitted to the features of all rows, computed once, but for the
       held-out ones if it is to be compared on these.
    2. If the student is not frozen: all layers, with rates that fall towards the input, a warm-up
       and a cosine; batch norm keeps its statistics; an average of the weights goes along. Once for
       each way of augmentation that is tried.
    3. Of the probed student, the trained ones and their averages, the one with the lowest KL on the
       held-out rows remains. The head of the probed one is fitted again, to all rows.

    Args:
        inputs: (n, C, H, W), uint8 or pixels in [0, 1], as of `distill`.
        answers: (n, K), rows on the simplex; rows without an answer, all zeros, take no part.
        rng: draws the split, the order and the augmentation.
        fit: the head, from (student, features, answers, held out, whole=...), see `best_head`.
    """
    told = answered(answers).nonzero().flatten()
    mixed = torch.randperm(len(told), generator=rng, device=rng.device).to(told.device)
    order = told[mixed]
    count = int(recipe.validation * len(told))
    held_out = torch.arange(len(told), device=told.device) < count
    # in the order of buying: a later clone's features begin with those of an earlier one
    features = features_of(student, inputs, told, progress)[mixed]
    done = student.frozen or not recipe.passes or not count
    fit(student, features, answers[order], held_out, whole=done)
    if done:
        return
    held, training = order[:count], order[count:]
    rows = _Rows(inputs, answers, training, held)
    if recipe.temperature == "sweep":
        plain_rows = replace(recipe, augment="none")
        found = [replace(plain_rows, temperature=one) for one in TEMPERATURES]
        best = _best_short(student, rows, found, rng, progress)
        recipe = replace(recipe, temperature=best.temperature)
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    ways = WAYS if recipe.augment == "probe" else (recipe.augment,)
    trained = [deepcopy(student) for _ in ways]
    for copy, way in zip(trained, ways, strict=True):  # from the same start, in the same order
        branch = torch.Generator(rng.device).manual_seed(seed)
        _train(copy, rows, replace(recipe, augment=way), branch, progress, loop)
    chosen = _best_of([*trained, student], rows)
    if chosen is student:  # no training was better than none
        fit(student, features, answers[order], held_out, whole=True)
    else:
        student.load_state_dict(chosen.state_dict())
    student.train()


@dataclass(frozen=True)
class _Rows:
    inputs: Rows
    answers: Tensor
    training: Tensor
    held_out: Tensor

    def kl(self, student: nn.Module) -> float:
        """In nats, on the held-out rows."""
        return mean_kl(student, at_places(self.inputs, self.held_out), self.answers[self.held_out])


def _best_short(
    student: Pretrained, rows: _Rows, recipes: list[FineTune], rng: torch.Generator,
    progress: Progress,
) -> FineTune:  # fmt: skip
    """The recipe whose short training from the same start does best on the held-out rows."""
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    scores = []
    for recipe in recipes:
        copy, branch = deepcopy(student), torch.Generator(rng.device).manual_seed(seed)
        low = min(1, recipe.low_epochs)
        short = replace(recipe, epochs=1 - low, low_epochs=low)
        _train(copy, rows, short, branch, progress, plain)
        scores.append(rows.kl(copy))
    return recipes[scores.index(min(scores))]


def _train(
    student: Pretrained, rows: _Rows, recipe: FineTune, rng: torch.Generator, progress: Progress,
    loop: Loop,
) -> None:  # fmt: skip
    """All layers; the student becomes the better one of itself and its average."""
    loss_of = student_loss("kl", recipe.temperature, rows.answers)
    steps = -(-len(rows.training) // recipe.batch_size) * recipe.passes
    optimizer = AdamW(layer_groups(student, recipe), fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(recipe, steps))
    average = WeightAverages(student, [1 - min(0.1, 10 / steps)])
    state = {"student": student, "optimizer": optimizer, "scheduler": scheduler, "ema": average}
    with seeded(rng):
        for epoch in loop(lambda epoch: epoch < recipe.passes, **state, rng=rng):
            _train_mode(student)
            share = recipe.low_resolution if epoch < recipe.low_epochs else 1.0
            order = torch.randperm(len(rows.training), generator=rng, device=rng.device)
            with _at_resolution(student, share):
                batches = rows.training[order].split(recipe.batch_size)
                for batch, x in batches_of(rows.inputs, batches, rows.answers.device):
                    wanted = rows.answers.index_select(0, batch)
                    _step(student, x, wanted, loss_of, recipe, rng)
                    optimizer.step()
                    optimizer.zero_grad()
                    scheduler.step()
                    average.update()
            progress("fine-tuning the student", epoch + 1, recipe.passes)
    student.load_state_dict(_best_of(average.networks(), rows).state_dict())


def _step(
    student: nn.Module, inputs: Tensor, wanted: Tensor, loss_of: Loss, recipe: FineTune,
    rng: torch.Generator,
) -> None:  # fmt: skip
    how: Augment = "none" if recipe.augment == "probe" else recipe.augment
    x = as_pixels(augment(inputs, how, rng))
    with autocast_bfloat16(x.device, recipe.bfloat16):
        logits = student(x).float()
    loss_of(logits, wanted).mean().backward()


def layer_groups(student: Pretrained, recipe: FineTune) -> list[dict[str, Any]]:
    """The parameters in groups from the input to the head, each with its own rate.

    The encoder's parameters, in the order in which it lists them, are cut into equal groups.
    """
    body = [one for one in student.encoder.parameters() if one.requires_grad]
    size = max(1, -(-len(body) // GROUPS))
    cuts = [body[at : at + size] for at in range(0, len(body), size)]
    groups = [*cuts, list(student.head.parameters())]
    return [
        {"params": group, "weight_decay": recipe.weight_decay,
         "lr": recipe.lr * recipe.layer_decay ** (len(groups) - 1 - depth)}
        for depth, group in enumerate(groups)
    ]  # fmt: skip


def _schedule(recipe: FineTune, steps: int) -> Callable[[int], float]:
    warm = max(1, int(recipe.warm_up * steps))

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return share


def _train_mode(student: nn.Module) -> None:
    """Train mode, but batch norm keeps its statistics, which few rows would spoil."""
    student.train()
    _keep_statistics(student)


def _keep_statistics(network: nn.Module) -> None:
    for part in network.modules():
        if isinstance(part, BATCH_NORMS):
            part.eval()


@contextmanager
def _at_resolution(student: Pretrained, share: float) -> Iterator[None]:
    """The student resizes pictures to a share of its own side, where its encoder takes that."""
    encoder, own = student.encoder, getattr(student.encoder, "input_shape", None)
    if own is None or share == 1.0:
        yield
        return
    sides = [max(min(LEAST, side), int(side * share)) for side in own[1:]]
    encoder.input_shape = (own[0], *sides)  # type: ignore[assignment]
    if not _answers(encoder, own):
        encoder.input_shape = own
    try:
        yield
    finally:
        encoder.input_shape = own


@torch.no_grad()
def _answers(encoder: nn.Module, shape: Shape) -> bool:
    """Whether it gives features of a picture at its present size; transformers take one size."""
    was_training = encoder.training
    device = next(encoder.parameters()).device
    try:
        encoder.eval()(torch.zeros(1, *shape, device=device))
    except Exception:  # any library's network
        return False
    finally:
        encoder.train(was_training)
        _keep_statistics(encoder)
    return True


def _best_of(networks: Sequence[nn.Module], rows: _Rows) -> nn.Module:
    return min(networks, key=rows.kl)
