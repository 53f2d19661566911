"""Texts of made-up words, with a known linear model behind them."""

from dataclasses import dataclass

import torch

from clonecost.data.text_rows import encode
from clonecost.text.word_model import Counts, Norm, WordModel
from clonecost.types import LabelledInputs, Victim, as_pixels

LENGTH, CLASSES, WORDS = 64, 3, 440
FEW = 60  # words of a toy on which a student is fitted in a moment
TEXT_ATTACKS = ("text_knockoff", "tfidf_exact")
_SYLLABLES = ("ba", "co", "di", "fu", "ge", "ho", "ki", "lu", "ma", "no", "pe", "ri")


@dataclass(frozen=True)
class TextToy:
    """A victim of texts, and texts."""

    answer: Victim
    test: LabelledInputs
    pool: LabelledInputs
    model: WordModel


def spelt(number: int) -> str:
    """A made-up word for a number below 1,728."""
    first, rest = divmod(number, 144)
    return "".join(_SYLLABLES[k] for k in (first, *divmod(rest, 12)))


def word_model(
    known: int = WORDS, *, norm: Norm = "l2", counts: Counts = "linear", classes: int = CLASSES
) -> WordModel:
    """A linear model that knows the first words."""
    rng = torch.Generator().manual_seed(7)
    theta = 3 * torch.randn(known, classes, generator=rng, dtype=torch.float64)
    scale = 1 + 4 * torch.rand(known, generator=rng, dtype=torch.float64)
    bias = 0.1 * torch.randn(classes, generator=rng, dtype=torch.float64)
    return WordModel(list(map(spelt, range(known))), scale, theta, bias, norm=norm, counts=counts)


def texts(count: int, among: int, seed: int) -> list[str]:
    """Random sequences of 3 to 9 words among the first ones, frequent ones first."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        size = int(torch.randint(3, 10, (), generator=rng))
        places = (torch.rand(size, generator=rng) ** 1.5 * among).long()
        found.append(" ".join(spelt(int(k)) for k in places))
    return found


def text_toy(model: WordModel | None = None) -> TextToy:
    """A pool of 1,500 texts, a fifth of whose words the victim does not know, and 400 test rows."""
    model = model or word_model()
    words = len(model.words)

    def answer(rows: torch.Tensor, /) -> torch.Tensor:
        return model(rows).softmax(1)

    test = encode(texts(400, words, 1), LENGTH)
    labels = answer(as_pixels(test)).argmax(1)
    pool = encode(texts(1_500, words * 5 // 4, 2), LENGTH)
    return TextToy(
        answer, LabelledInputs(test, labels, ("a", "b", "c"), "toy", text=True),
        LabelledInputs(pool, torch.full((len(pool),), -1), (), "pool", text=True), model,
    )  # fmt: skip
