"""A function of texts as a function of rows, which are decoded on the way."""

from collections.abc import Callable

from torch import Tensor

from clonecost.data.text_rows import decode
from clonecost.victims.asking import Scores
from clonecost.victims.raw_scores import raw_scores
from clonecost.victims.torch_model import as_victim_error

OfTexts = Callable[[list[str]], object]  # n texts -> (n, columns) scores


def text_scores(model: OfTexts) -> Scores:
    """The scores of a function of texts, as a function of rows (n, bytes).

    Example:
        >>> scores = text_scores(lambda texts: [[len(t), 1.0] for t in texts])
        >>> scores(as_pixels(encode(["cat"], 5)))
        tensor([[3., 1.]])
    """

    def scores(rows: Tensor, /) -> Tensor:
        with as_victim_error(tuple(rows.shape)):
            return raw_scores(model(decode(rows)), len(rows)).to(rows.device)

    return scores
