"""Solves for a linear classifier over TF-IDF or counts of single words: one or two queries a word.

No paper: the equations are ours, see docs/attacks/tfidf_exact.md. With softmax logits

    z = b + v Theta,   v_w = f(count of w) s_w / |.|       (clonecost.text.word_model)

    1. a text without a known word gives b
    2. each word of the proxy data alone gives a_w = z - b; 0: the victim does not know it.
       Rare words are asked several at a time, and alone only if the answer is not b.
    3. "r s", "r r s", "r r r s" for two known words show the norm and f
    4. with a norm, each known word beside a known one gives s_w
    5. texts of the proxy data, without the words that were not asked, check the solution
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from clonecost.attacks._words import UNKNOWN, Questions
from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.data.text_rows import decode, encode
from clonecost.data.text_words import words_of
from clonecost.errors import SetKey, SpecError
from clonecost.oracle import Oracle
from clonecost.types import as_bytes, as_pixels


@dataclass(frozen=True, kw_only=True)
class TfidfExact:
    """Asks words alone and in pairs, and solves for the weights of a linear classifier of texts.

    Example:
        >>> TfidfExact(checks=40)
    """

    # texts of each check of the solution, after 1, 2, 4 ... parts of 256 words; 0: none
    checks: int = 20

    declares: ClassVar = Declaration(
        needs="probs", takes="text", proxy="changed", by_settings=("least_budget",)
    )

    def __post_init__(self) -> None:
        at_least(0, self, "checks")

    @property
    def least_budget(self) -> int:
        return len(UNKNOWN) + 1

    def plan(self, budget: int) -> str:
        return (
            "queries words of the proxy data, the most frequent first: one query a word, two for a "
            f"word that the victim knows; at most {budget:,}"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        pool = kit.required_proxy(self)
        texts = decode(as_bytes(pool.rows(slice(0, len(pool)))))
        words = words_of(texts)
        if not words:
            raise SpecError("The proxy data have no word of two letters", SetKey("proxy"))
        threat, answers = oracle.threat, list[Tensor]()

        def questions(remark: bool) -> Questions:
            return Questions(
                texts=texts, candidates=words, length=threat.input_shape[0],
                classes=threat.num_classes, checks=self.checks,
                remark=kit.remark if remark else lambda sentence: None,
            )  # fmt: skip

        def clone(bought: int, kit: AttackerKit) -> nn.Module:
            told = torch.cat(answers)[:bought]
            again = questions(remark=False)
            _told_again(again, told)
            return again.solution().to(kit.device)

        asked = _Asked(questions(remark=True))
        for _ in kit.loop(lambda _: asked.more(answers) and oracle.remaining > 0, answers=answers):
            now = encode(asked.texts[: oracle.remaining], threat.input_shape[0], cut=True)
            answers.append(oracle(as_pixels(now).to(kit.device)).cpu())
            yield DeferredClone(clone)


class _Asked:
    """Questions that are told the answers as they come, also those that a resumed run has."""

    def __init__(self, questions: Questions) -> None:
        self._steps, self._told = questions.steps(), 0
        self.texts: Sequence[str] = next(self._steps)

    def more(self, answers: Sequence[Tensor]) -> bool:
        """Whether there is a next question, `texts`."""
        try:
            for told in answers[self._told :]:
                self._told += 1
                self.texts = self._steps.send(told)
        except StopIteration:
            self.texts = ()
        return len(self.texts) > 0


def _told_again(asked: Questions, told: Tensor) -> None:
    """Give the questions these answers in their order, the last batch in part."""
    steps = asked.steps()
    try:
        texts = next(steps)
        while len(told):
            part, told = told[: len(texts)], told[len(texts) :]
            texts = steps.send(part)
    except StopIteration:
        return
