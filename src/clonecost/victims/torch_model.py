"""Local torch classifiers as victims."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from clonecost.errors import Advice, CloneCostError, VictimError
from clonecost.types import Victim

Outputs = Literal["logits", "probs"]


def torch_victim(
    model: nn.Module,
    *,
    outputs: Outputs = "logits",
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
) -> Victim:
    """Serve a classifier (n, *shape) -> (n, K) as an API would: no gradients, no attributes.

    The model is moved to `device` and runs there on `batch_size` rows at a time (default: 128 on
    a CPU, whose caches larger batches overflow at half the speed, else 1,024), always in eval mode
    and at full precision, whatever mode or autocast the caller is in. Answers are float32
    probabilities on the inputs' device; with `outputs="logits"` a soft-max makes them.

    The victim is a closure and not a class, so that no attribute leads an attack to the model.

    Raises (when called):
        VictimError: the model failed, or did not return one tensor (n, K).

    Example:
        >>> victim = torch_victim(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
        >>> victim(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 3])
    """
    model.to(device)

    def forward(inputs: Tensor) -> Tensor:
        model.eval()  # on every call: the model may have been trained since
        return model(inputs)

    return serve(forward, outputs=outputs, batch_size=batch_size, device=device)


class Logits(nn.Module):
    """Turns a classifier's probabilities into logits: their logarithms, (n, K)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).clamp_min(torch.finfo(torch.float32).tiny).log()


def open_network(model: nn.Module, outputs: Outputs) -> nn.Module:
    """The classifier as a white box gives it: (n, *shape) pixels in [0, 1] -> (n, K) logits."""
    return model if outputs == "logits" else Logits(model)


def serve(
    forward: Callable[[Tensor], Tensor],
    *,
    outputs: Outputs,
    device: torch.device | str,
    batch_size: int | None = None,
) -> Victim:
    """Make a victim of a function (n, *shape) -> (n, K) on `device`; see `torch_victim`."""
    kind = torch.device(device).type
    size = batch_size or (128 if kind == "cpu" else 1024)

    def answer(inputs: Tensor, /) -> Tensor:
        # no_grad and not inference_mode: a loss may need the answers as its target later
        with (
            torch.no_grad(),
            torch.autocast(kind, enabled=False),
            as_victim_error(tuple(inputs.shape)),
        ):
            chunks = [_matrix(forward(c.to(device)), len(c)) for c in inputs.split(size)]
            values = torch.cat(chunks)
            return (values.softmax(1) if outputs == "logits" else values).to(inputs.device)

    return answer


@contextmanager
def as_victim_error(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn any exception of a victim on inputs of this shape into a VictimError of one line."""
    try:
        yield
    except CloneCostError:
        raise
    except Exception as error:
        raise VictimError(
            f"The victim failed on inputs of shape {shape}: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an exception's text, or the exception's name if there is no text."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _matrix(output: object, rows: int) -> Tensor:
    if not isinstance(output, Tensor):
        raise VictimError(
            "The victim's model did not return one tensor",
            Advice("wrap the model so that it returns a tensor of shape (n, K)"),
            got=type(output).__name__,
        )
    if output.ndim != 2 or len(output) != rows:
        raise VictimError(
            "The victim's model returned the wrong shape", got=tuple(output.shape),
            want=f"({rows}, K) for {rows} inputs",
        )  # fmt: skip
    return output.float()
