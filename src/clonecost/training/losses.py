"""Distances between a student's logits and the victim's answers. One value per row, shape (n,)."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.errors import SpecError

Loss = Callable[[Tensor, Tensor], Tensor]
Recovery = Literal["mean", "min", "none"]
StudentLoss = Literal["kl", "bce", "l1", "l2"]
TEMPERATURES = (1.0, 4.0, 20.0, 1000.0)  # of `tempered`, that a sweep tries
ROUNDED = 4  # decimals up to which rounding is recognised


def kl(logits: Tensor, answers: Tensor) -> Tensor:
    """KL(victim || student) = sum_k p_k log(p_k / q_k), in nats.

    Args:
        logits: (n, K), the student's.
        answers: (n, K), the victim's probabilities; 0 log 0 counts as 0.

    Example:
        >>> kl(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))  # log 2
        tensor([0.6931])
    """
    return F.kl_div(logits.log_softmax(1), answers, reduction="none").sum(1)


def kl_at(logits: Tensor, victims: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(v / T) || softmax(s / T)) between logits (Hinton et al., 2015, section 2).

    The factor keeps the gradient's size. For large T the value approaches half the variance over
    classes of v - s: a distance between centred logits.

    Args:
        logits: (n, K), the student's.
        victims: (n, K), the victim's logits, which only a white box gives.
        temperature: T > 0.
    """
    return temperature**2 * kl(logits / temperature, (victims / temperature).softmax(1))


def tempered(
    logits: Tensor, answers: Tensor, temperature: float, smallest: float = 1e-30
) -> Tensor:
    """T^2 KL(softmax(log p / T) || softmax(s / T)): E3's loss, from probabilities alone.

    softmax(log p / T) is softmax(z / T) of the victim's logits z, because log p = z - const. For
    large T the value approaches (1/2K) sum_k (s_k - z_k)^2 of centred logits. It is computed in
    float64, because at T = 1000 the two distributions differ in the last digits of float32.

    Args:
        logits: (n, K), the student's.
        answers: (n, K), rows on the simplex.
        temperature: T > 0.
        smallest: probabilities below it are raised to it before the logarithm, see `floor_of`.

    Example:
        >>> tempered(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), 20.0)
        tensor([0.])
    """
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    wanted = answers.to(exact).clamp_min(smallest).log()
    return kl_at(logits.to(exact), wanted, temperature).to(logits.dtype)


def floor_of(answers: Tensor) -> float:
    """The probability to which smaller ones are raised before a logarithm.

    For answers that are rounded to d decimals, half of the last one: a rounded zero says no more.
    Else the smallest probability that is seen, so that a zero is never further away than it.

    Args:
        answers: (n, K), rows on the simplex.

    Example:
        >>> floor_of(torch.tensor([[0.25, 0.75]]))
        0.005
    """
    for decimals in range(1, ROUNDED + 1):
        scaled = answers.double() * 10**decimals
        if bool(((scaled - scaled.round()).abs() < 1e-6 * 10**decimals).all()):
            return 0.5 * 10**-decimals
    seen = answers[answers > 0]
    return max(float(seen.min()), 1e-30) if len(seen) else 1e-30


def bce(logits: Tensor, answers: Tensor) -> Tensor:
    """(1/K) sum_k -p_k log q_k - (1 - p_k) log(1 - q_k), with q = softmax of the logits.

    It treats every class as a binary problem.
    """
    log = logits.log_softmax(1)
    others = (1 - log.exp()).clamp_min(1e-7).log()  # below that, 1 - q is rounding noise
    return -(answers * log + (1 - answers) * others).mean(1)


def l1(logits: Tensor, answers: Tensor) -> Tensor:
    """sum_k |p_k - q_k|, between probabilities: in [0, 2]."""
    return (logits.softmax(1) - answers).abs().sum(1)


def l2(logits: Tensor, answers: Tensor) -> Tensor:
    """The Euclidean norm of p - q, not squared; its gradient at p = q is 0."""
    return torch.linalg.vector_norm(logits.softmax(1) - answers, dim=1)


STUDENT_LOSSES: dict[StudentLoss, Loss] = {"kl": kl, "bce": bce, "l1": l1, "l2": l2}


def student_loss(
    loss: StudentLoss, temperature: float | Literal["sweep"] | None, answers: Tensor
) -> Loss:
    """The loss of a recipe: E3's where it has a temperature, else the named one.

    Args:
        answers: (n, K), all rows that the student is trained on, by which `floor_of` decides.

    Raises:
        SpecError: the temperature is still to be chosen.

    Example:
        >>> student_loss("kl", None, torch.eye(2)) is kl
        True
    """
    if temperature is None:
        return STUDENT_LOSSES[loss]
    if temperature == "sweep":
        raise SpecError("The temperature of a recipe must be chosen before it is used")
    return partial(tempered, temperature=temperature, smallest=floor_of(answers))


def recover_logits(answers: Tensor, how: Recovery = "mean", *, smallest: float = 1e-30) -> Tensor:
    """Logits from probabilities, up to a shift per row (DFME §3.4; MAZE does the same).

        l = log p ;   mean: l - (1/K) sum_j l_j   min: l - min_j l_j   none: l

    With `mean`, recover(softmax(z)) = z - mean(z).

    Args:
        answers: (n, K) probabilities.
        how: the shift, as above.
        smallest: probabilities below it are raised to it before the logarithm, because one p = 0
            makes the mean of all K entries infinite. Half the resolution suits a rounding API.

    Example:
        >>> recover_logits(torch.tensor([[2.0, 0.0]]).softmax(1)).round()
        tensor([[ 1., -1.]])
    """
    log = answers.clamp_min(smallest).log()
    if how == "mean":
        return log - log.mean(1, keepdim=True)
    if how == "min":
        return log - log.amin(1, keepdim=True)
    return log


def logit_l1(logits: Tensor, recovered: Tensor) -> Tensor:
    """(1/K) sum_k |v_k - s_k|: unlike KL its gradient does not vanish near agreement (DFME §3.3).

    The student's logits are not shifted, so the student learns logits with the recovered shift.
    """
    return (logits - recovered).abs().mean(1)


def entropy(answers: Tensor) -> Tensor:
    """-sum_k p_k log p_k of each row, in nats."""
    return -torch.special.xlogy(answers, answers).sum(1)
