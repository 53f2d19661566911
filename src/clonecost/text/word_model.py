"""A linear model over single words: what TF-IDF and a linear classifier compute together.

    v_w = f(count of w) s_w,   v = v / |v|  if there is a norm,   z = b + v Theta,   p = softmax z

s_w is the weight of a word (its inverse document frequency), which only matters up to a factor if
there is a norm; f(c) is c, 1 + ln c, or 1.
"""

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clonecost.data.text_rows import decode

Norm = Literal["l2", "l1", "none"]
Counts = Literal["linear", "sublinear", "binary"]


def repeats(kind: Counts, count: int) -> float:
    """f(count): what a word weighs that occurs so often in a text.

    Example:
        >>> repeats("linear", 2), repeats("binary", 2)
        (2.0, 1.0)
    """
    return {"linear": float(count), "sublinear": 1 + float(np.log(count)), "binary": 1.0}[kind]


class WordModel(nn.Module):
    """(n, bytes) texts -> (n, K) logits, float64. Words that are not in `words` weigh nothing.

    Args:
        words: the vocabulary, in lower case.
        scale: (V,) the weights s_w.
        theta: (V, K).
        bias: (K,).

    Example:
        >>> model = WordModel(["cat"], torch.ones(1), torch.tensor([[1.0, -1.0]]), torch.zeros(2),
        ...                   norm="l2", counts="linear")
        >>> model(as_pixels(encode(["cat", "dog"], 5))).tolist()
        [[1.0, -1.0], [0.0, 0.0]]
    """

    scale: Tensor
    theta: Tensor
    bias: Tensor
    spelt: Tensor
    kind: Tensor

    def __init__(
        self, words: Sequence[str], scale: Tensor, theta: Tensor, bias: Tensor, *, norm: Norm,
        counts: Counts,
    ) -> None:  # fmt: skip
        super().__init__()
        kinds = get_args(Norm).index(norm), get_args(Counts).index(counts)
        spelt = np.frombuffer("\n".join(words).encode() or b"\n", np.uint8).copy()
        self.register_buffer("scale", scale.double())
        self.register_buffer("theta", theta.double())
        self.register_buffer("bias", bias.double())
        self.register_buffer("spelt", torch.from_numpy(spelt))  # so that the weights hold all of it
        self.register_buffer("kind", torch.tensor(kinds))

    @property
    def words(self) -> list[str]:
        """The vocabulary."""
        return bytes(self.spelt.cpu().numpy()).decode().split("\n") if len(self.scale) else []

    def forward(self, rows: Tensor) -> Tensor:
        if not len(self.scale):
            return self.bias.expand(len(rows), -1)
        from scipy.sparse import csr_array
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize

        norm = get_args(Norm)[int(self.kind[0])]
        counts: Counts = get_args(Counts)[int(self.kind[1])]
        found = csr_array(
            CountVectorizer(vocabulary=self.words).transform(decode(rows)), dtype=np.float64
        )
        most = int(found.data.max(initial=1))
        weight = np.array([1.0, *(repeats(counts, k) for k in range(1, most + 1))])
        found.data = weight[found.data.astype(int)] * self.scale.cpu().numpy()[found.indices]
        if norm != "none":
            found = normalize(found, norm=norm)
        z = cast(NDArray[np.float64], found @ self.theta.cpu().numpy())
        return torch.from_numpy(z).to(self.bias.device) + self.bias
