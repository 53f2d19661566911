"""A local torch classifier behind the victim's interface."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from clonecost.errors import CloneCostError, VictimError
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

    The model is moved to `device` and asked there `batch_size` rows at a time (default: 128 on a
    CPU, whose caches larger ones overflow at half the speed, else 1,024), always in eval mode and
    at full precision, whatever mode or autocast the caller is in. Answers are float32
    probabilities on the inputs' device; `outputs="logits"` soft-maxes them.

    A closure and not a class: an attack that holds a victim finds no `.model` to look into.

    Raises (when asked):
        VictimError: the model failed, or did not return one tensor (n, K).
    """
    model.to(device)

    def forward(inputs: Tensor) -> Tensor:
        model.eval()  # on every call: someone may have trained the model since
        return model(inputs)

    return serve(forward, outputs=outputs, batch_size=batch_size, device=device)


class Logits(nn.Module):
    """A classifier that returns probabilities, as one that returns logits: their logarithms."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).clamp_min(torch.finfo(torch.float32).tiny).log()


def open_network(model: nn.Module, outputs: Outputs) -> nn.Module:
    """The classifier as a white box shows it: (n, *shape) pixels in [0, 1] -> (n, K) logits."""
    return model if outputs == "logits" else Logits(model)


def serve(
    forward: Callable[[Tensor], Tensor],
    *,
    outputs: Outputs,
    device: torch.device | str,
    batch_size: int | None = None,
) -> Victim:
    """Make a victim of any function of tensors on `device`; see `torch_victim`."""
    kind = torch.device(device).type
    size = batch_size or (128 if kind == "cpu" else 1024)

    def answer(inputs: Tensor, /) -> Tensor:
        # no_grad and not inference_mode: a loss may need the answers as its target later
        with (
            torch.no_grad(),
            torch.autocast(kind, enabled=False),
            failures_named(tuple(inputs.shape)),
        ):
            chunks = [_matrix(forward(c.to(device)), len(c)) for c in inputs.split(size)]
            values = torch.cat(chunks)
            return (values.softmax(1) if outputs == "logits" else values).to(inputs.device)

    return answer


@contextmanager
def failures_named(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn whatever a victim raises on inputs of this shape into a VictimError of one sentence."""
    try:
        yield
    except CloneCostError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise VictimError(f"the victim failed on inputs of shape {shape}: {first}") from error


def _matrix(output: object, rows: int) -> Tensor:
    if not isinstance(output, Tensor):
        raise VictimError(
            f"the victim's model returned a {type(output).__name__}; wrap it so that it returns "
            "one tensor of shape (n, K)"
        )
    if output.ndim != 2 or len(output) != rows:
        raise VictimError(
            f"the victim's model returned shape {tuple(output.shape)} for {rows} inputs; "
            f"it must return ({rows}, K)"
        )
    return output.float()
