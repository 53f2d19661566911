"""The tensor of an answer as scores for each class, or as the labels of predicted classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx2
import numpy as np
import torch
from torch import Tensor

from clonecost.data.values import meaning
from clonecost.errors import Advice, SetKey, VictimError
from clonecost.types import Shown
from clonecost.victims.endpoints import wire
from clonecost.victims.endpoints.class_labels import ClassLabels, no_class_now

NUMBERED = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "BOOL")
NAMED = (*NUMBERED, wire.WORDS)  # types of an answer with the class's number or name
EXCERPT = 200  # characters of a server's text in a message


@dataclass(frozen=True, kw_only=True)
class TensorAnswers:
    """Reads the answers of one model.

    Attributes:
        output: the tensor's name.
        stated: what the metadata, or the owner, say that an answer shows.
        exact: FP64 answers stay float64.
        quote: a server's text in a message, without secrets.
        kinds: what the answers so far showed, "label" or "scores"; it holds "scores" from the
            start if the owner states that one number a row is a score.
    """

    url: str
    output: str
    classes: Sequence[str]
    num_classes: int | None
    stated: Shown | None
    exact: bool
    quote: Callable[[str, int], str]
    kinds: set[str] = field(default_factory=set)

    @property
    def shows(self) -> Shown | None:
        """How much an answer shows, and k of "top_k"; None while that is not known."""
        return ("label", None) if self.kinds == {"label"} else self.stated

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        """The answer to `rows` rows -> (rows, K) scores, or (rows, 1).

        Raises:
            VictimError: it has another form, or says that the server failed.
        """
        try:
            tensor, raw = self._tensor(response)
            if tensor.datatype == wire.WORDS:
                return self._of_labels(wire.words(tensor, raw), rows)
            scores = wire.unpack(tensor, raw, texts=True)
        except wire.ServerError as error:
            raise VictimError(
                f"{self.url} answered {response.status_code}, but with an error and no answer to "
                f"the rows: {self.quote(str(error), EXCERPT)}",
                Advice("ask the owner of the endpoint"),
            ) from error
        except ValueError as error:  # a FrameError, or a header that is no number
            raise VictimError(
                f"The answer of {self.url} is no inference response "
                f"({self.quote(str(error), EXCERPT)})"
            ) from error
        one_each = scores.size == rows
        if scores.dtype.kind == "i" or (scores.dtype.kind in "ub" and one_each):
            return self._of_numbers(scores, rows)
        # once an answer held a score, 0.0 and 1.0 are scores, too
        if one_each and self.classes and scores.size and "scores" not in self.kinds:
            if _among(scores, self.classes):
                return self._of_labels(scores.reshape(-1).tolist(), rows)
            if "label" in self.kinds:
                raise no_class_now(
                    self.url, self.quote(str(scores.reshape(-1)[:3].tolist()), EXCERPT)
                )
        self.kinds.add("scores")
        if scores.ndim == 1 and rows == 1 and scores.size > 1:  # a model without a batch
            scores = scores[None]
        while scores.ndim > 2 and scores.shape[0] == 1 and (rows != 1 or scores.shape[1] == 1):
            scores = scores[0]
        if scores.ndim == 1:
            scores = scores[:, None]
        # a trailing (.., 1, 1) is a pooled image of one pixel
        if scores.ndim < 2 or scores.shape[0] != rows or any(n != 1 for n in scores.shape[2:]):
            raise VictimError(f"The answer of {self.url} to {rows} rows has the wrong shape",
                              got=tuple(scores.shape), want=f"({rows}, classes)")  # fmt: skip
        dtype = np.float64 if self.exact and scores.dtype == np.float64 else np.float32
        if scores.dtype == np.uint8:  # 256 steps, which are no sums of 1
            return torch.from_numpy(scores).view(rows, -1)
        return torch.from_numpy(scores.astype(dtype)).view(rows, -1)

    def _tensor(self, response: httpx2.Response) -> tuple[wire.WireTensor, memoryview | None]:
        length = response.headers.get(wire.HEAD_LENGTH, "").strip()
        head_length = int(length) if length else None
        message, raws = wire.read(wire.InferenceResponse, response.content, head_length)
        for tensor, raw in zip(message.outputs, raws, strict=True):
            if tensor.name == self.output:
                return tensor, raw
        names = ", ".join(repr(tensor.name) for tensor in message.outputs) or "none"
        raise wire.FrameError(f"the output {self.output!r} is missing: got {names}")

    def _of_numbers(self, labels: wire.Array, rows: int) -> Tensor:
        """(rows,) or (rows, 1) numbers of classes -> (rows, K)."""
        if self.classes:
            return self._of_labels(labels.reshape(-1).tolist(), rows)
        if self.num_classes is None:
            raise VictimError(f"{self.url} answers with numbers of classes, and the number of "
                              "classes is unknown", SetKey("classes"))  # fmt: skip
        low, high = labels.min(initial=0), labels.max(initial=0)  # uint64 has more than int64
        if labels.size != rows or low < 0 or high >= self.num_classes:
            raise VictimError(
                f"The answer of {self.url} to {rows} rows is no class a row",
                SetKey("endpoint.output"), SetKey("endpoint.classes"),
                got=f"whole numbers of shape {tuple(labels.shape)}, {low} to {high}",
                want=f"one class a row, 0 to {self.num_classes - 1}, or scores",
            )  # fmt: skip
        return self._one_hot(labels.reshape(-1).tolist(), self.num_classes)

    def _of_labels(self, labels: Sequence[object], rows: int) -> Tensor:
        """`rows` labels -> (rows, K)."""
        num_classes = self.num_classes or len(self.classes)
        if not num_classes:
            raise VictimError(f"{self.url} answers with names of classes, and the classes are "
                              "unknown", SetKey("endpoint.classes"))  # fmt: skip
        if len(labels) != rows:
            raise VictimError(f"The answer of {self.url} to {rows} rows is no class a row",
                              SetKey("endpoint.output"), got=f"{len(labels)} labels",
                              want=f"{rows}")  # fmt: skip
        named = ClassLabels(self.url, self.classes, num_classes)
        return self._one_hot(named.numbers(labels), num_classes)

    def _one_hot(self, places: Sequence[int], num_classes: int) -> Tensor:
        self.kinds.add("label")
        return torch.nn.functional.one_hot(torch.tensor(places), num_classes).float()


def _among(scores: wire.Array, classes: Sequence[str]) -> bool:
    """Whether numbers of a float type are labels: all of them are names of classes."""
    names = [name for name in map(meaning, classes) if isinstance(name, float)]
    return len(names) == len(classes) and bool(np.isin(scores, names).all())
