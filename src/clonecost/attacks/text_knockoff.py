"""Knockoff for texts: labels texts of a pool with the victim, then fits a student of its own.

Orekondy, Schiele, Fritz, CVPR 2019, https://arxiv.org/abs/1812.02766, §4, with texts in the place
of images; Krishna et al., ICLR 2020, https://arxiv.org/abs/1910.12366, §4, for `rows="salad"`:

    1. x_1 ... x_B: texts drawn from the pool without replacement, or random sequences of its words
    2. y_i = victim(x_i)                                                  one query a text
    3. the student is fitted to (x_i, y_i) anew; of a head on a public sentence embedding the
       equations are solved (`clonecost.tabular.linear_head`)

Differs from the papers: see docs/attacks/text_knockoff.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.data.text_rows import decode, encode
from clonecost.data.text_words import words_of
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.tabular.answer_digits import step_of
from clonecost.tabular.linear_head import solve_head
from clonecost.text.embedding_model import EmbeddingModel, fit_head
from clonecost.text.ngram_model import fit_ngrams
from clonecost.text.sentence_embedding import sentence_encoder
from clonecost.types import AnswerKind, Progress, ProxyData, answered, as_bytes, as_pixels

EXACT = 1e-5  # share of the variation that an exact solution leaves; float32 answers leave 1e-9


@dataclass(frozen=True, kw_only=True)
class TextKnockoff:
    """Labels texts of the proxy data, or random sequences of their words, then fits a student.

    Example:
        >>> TextKnockoff(rows="salad", words=8)
    """

    # what is asked: texts of the pool, or salad: random sequences of its words
    rows: Literal["texts", "salad"] = "texts"
    words: int = 12  # of a random sequence
    # what the student sees of a text: words and word pairs, or a public sentence embedding
    student: Literal["ngrams", "embedding"] = "ngrams"
    ngrams: int = 2  # words of the longest sequence that is a feature of the student "ngrams"
    batch_size: int = 256  # rows per call of the victim

    declares: ClassVar = Declaration(needs="label", takes="text", proxy="asked", skips_refused=True)

    def __post_init__(self) -> None:
        at_least(1, self, "words", "ngrams", "batch_size")

    def plan(self, budget: int) -> str:
        what = (
            f"random sequences of {self.words} words of the proxy data"
            if self.rows == "salad"
            else "texts of the proxy data, each once (again if there are fewer)"
        )
        on = "words and word pairs" if self.student == "ngrams" else "their sentence embeddings"
        return f"queries {budget:,} {what}, then fits a regression on {on}"

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        budget, length = oracle.threat.query_budget, oracle.threat.input_shape[0]
        texts = self._sequences(pool, budget, length, kit) if self.rows == "salad" else None
        order = torch.randperm(len(pool), generator=kit.rng, device=kit.rng.device).cpu()
        order = order[torch.arange(budget) % len(pool)]
        answers: list[Tensor] = []
        embedded: list[Tensor] = []  # of the first rows, each embedded once
        if self.student == "embedding":
            sentence_encoder()  # refused before any query where it is not installed

        def asked(part: slice) -> Tensor:
            return texts[part] if texts is not None else as_bytes(pool.rows(order[part]))

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            told = torch.cat(answers)[:bought]
            some = answered(told).cpu()
            if self.student == "embedding":
                new = asked(slice(sum(map(len, embedded)), bought))
                embedded.append(sentence_encoder()(decode(new)))
                known = torch.cat(embedded)[:bought][some]
                return head_of(known, told.cpu()[some], oracle.threat.answers, kit.progress)
            rows = asked(slice(0, bought))[some]
            return fit_ngrams(rows, told.cpu()[some], self.ngrams, kit.progress).to(kit.device)

        for _ in kit.loop(lambda _: oracle.remaining > 0, answers=answers):
            part = slice(oracle.spent, oracle.spent + self.batch_size)
            index = None if texts is not None else order[part]
            answers.append(oracle(as_pixels(asked(part)).to(kit.device), index=index))
            yield DeferredClone(clone)

    def _sequences(self, pool: ProxyData, count: int, length: int, kit: AttackerKit) -> Tensor:
        """(count, length) random sequences of the pool's words."""
        known = words_of(decode(as_bytes(pool.rows(slice(0, len(pool))))))
        if not known:
            raise SpecError("The proxy data have no word of two letters", SetKey("proxy"))
        draws = torch.randint(
            len(known), (count, self.words), generator=kit.rng, device=kit.rng.device
        )
        return encode([" ".join(known[k] for k in row) for row in draws.tolist()], length, cut=True)


def head_of(
    embedded: Tensor, answers: Tensor, kind: AnswerKind, progress: Progress
) -> EmbeddingModel:  # fmt: skip
    """The head for (n, d) embeddings of texts with (n, K) answers.

    A victim that is a head on this embedding is solved for by its equations, as `frozen_head` does
    on pictures: they hold on rows that the solution leaves out. Any other one is fitted.
    """
    if kind == "probs" and len(embedded) > embedded.shape[1] + 1:
        head = solve_head(embedded, answers, kind, step=step_of(answers))
        if head.explained > 1 - EXACT:
            return EmbeddingModel(head.weight.T.contiguous(), head.bias)
    return fit_head(embedded, answers, progress)


PROFILES = {"salad": TextKnockoff(rows="salad"), "embedding": TextKnockoff(student="embedding")}
