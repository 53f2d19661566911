"""A double of transformers' `pipeline("image-classification")`: its interface to the letter.

transformers is not installed for the tests. As its `ImageClassificationPipeline`, the double takes
one PIL image or a list, gives a list of {"label", "score"} for each, highest first, at most `top_k`
(5 unless stated), refuses anything else in transformers' own words, and has the `predict` and the
`transform` of an estimator. The classes were compared with those of transformers 4.57.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


class Classifier(nn.Module):
    """A model of transformers: its configuration, and logits in an output with attributes."""

    def __init__(self, names: list[str], pixels: int) -> None:
        super().__init__()
        self.head = nn.Linear(pixels, len(names))
        self.config = SimpleNamespace(id2label=dict(enumerate(names)), num_labels=len(names))

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=None, logits=self.head(pixel_values.flatten(1)))


class Pipeline:
    def __init__(self, names: list[str], shape: tuple[int, int, int], *, sigmoid: bool = False):
        torch.manual_seed(0)
        self.task, self.model = "image-classification", Classifier(names, int(np.prod(shape)))
        self.shape, self.sigmoid = shape, sigmoid
        self.batch_sizes: list[int | None] = []  # of its calls

    def __call__(
        self, inputs: Any = None, top_k: int = 5, batch_size: int | None = None
    ) -> list[Any]:
        self.batch_sizes.append(batch_size)
        rows = inputs if isinstance(inputs, list) else [inputs]
        found = [self._postprocess(self.scores(self.preprocess(one))[0], top_k) for one in rows]
        return found if isinstance(inputs, list) else found[0]

    def transform(self, inputs: Any) -> list[Any]:
        return self(inputs)

    def predict(self, inputs: Any) -> list[Any]:
        return self(inputs)

    def preprocess(self, image: Any) -> Tensor:
        if not isinstance(image, Image.Image):
            raise TypeError("Incorrect format used for image. Should be an url linking to an "
                            "image, a base64 string, a local path, or a PIL image.")  # fmt: skip
        mode = "L" if self.shape[0] == 1 else "RGB"
        resized = image.convert(mode).resize((self.shape[2], self.shape[1]))
        pixels = torch.tensor(np.asarray(resized), dtype=torch.float32) / 255
        return pixels.view(1, *self.shape[1:], -1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def scores(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, K)."""
        logits: Tensor = self.model(pixels).logits
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)

    def _postprocess(self, scores: Tensor, top_k: int) -> list[dict[str, Any]]:
        top_k = min(top_k, self.model.config.num_labels)
        order = scores.argsort(descending=True)[:top_k].tolist()
        names = self.model.config.id2label
        return [{"label": names[k], "score": float(scores[k])} for k in order]


class TextPipeline(Pipeline):
    """`pipeline("text-classification")`; its rows are texts, and its features counts of letters."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names, (1, 1, 26))
        self.task = "text-classification"

    def preprocess(self, text: Any) -> Tensor:
        if not isinstance(text, str):
            raise ValueError("text input must be of type `str` (single example)")
        letters = [float(text.lower().count(chr(97 + k))) for k in range(26)]
        return torch.tensor(letters).view(1, 1, 1, 26)
