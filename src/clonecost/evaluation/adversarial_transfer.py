"""Transferability: the share of the clone's adversarial examples that also fool the victim.

Szegedy et al. (ICLR 2014) found that adversarial examples often transfer; Papernot et al. (AsiaCCS
2017, https://arxiv.org/abs/1602.02697) clone models for this purpose only. The Adversarial
Robustness Toolbox makes the examples, untargeted, within |x' - x| <= epsilon for every pixel:

    fgsm   one step of epsilon along the sign of the gradient (Goodfellow et al., ICLR 2015)
    pgd    20 steps of epsilon / 8 from a random start (Madry et al., ICLR 2018)
    mim    10 steps of epsilon / 10 with momentum 1 (Dong et al., CVPR 2018), designed to transfer
    noise  random signs, without a clone: the baseline of the other methods
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from clonecost.errors import Advice, SetKey, SpecError
from clonecost.evaluation.scoring import rate
from clonecost.oracle import Oracle
from clonecost.result import Strength
from clonecost.types import LabelledInputs, Progress, no_progress

Method = Literal["fgsm", "pgd", "mim"]
METHODS: tuple[Method, ...] = ("fgsm", "pgd", "mim")
NOISE = "noise"
PGD_STEPS, MIM_STEPS = 20, 10
BATCH = 128  # rows of one forward pass of the clone, and of one request to the API


def max_queries(rows: int, methods: Sequence[Method], epsilons: Sequence[float]) -> int:
    """The largest possible number of queries: the API classifies every clean row correctly.

    Example:
        >>> max_queries(100, ["fgsm", "pgd"], [0.03])  # 100 clean, noise, fgsm, pgd
        400
    """
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
    """Query every row of `test`, then the examples of the rows that were classified correctly.

    If the test set has no labels, the API's own answer to a row is its class: every row counts, and
    an example fools the API when it changes that answer.

    Args:
        oracle: with a budget of at least `max_queries(...)`.
        clone: pixels in [0, 1], (n, C, H, W) -> (n, K) logits.
        test: images; the first `len(test)` queries.
        epsilons: largest changes of a pixel, in (0, 1].
        seed: draws the signs of the noise and the random starts of pgd.

    Returns:
        The number of rows that the API classified correctly, and a strength for each epsilon and
        method, the noise of each epsilon first.

    Raises:
        SpecError: the toolbox is not installed, or the API classified no row correctly.
    """
    classifier = _classifier(clone, oracle, device)
    total, done = max_queries(len(test), methods, epsilons), 0  # until the clean rows are answered

    def predictions(rows: Tensor) -> Iterator[Tensor]:
        nonlocal done
        for part in rows.split(BATCH):
            yield oracle(part, purpose="validation").argmax(1)
            done += len(part)
            progress("querying adversarial examples", done, total)

    rows = test.rows(slice(None), device)
    answered = torch.cat(list(predictions(rows)))
    labels = test.labels.to(device) if test.labelled else answered
    correct = answered == labels
    count = int(correct.sum())
    if not count:
        raise SpecError(
            f"The API classifies none of the {len(test):,} rows of {test.name} correctly.",
            SetKey("test"),
            Advice("check that the class order is the victim's"),
        )
    total = len(test) + max_queries(count, methods, epsilons) - count
    rows, labels = rows[correct], labels[correct]
    strengths = []
    for epsilon in epsilons:
        for method in (NOISE, *methods):
            examples = _examples(classifier, method, rows, labels, epsilon, seed)
            wrong = torch.cat(list(predictions(examples))) != labels
            wrong_clone = _predictions_of(clone, examples) != labels
            strengths.append(
                Strength(
                    method=method, epsilon=epsilon, fooled=rate(wrong),
                    fooled_clone=rate(wrong_clone),
                )
            )  # fmt: skip
    return count, strengths


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
    before = np.random.get_state()  # the toolbox draws its random starts from this state
    np.random.seed(seed)
    try:
        made = attack.generate(x=rows.cpu().numpy(), y=labels.cpu().numpy())
    finally:
        np.random.set_state(before)
    # float32 sums can exceed the limit by a bit or two
    moved = torch.from_numpy(made).float().to(rows.device)
    return moved.clamp(rows - epsilon, rows + epsilon).clamp(0, 1)


@torch.no_grad()
def _predictions_of(clone: nn.Module, rows: Tensor) -> Tensor:
    return torch.cat([clone(part).argmax(1) for part in rows.split(BATCH)])


def _classifier(clone: nn.Module, oracle: Oracle, device: torch.device | str) -> Any:
    try:
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise SpecError(
            "The Adversarial Robustness Toolbox, which makes the examples, is not installed.",
            Advice("run `pip install 'clonecost[robust]'`"),
        ) from error
    return PyTorchClassifier(
        model=clone.eval(), loss=nn.CrossEntropyLoss(), input_shape=oracle.threat.input_shape,
        nb_classes=oracle.threat.num_classes, clip_values=(0.0, 1.0),
        device_type="cpu" if torch.device(device).type == "cpu" else "gpu",
    )  # fmt: skip
