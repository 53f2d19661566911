"""Pipelines as those of Hugging Face: a list of images or texts -> a list of labels with scores.

`transformers.pipeline("image-classification")` and `("text-classification")` are known by their
`task`, and their classes by their model's `config.id2label`; transformers is not imported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from clonecost.data.values import listed
from clonecost.errors import Advice, VictimError
from clonecost.types import as_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

Task = Literal["image-classification", "text-classification"]
AT_ONCE = 64  # rows in a forward pass; a pipeline takes one unless it is told


@dataclass(frozen=True)
class Pipeline:
    """A pipeline and its classes, in the order of its model's numbers.

    Attributes:
        model: the network behind it, where the pipeline runs in this process.
    """

    call: Callable[..., Any]
    classes: tuple[str, ...]
    model: nn.Module | None

    def of_pixels(self, inputs: Tensor, /) -> Tensor:
        """Scores, (n, K), of pixels, (n, C, H, W) in [0, 1]; finer ones are rounded to 8 bits."""
        return self._scores(_pictures(inputs))

    def of_texts(self, texts: list[str], /) -> Tensor:
        """Scores, (n, K), of n texts."""
        return self._scores(texts)

    def _scores(self, rows: "list[Image] | list[str]") -> Tensor:
        answers = self.call(rows, top_k=len(self.classes), batch_size=AT_ONCE)
        if len(rows) == 1 and answers and isinstance(answers[0], Mapping):
            answers = [answers]
        places = {name: k for k, name in enumerate(self.classes)}
        scores = torch.full((len(rows), len(self.classes)), torch.nan)
        for row, answer in zip(scores, answers, strict=True):
            columns = [places.get(str(one["label"]), -1) for one in answer]
            if min(columns) < 0 or len(set(columns)) < len(places):
                raise VictimError(
                    "The pipeline does not answer with a score for each of its classes: got "
                    f"{listed([str(one['label']) for one in answer])}, want "
                    f"{listed(self.classes)}",
                    Advice("make the pipeline without top_k and function_to_apply of its own"),
                )
            row[columns] = torch.tensor([float(one["score"]) for one in answer])
        return scores


def is_pipeline(thing: object, task: Task) -> bool:
    """Whether an object says that it is a pipeline of this task."""
    return callable(thing) and getattr(thing, "task", None) == task


def opened_pipeline(pipe: Any, where: str) -> Pipeline:
    """A pipeline whose answers can be read.

    Raises:
        VictimError: its model does not state its classes, or gives two of them one name.

    Example:
        >>> pipe = transformers.pipeline("image-classification", model="my-model")
        >>> opened_pipeline(pipe, "my-model").classes
        ('cat', 'dog')
    """
    model = getattr(pipe, "model", None)
    names = getattr(getattr(model, "config", None), "id2label", None)
    numbered = {str(number): str(name) for number, name in dict(names or {}).items()}
    classes = tuple(numbered.get(str(k), "") for k in range(len(numbered)))
    if len(classes) < 2 or "" in classes or len(set(classes)) < len(classes):
        raise VictimError(
            f"The pipeline {where} does not state its classes, by which its answers are read",
            Advice("give its model's `config.id2label` a name of its own for each class"),
            got=listed(list(numbered.values())) or "none",
        )
    return Pipeline(pipe, classes, model if isinstance(model, nn.Module) else None)


def _pictures(inputs: Tensor) -> "list[Image]":
    from PIL import Image

    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        raise VictimError("A pipeline takes images of 1 or 3 channels",
                          got=tuple(inputs.shape[1:]), want="(1, H, W) or (3, H, W)")  # fmt: skip
    pixels = as_bytes(inputs.detach().cpu().clamp(0, 1))
    if inputs.shape[1] == 1:
        return [Image.fromarray(one[0].numpy()) for one in pixels]
    return [Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()) for one in pixels]
