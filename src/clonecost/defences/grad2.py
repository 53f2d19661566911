"""GRAD²: answers within a distance that turn a surrogate's update into a chosen direction."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from clonecost.defences._cheapest import cheapest
from clonecost.defences._networks import Beside, Source, in_parts
from clonecost.defences.base import Declaration
from clonecost.errors import SpecError
from clonecost.types import PredictionApi, Victim

Direction = Literal["ones", "random"]


@dataclass(frozen=True, kw_only=True)
class Grad2:
    """Serve the maximum of c . y' over answers y' within L1 distance epsilon of the true one.

    c_k is the slope of log p_k(x) of a surrogate along a direction z of its parameters, so that a
    student that fits y' moves along z. It is the forward derivative of the log-softmax, one pass
    for all classes. Without `keep_top` the maximum is greedy: min(1 - y_j, epsilon / 2) goes to the
    class j of the largest c, taken from the smallest c upwards; of equal ones the lowest index
    comes first. With it the same linear programme as that of ModelGuard-W is solved.

    The surrogate should have seen what the attacker sends: a clone from an earlier audit is one.
    The default is an untrained perceptron, which shows the mechanism and no more.

    Source: Mazeika, Li, Forsyth, ICML 2022, "How to Steer Your Adversary", §4, direction all-ones.

    Example:
        >>> defended = Grad2(epsilon=0.5, surrogate="runs/mine/clone.safetensors")(victim)

    Raises:
        SpecError: a setting is out of range, or there is no such file of weights.
    """

    epsilon: float = (
        1.0  # the largest L1 distance from the true answer; 0: answers stay as they are
    )
    # a file of weights, an untrained network of `clonecost list networks`, or `perceptron`
    surrogate: str = "perceptron"
    network: str = ""  # the network of the surrogate's file, where the file does not say it
    seed: int = 0  # of an untrained surrogate, and of the direction `random`
    direction: Direction = "ones"  # z: all ones, or normal draws by `seed`
    keep_top: bool = False  # the victim's top class stays the top class; the paper's may change
    margin: float = 1e-3  # with `keep_top`: how far the top class stays above the others
    digest: str = ""  # SHA-256 of the surrogate's file; filled in, and checked if it is given

    declares: ClassVar = Declaration()

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon <= 2 and 0 <= self.margin <= 0.1):
            raise SpecError(
                "A setting of GRAD² is out of range",
                got=f"epsilon={self.epsilon:g}, margin={self.margin:g}",
                want="epsilon 0 to 2, margin 0 to 0.1",
            )
        if self.direction not in get_args(Direction):
            raise SpecError("Unknown direction of GRAD²", got=repr(self.direction),
                            want=" or ".join(get_args(Direction)))  # fmt: skip
        object.__setattr__(self, "digest", self._source.digest(self.digest))

    @property
    def _source(self) -> Source:
        return Source("grad2's surrogate", self.surrogate, self.network, self.seed)

    def check(self, api: PredictionApi) -> None:
        """Refuse an API that the surrogate does not fit.

        Raises:
            SpecError: other inputs or classes.
        """
        self._source.check(api)

    def __call__(self, victim: Victim) -> Victim:
        beside = Beside(self._source)

        def defended(inputs: Tensor, /) -> Tensor:
            clean = victim(inputs)
            if not self.epsilon:
                return clean
            model = beside.model(inputs, clean.shape[1])
            y, c = clean.double(), slopes(model, inputs, self._tangents(model)).double()
            if not self.keep_top:
                return most(y, c, self.epsilon).to(clean.dtype)
            cost = c.mean(1, keepdim=True) - c
            cost = cost / cost.abs().amax(1, keepdim=True).clamp_min(1e-30)
            return cheapest(y, cost, self.epsilon, self.margin).to(clean.dtype)

        return defended

    def _tangents(self, model: nn.Module) -> dict[str, Tensor]:
        parameters = {name: one.detach() for name, one in model.named_parameters()}
        if self.direction == "ones":
            return {name: torch.ones_like(one) for name, one in parameters.items()}
        rng = torch.Generator().manual_seed(self.seed)
        return {
            name: torch.randn(one.shape, generator=rng).to(one) for name, one in parameters.items()
        }


def slopes(model: nn.Module, inputs: Tensor, tangents: dict[str, Tensor]) -> Tensor:
    """The slopes of log-softmax(model(x)) along a direction of the parameters, (n, K).

    Args:
        model: (n, *shape) -> (n, K) logits.
        tangents: the direction, by the names of the parameters.
    """
    parameters = {name: one.detach() for name, one in model.named_parameters()}

    def log_answers(weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        return torch.log_softmax(functional_call(model, weights, (rows,)), 1)

    def along(rows: Tensor) -> Tensor:
        with warnings.catch_warnings():  # torch warns of its own rules for forward derivatives
            warnings.simplefilter("ignore", DeprecationWarning)
            slope: Tensor = jvp(partial(log_answers, rows=rows), (parameters,), (tangents,))[1]
        return slope.detach()

    return torch.nan_to_num(in_parts(along, inputs))


def most(y: Tensor, c: Tensor, epsilon: float) -> Tensor:
    """The maximum of c . y' on the simplex within L1 distance epsilon of y: all (n, K).

    Example:
        >>> most(torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[-1.0, 2.0, 0.5]]), 0.5)
        tensor([[0.4500, 0.4500, 0.1000]])
    """
    gets = c.argmax(1, keepdim=True)
    mass = (1 - y.gather(1, gets)).clamp_max(epsilon / 2)
    order = c.scatter(1, gets, torch.inf).argsort(dim=1, stable=True)  # who gets comes last
    held = y.gather(1, order)
    before = held.cumsum(1) - held
    taken = (mass - before).clamp_min(0).minimum(held)
    taken[:, -1] = 0
    left = held - taken
    left[:, -1:] += taken.sum(1, keepdim=True)
    return torch.empty_like(y).scatter(1, order, left)
