"""The questions of `tfidf_exact`, and what their answers show; without an oracle.

`Questions.steps` yields texts and is sent their answers, so that the same code asks the oracle, and
makes the clone of the first n answers again. It ends after a batch that was answered in part. What
it asks depends on earlier answers only and never on the budget, so that a larger budget goes on.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from clonecost.data.text_rows import encode
from clonecost.data.text_words import words_in
from clonecost.tabular.answer_digits import step_of
from clonecost.text.word_equations import Form, centred, form_of, ratios
from clonecost.text.word_model import WordModel
from clonecost.types import as_pixels

UNKNOWN = ("qzxjvq", "xqjzkw vqzkxj")  # texts without a word of any language
CHUNK = 256  # words that are asked before the pairs of those that are known
GROUPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # words of a text that is asked for rare ones
RECENT = 512  # words by which the share of known ones is estimated
RIGHT = 1e-3  # of a probability: the largest error of a solution
NOISE = 1e-9  # of a centred logarithm, in float64

Steps = Generator[Sequence[str], Tensor, None]
Answers = Generator[Sequence[str], Tensor, Tensor]


@dataclass
class Questions:
    """One run: what is asked, and what is known.

    Attributes:
        texts: of the proxy data, for the checks.
        candidates: their words, the most frequent first.
        length: bytes of a row.
        classes: K.
        checks: texts of a check.
        remark: gets the verdict of a check.
    """

    texts: Sequence[str]
    candidates: Sequence[str]
    length: int
    classes: int
    checks: int
    remark: Callable[[str], None]
    base: Tensor = field(default_factory=lambda: torch.zeros(0))  # answers to `UNKNOWN`
    bias: Tensor = field(default_factory=lambda: torch.zeros(0))
    step: float = 0.0  # to which answers are rounded
    asked: set[str] = field(default_factory=set)  # words whose effect is known, 0 included
    words: list[str] = field(default_factory=list)  # those that the victim knows
    effects: list[Tensor] = field(default_factory=list)  # a_w, each (K,)
    scale: dict[str, float] = field(default_factory=dict)  # s_w, in parts of the first one's
    form: Form | None = None
    references: list[int] = field(default_factory=list)  # places in `words`
    recent: list[bool] = field(default_factory=list)  # whether each word was known
    ended: bool = False
    checked: int = 0  # texts of the proxy data that the checks have looked at

    def steps(self) -> Steps:
        """Yields texts, is sent their answers (n, K), or of the first of them."""
        self.base = yield from self._ask(UNKNOWN)
        self.bias = centred(self.base[:1])[0]
        number, check_at = 0, 1
        for place in range(0, len(self.candidates), CHUNK):
            before, number = len(self.words), number + 1
            yield from self._ask_words(self.candidates[place : place + CHUNK])
            if not self.ended and self.form is None and len(self.words) > 1:
                yield from self._find_form()
            if not self.ended and self.form is not None and self.form.norm != "none":
                yield from self._weigh(range(before if self.scale else 0, len(self.words)))
            if not self.ended and number == check_at:
                check_at *= 2
                yield from self._check()
            if self.ended:
                return
        if number != check_at // 2:  # else they were checked just now
            yield from self._check()

    def _ask(self, texts: Sequence[str]) -> Answers:
        told = yield texts
        self.ended = len(told) < len(texts)
        return told

    def _ask_words(self, chunk: Sequence[str]) -> Steps:
        """Ask words in groups, and those of a group that is known alone."""
        size = self._group()
        fit = [one for one in chunk if len(one.encode()) <= self.length]
        groups = list(_groups(fit, size, self.length))
        if not groups:
            return
        told = yield from self._ask([" ".join(group) for group in groups])
        if not self.recent:
            self.step = step_of(told)
            self.bias = centred(self.base[:1], self.step)[0]
        pairs = list(zip(groups, self._known(told), strict=False))
        unknown = [word for group, some in pairs if not some for word in group]
        self.asked.update(unknown)
        self.recent += [False] * len(unknown)
        alone = [word for group, some in pairs if some for word in group]
        if size == 1:
            found = torch.tensor([some for _, some in pairs], dtype=torch.bool)
            self._learn(alone, told[found])
        elif alone and not self.ended:
            told = yield from self._ask(alone)
            self._learn(alone, told)

    def _learn(self, words: Sequence[str], told: Tensor) -> None:
        """Note the effects of words that were asked alone; those without any are unknown."""
        known = self._known(told)
        for word, some, effect in zip(words, known, self._effects(told), strict=False):
            self.asked.add(word)
            self.recent.append(some)
            if some:
                self.words.append(word)
                self.effects.append(effect)

    def _group(self) -> int:
        """The words of a query with which the known ones are found with the fewest queries."""
        recent = self.recent[-RECENT:]
        share = (sum(recent) + 1) / (len(recent) + 1)
        return min(GROUPS, key=lambda g: 1.0 if g == 1 else 1 / g + 1 - (1 - share) ** g)

    def _effects(self, answers: Tensor) -> Tensor:
        return centred(answers, self.step) - self.bias

    def _known(self, answers: Tensor) -> list[bool]:
        """Whether a text holds a word that the victim knows: its answer is not that of none."""
        noise = NOISE + 16 * torch.finfo(answers.dtype).eps
        if self.step:
            least = self.bias.softmax(0).clamp_min(self.step / 2)
            noise += self.step * float((1 / least).max())
        return (self._effects(answers).abs().amax(1) > noise).tolist()

    def _find_form(self) -> Steps:
        """Ask two known words of different effects, one of them once, twice and three times."""
        effects = torch.stack(self.effects)
        self.references = _references(effects)
        first = self.references[0]
        second = int((effects @ effects[first]).argmin())
        if first == second:
            return
        r, s = self.words[first], self.words[second]
        told = yield from self._ask([f"{r} {s}", f"{r} {r} {s}", f"{r} {r} {r} {s}"])
        if not self.ended:
            z = self._effects(told)
            self.form = form_of(z[0], z[1:], effects[first], effects[second])

    def _weigh(self, places: Sequence[int]) -> Steps:
        """Ask words beside a known one, for s_w; the references themselves come first."""
        effects = torch.stack(self.effects)
        if not self.scale:
            main, *rest = self.references
            self.scale[self.words[main]] = 1.0
            yield from self._pairs(rest, [main] * len(rest), effects)
        todo = [k for k in places if self.words[k] not in self.scale]
        if self.ended or not todo:
            return
        usable = [k for k in self.references if self.words[k] in self.scale]
        turned = F.normalize(effects, dim=1)
        chosen = (turned[todo] @ turned[usable].T).argmin(1).tolist()
        yield from self._pairs(todo, [usable[k] for k in chosen], effects)

    def _pairs(self, places: Sequence[int], beside: Sequence[int], effects: Tensor) -> Steps:
        """Ask each word beside a known one; both are places in `words`."""
        if not places or self.form is None:
            return
        pairs = [f"{self.words[k]} {self.words[r]}" for k, r in zip(places, beside, strict=True)]
        told = yield from self._ask(pairs)
        count = len(told)
        found = ratios(
            self._effects(told), effects[list(places[:count])], effects[list(beside[:count])],
            self.form.norm,
        )  # fmt: skip
        for k, r, ratio in zip(places, beside, found.tolist(), strict=False):
            self.scale[self.words[k]] = ratio * self.scale[self.words[r]]

    def _check(self) -> Steps:
        """Compare the solution with the victim on texts without the words that were not asked."""
        texts: list[str] = []
        while self.checked < len(self.texts) and len(texts) < self.checks:
            kept = [w for w in words_in(self.texts[self.checked]) if w in self.asked]
            self.checked += 1
            if len(kept) > 2:
                texts.append(" ".join(kept))
        if not texts:
            return
        told = yield from self._ask(texts)
        if not len(told):
            return
        rows = as_pixels(encode(texts[: len(told)], self.length, cut=True))
        error = float((self.solution()(rows).softmax(1) - told.double()).abs().max())
        if len(self.base) > 1:  # two texts of unknown words must have one answer
            error = max(error, float((self.base[0] - self.base[1]).abs().max()))
        wrong = error > RIGHT + self.step
        self.remark(
            f"On {len(told)} further texts the clone's answers differ from the victim's by up to "
            f"{error:.2g}. The victim is no linear model of single words (of word pairs or "
            "characters, perhaps), or its answers are altered or too coarse; text_knockoff guesses "
            "no form of the model" if wrong else ""
        )  # fmt: skip

    def solution(self) -> WordModel:
        """The model of all answers so far; a word whose weight is not known has the median one."""
        form = self.form or Form("l2", "linear", 0.0)
        bias = self.bias if len(self.bias) else torch.zeros(self.classes)
        theta = torch.stack(self.effects) if self.effects else torch.zeros(0, self.classes)
        known = sorted(self.scale.values())
        middle = known[len(known) // 2] if known else 1.0
        scale = [self.scale.get(word, middle) for word in self.words]
        ones = form.norm == "none"
        return WordModel(
            self.words, torch.tensor([1.0 if ones else one for one in scale]).double(), theta, bias,
            norm=form.norm, counts=form.counts,
        )  # fmt: skip


def _groups(words: Sequence[str], size: int, length: int) -> Iterator[list[str]]:
    """Groups of at most `size` words that fit a text of `length` bytes."""
    group: list[str] = []
    for word in words:
        if group and (len(group) == size or len(" ".join([*group, word]).encode()) > length):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _references(effects: Tensor) -> list[int]:
    """For each class the word that speaks most for it: any word has one that points away."""
    return list(dict.fromkeys(effects.argmax(0).tolist()))
