"""Do adversarial examples made on the clone fool the victim?

Szegedy et al. (ICLR 2014) found that they often do; Papernot et al. (AsiaCCS 2017,
https://arxiv.org/abs/1602.02697) steal models for nothing else. The examples are made by the
Adversarial Robustness Toolbox, untargeted, within |x' - x| <= epsilon for every pixel:

    fgsm   one step of epsilon along the sign of the gradient (Goodfellow et al., ICLR 2015)
    pgd    20 steps of epsilon / 8 from a random start (Madry et al., ICLR 2018)
    mim    10 steps of epsilon / 10 with momentum 1 (Dong et al., CVPR 2018), made for transfer
    noise  signs by chance, no clone needed: what any other number must be compared with
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.errors import SpecError
from clonecost.evaluation.scoring import rate
from clonecost.oracle import Oracle
from clonecost.result import Strength
from clonecost.types import LabelledInputs, Progress, no_progress

Method = Literal["fgsm", "pgd", "mim"]
METHODS: tuple[Method, ...] = ("fgsm", "pgd", "mim")
NOISE = "noise"
PGD_STEPS, MIM_STEPS = 20, 10
BATCH = 128  # rows at a time, through the clone and to the API


def rows_asked(rows: int, methods: Sequence[Method], epsilons: Sequence[float]) -> int:
    """Queries at most: as many as if the API named every clean row rightly."""
    return rows * (1 + (len(methods) + 1) * len(epsilons))


def transfer(
    oracle: Oracle,
    clone: nn.Module,
    test: LabelledInputs,
    *,
    methods: Sequence[Method] = METHODS,
    epsilons: Sequence[float] = (0.03, 0.1),
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> tuple[int, list[Strength]]:
    """Ask about every row of `test`, then about examples of those that were named rightly.

    Args:
        oracle: of a budget of at least `rows_asked(...)`.
        clone: pixels in [0, 1], (n, C, H, W) -> (n, K) logits.

    Returns the number of rows named rightly, and a strength for each method and epsilon, the
    control of chance first.

    Raises:
        SpecError: the toolbox is not installed, or no row was named rightly.
    """
    classifier = _classifier(clone, oracle, device)
    total, done = rows_asked(len(test), methods, epsilons), 0  # until it is known who is right

    def named(rows: Tensor) -> Iterator[Tensor]:
        nonlocal done
        for part in rows.split(BATCH):
            yield oracle(part, purpose="validation").argmax(1)
            done += len(part)
            progress("asking about examples", done, total)

    rows, labels = test.rows(slice(None), device), test.labels.to(device)
    right = torch.cat(list(named(rows))) == labels
    count = int(right.sum())
    if not count:
        raise SpecError(
            f"the API names none of {len(test):,} rows of {test.name} rightly: is this the test "
            "set of that victim?"
        )
    total = len(test) + rows_asked(count, methods, epsilons) - count
    rows, labels = rows[right], labels[right]
    found = []
    for epsilon in epsilons:
        for method in (NOISE, *methods):
            moved = _examples(classifier, method, rows, labels, epsilon, seed)
            wrong = torch.cat(list(named(moved))) != labels
            wrong_clone = _named_by(clone, moved) != labels
            found.append(
                Strength(
                    method=method, epsilon=epsilon, fooled=rate(wrong),
                    fooled_clone=rate(wrong_clone),
                )
            )  # fmt: skip
    return count, found


def _examples(
    classifier: Any, method: str, rows: Tensor, labels: Tensor, epsilon: float, seed: int
) -> Tensor:
    """(n, C, H, W) within epsilon of `rows` and within [0, 1]."""
    from art.attacks import evasion

    if method == NOISE:
        rng = torch.Generator().manual_seed(seed)
        signs = torch.randint(2, rows.shape, generator=rng).mul(2).sub(1).to(rows.device)
        return (rows + epsilon * signs).clamp(0, 1)
    if method == "fgsm":
        attack = evasion.FastGradientMethod(classifier, eps=epsilon, batch_size=BATCH)
    elif method == "pgd":
        attack = evasion.ProjectedGradientDescentPyTorch(
            classifier, eps=epsilon, eps_step=epsilon / 8, max_iter=PGD_STEPS, num_random_init=1,
            batch_size=BATCH, verbose=False,
        )  # fmt: skip
    else:
        attack = evasion.MomentumIterativeMethod(
            classifier, eps=epsilon, eps_step=epsilon / MIM_STEPS, max_iter=MIM_STEPS, decay=1.0,
            batch_size=BATCH, verbose=False,
        )  # fmt: skip
    before = np.random.get_state()  # the toolbox draws its random starts from there
    np.random.seed(seed)
    try:
        made = attack.generate(x=rows.cpu().numpy(), y=labels.cpu().numpy())
    finally:
        np.random.set_state(before)
    # float32 sums can step over the edge by a bit or two
    moved = torch.from_numpy(made).float().to(rows.device)
    return moved.clamp(rows - epsilon, rows + epsilon).clamp(0, 1)


@torch.no_grad()
def _named_by(clone: nn.Module, rows: Tensor) -> Tensor:
    return torch.cat([clone(part).argmax(1) for part in rows.split(BATCH)])


def _classifier(clone: nn.Module, oracle: Oracle, device: torch.device | str) -> Any:
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise SpecError(
            "adversarial examples are made by the Adversarial Robustness Toolbox, which is not "
            "installed: pip install 'clonecost[robust]'"
        ) from error
    return PyTorchClassifier(
        model=clone.eval(), loss=nn.CrossEntropyLoss(), input_shape=oracle.threat.input_shape,
        nb_classes=oracle.threat.num_classes, clip_values=(0.0, 1.0),
        device_type="cpu" if torch.device(device).type == "cpu" else "gpu",
    )  # fmt: skip
