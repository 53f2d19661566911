"""Local torch classifiers as victims."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, CloneCostError, Remedy, SetKey, VictimError
from clonecost.query_synthesis.zeroth_order import full_float32
from clonecost.safe_text import first_line
from clonecost.types import Victim
from clonecost.victims.answer_form import AnswerForm, Outputs
from clonecost.victims.asking import Scores, asked
from clonecost.victims.raw_scores import ANY, Wanted, raw_scores


def torch_victim(
    model: nn.Module,
    *,
    outputs: Outputs | None = None,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
) -> Victim:
    """Serve a classifier (n, *shape) -> (n, K) as an API would: no gradients, no attributes.

    The model is moved to `device` and runs there on `batch_size` rows at a time (default: 128 on
    a CPU, whose caches larger batches overflow at half the speed, else 1,024), always in eval mode
    and at full precision, whatever mode or autocast the caller is in. Answers are float32
    probabilities on the inputs' device.

    The victim is a closure and not a class, so that no attribute leads an attack to the model.

    Args:
        outputs: what the model returns; None: as a few rows show, on which it is asked before its
            first answer (see `clonecost.victims.answer_form`).

    Raises (when called):
        VictimError: the model failed, did not return scores (n, K), or their form is not clear.

    Example:
        >>> victim = torch_victim(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
        >>> victim(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 3])
    """
    scores = module_scores(model, batch_size=batch_size, device=device)
    return asked(scores, where="the victim", outputs=outputs).answer


def module_scores(
    model: nn.Module, *, batch_size: int | None = None, device: torch.device | str = "cpu",
    wanted: Wanted = ANY,
) -> Scores:  # fmt: skip
    """The scores of a module in eval mode; see `scores_of`.

    A module whose weights are all of one float type gets its inputs in that type.
    """
    model.to(device)
    types = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    dtype = types.pop() if len(types) == 1 else torch.float32

    def forward(inputs: Tensor) -> object:
        model.eval()  # on every call: the model may have been trained since
        return model(inputs.to(dtype))

    return scores_of(forward, batch_size=batch_size, device=device, wanted=wanted)


class Logits(nn.Module):
    """Turns a classifier's scores into logits: the logarithms of its probabilities, (n, K)."""

    def __init__(self, model: nn.Module, form: AnswerForm, wanted: Wanted = ANY) -> None:
        super().__init__()
        self.model, self.form, self.wanted = model, form, wanted

    def forward(self, inputs: Tensor) -> Tensor:
        scores = raw_scores(self.model(inputs), len(inputs), self.wanted)
        probs = self.form.probabilities(scores)
        return probs.clamp_min(torch.finfo(torch.float32).tiny).log()


def open_network(model: nn.Module, form: AnswerForm, wanted: Wanted = ANY) -> nn.Module:
    """The classifier as a white box gives it: (n, *shape) pixels in [0, 1] -> (n, K) logits."""
    return model if form.outputs == "logits" else Logits(model, form, wanted)


def scores_of(
    forward: Callable[[Tensor], object],
    *,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    wanted: Wanted = ANY,
) -> Scores:
    """A function (n, *shape) -> (n, columns) scores, out of one that a program runs on `device`.

    Whole numbers keep their type; all others become float32.
    """
    kind = torch.device(device).type
    size = batch_size or (128 if kind == "cpu" else 1024)

    def scores(inputs: Tensor, /) -> Tensor:
        # no_grad and not inference_mode: a loss may need the answers as its target later
        with (
            torch.no_grad(),
            torch.autocast(kind, enabled=False),
            full_float32(),  # else a row's answer would depend on who asks
            as_victim_error(tuple(inputs.shape)),
        ):
            chunks = [raw_scores(forward(c.to(device)), len(c), wanted) for c in inputs.split(size)]
            values = torch.cat(chunks).to(inputs.device)
            return values.float() if values.is_floating_point() else values

    return scores


def callable_scores(function: Callable[[Tensor], object], wanted: Wanted = ANY) -> Scores:
    """The scores of any callable, which gets all rows of a batch at once, wherever they are."""

    def scores(inputs: Tensor, /) -> Tensor:
        with torch.no_grad(), as_victim_error(tuple(inputs.shape)):
            return raw_scores(function(inputs), len(inputs), wanted)

    return scores


@contextmanager
def as_victim_error(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn any exception of a victim on inputs of this shape into a VictimError of one line."""
    try:
        yield
    except CloneCostError:
        raise
    except Exception as error:
        # of a function, whose weights nobody but its author can move
        elsewhere = "same device" in str(error) or "same type" in str(error)
        remedies: list[Remedy] = [
            Advice("let the function move its rows to the device of its weights"),
            SetKey("device", "cpu"),
        ]  # fmt: skip
        raise VictimError(
            f"The victim failed on inputs of shape {shape}: {first_line(error)}",
            *(remedies if elsewhere else []),
        ) from error
