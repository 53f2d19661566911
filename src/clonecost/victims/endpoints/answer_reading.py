"""The answers of an API that a spec describes, as scores for each class.

A JMESPath expression selects the answers; the answer to a row is one of

    [0.1, 0.7, 0.2]                       scores in the order of the classes
    {"cat": 0.7, "dog": 0.2}              scores by name
    [{"label": "cat", "score": 0.7}, ..]  a list, with the keys that the settings name
    {"labels": [..], "scores": [..]}      two lists, with the keys that the settings name
    {"label": "cat", "score": 0.7}        the predicted class and its score
    "cat" or 1                            the predicted class only, by name or number
    0.3                                   one number, of the second of two classes
    ["sky", "sea"]                        of several labels a row, those that are present

A row of several labels has the probability 0 for those that its answer does not name.

Numbers may be texts, also with a percent sign. A list of one element is that element.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import jmespath
import torch
from jmespath.exceptions import JMESPathError
from torch import Tensor

from clonecost.data.values import is_number
from clonecost.errors import Advice, SetKey, VictimError
from clonecost.types import Shown
from clonecost.victims.endpoints.class_labels import ClassLabels, no_class_now
from clonecost.victims.endpoints.server_words import document_of, error_words, keys_of, unfolded

EXACT = 1e-12  # a sum this close to its total is not rescaled: a division would change last bits
ROUNDING = 0.05  # answers printed with few digits, whose sum is this close to 1, are rescaled
COLUMNS = ("sigmoid", "logit", "percent")  # forms of one number a row
UNSCALED = ("logits", "log_probs", "logit", "bytes", "multi_label")  # forms whose sums say nothing
LARGEST = 1e300  # no score
EXCERPT = 200  # characters of a server's text in a message


@dataclass(frozen=True)
class Winner:
    """An answer that names the predicted class."""

    label: object
    scored: bool = False  # its score is given, too


@dataclass(frozen=True)
class Scored:
    """An answer with scores, by label or in the order of the classes."""

    values: list[float]
    labels: list[object] | None = None


@dataclass
class AnswerReader:
    """Reads the answers of one API.

    Attributes:
        many: an answer holds a list, one for each row of the request.
        csv: the API was sent CSV, and answers in CSV unless it says otherwise.
        label, score: keys of a class and its score.
        outputs: the form of the scores, as the owner states it.
        exact: scores stay in float64.
        quote: a server's text in a message, without secrets.
        kinds: what the answers so far showed.
    """

    url: str
    path: str
    many: bool
    csv: bool
    label: str
    score: str
    labels: ClassLabels
    top_k: int | None
    outputs: str | None
    exact: bool
    quote: Callable[[str, int], str]
    kinds: set[str] = field(default_factory=set)

    @property
    def shows(self) -> Shown | None:
        """The kind of the answers, and k of "top_k"; None before the first of them."""
        if self.kinds == {"label"} or self.outputs == "label" or self.top_k == 1:
            return "label", None
        if self.top_k:
            return "top_k", self.top_k
        return ("probs", None) if self.kinds else None

    def read(self, response: httpx2.Response, rows: int) -> Tensor:
        """The body of an answer to `rows` rows -> (rows, K) scores, or (rows, 1) of two classes.

        Raises:
            VictimError: the body has another form, or says that the server failed.
        """
        answers = [self._answer(one) for one in self._selected(response, rows)]
        values = self._numbers_alone(answers)
        if values is not None:
            return self._typed(torch.tensor(values, dtype=torch.float64).view(-1, 1))
        scores = torch.zeros(rows, self.labels.num_classes, dtype=torch.float64)
        named = [
            label for one in answers
            for label in ([one.label] if isinstance(one, Winner) else one.labels or [])
        ]  # fmt: skip
        found = iter(self.labels.numbers(named))
        for k, answer in enumerate(answers):
            if isinstance(answer, Winner):
                scores[k, next(found)] = 1.0
                continue
            self._check_count(answer)
            columns = range(len(answer.values))
            places = list(columns) if answer.labels is None else [next(found) for _ in columns]
            if len(set(places)) < len(places):
                raise VictimError(f"An answer of {self.url} names a class twice",
                                  got=self._shown(answer.labels))  # fmt: skip
            scores[k, places] = torch.tensor(answer.values, dtype=torch.float64)
        winners = {isinstance(one, Winner) for one in answers}
        self.kinds.update("label" if one else "probs" for one in winners)
        return self._typed(scores if winners == {True} else self._rescaled(scores))

    def _selected(self, response: httpx2.Response, rows: int) -> list[Any]:
        """The answer to each row."""
        media = response.headers.get("content-type", "")
        try:
            in_csv = self.csv and "json" not in media
            document = document_of(response.content, "text/csv" if in_csv else media)
        except (ValueError, RecursionError) as error:
            raise VictimError(f"The answer of {self.url} is no JSON that {self.path} applies to",
                              SetKey("endpoint.answers"),
                              got=self._shown(response.text)) from error  # fmt: skip
        try:
            selected = jmespath.search(self.path, document)
            if selected is None:
                selected = jmespath.search(self.path, unfolded(document))
            elif isinstance(selected, str):
                selected = unfolded(selected)
        except (JMESPathError, RecursionError) as error:
            raise VictimError(f"The answer of {self.url} is no JSON that {self.path} applies to",
                              SetKey("endpoint.answers"),
                              got=self._shown(document)) from error  # fmt: skip
        if selected is None or (selected in ([], {}) and not self._several):
            if words := error_words(document):
                raise self._error_under_success(response, words)
            raise VictimError(f"The answer of {self.url} has nothing at {self.path}",
                              SetKey("endpoint.answers"),
                              got=self.quote(keys_of(document), EXCERPT))  # fmt: skip
        if not self.many:
            if rows == 1:
                return [selected]
            raise ValueError("a request of several rows has no list of answers")
        if isinstance(selected, list) and len(selected) == 1 != rows and _has(selected[0], rows):
            selected = selected[0]
        if not isinstance(selected, list) or len(selected) != rows:
            if words := error_words(document):
                raise self._error_under_success(response, words)
            got = f"{len(selected)} answers" if isinstance(selected, list) else "no list"
            raise VictimError(f"{self.url}: {self.path} selects the wrong number of answers",
                              SetKey("endpoint.answers"), got=got,
                              want=f"{rows} answers for {rows} rows")  # fmt: skip
        return selected

    def _answer(self, answer: Any) -> Winner | Scored:
        """The answer to one row."""
        answer = _element(unfolded(answer) if isinstance(answer, str) else answer)
        if self._several and (answer in ([], {}) or _are_words(answer)):
            return Scored([1.0] * len(answer), list(answer))
        if isinstance(answer, bool | str | int | float):
            return Winner(answer)
        if isinstance(answer, list) and answer:
            flat = [_element(one) for one in answer]
            if all(isinstance(one, dict) for one in flat):
                return self._of_pairs([self._pair(one) for one in flat])
            return Scored([self._number(one, answer) for one in flat])
        if isinstance(answer, dict) and answer:
            return self._of_object(answer)
        raise self._wrong_form(answer)

    def _of_object(self, answer: dict[str, Any]) -> Winner | Scored:
        label, score = answer.get(self.label), answer.get(self.score)
        if isinstance(label, list) and isinstance(score, list) and len(label) == len(score):
            return self._of_pairs(list(zip(label, score, strict=True)))
        if isinstance(label, str | int | float) and not self._named(answer):
            return self._of_pairs([(label, score)]) if self.score in answer else Winner(label)
        values = [number_of(_element(one)) for one in answer.values()]
        if None in values and not error_words(answer) and not self._named(answer):
            raise self._no_key(self.label, "label", answer)
        return Scored([self._number(one, answer) for one in values], list(answer))

    @property
    def _several(self) -> bool:
        """Several labels a row: those that an answer does not name are absent."""
        return self.outputs == "multi_label"

    def _named(self, answer: dict[str, Any]) -> bool:
        """Whether every key is a class: "label" may be one."""
        return min(self.labels.find(list(answer))) >= 0

    def _of_pairs(self, pairs: list[tuple[Any, Any]]) -> Winner | Scored:
        if len(pairs) == 1 and not self._several:
            ((label, score),) = pairs
            if score is not None:
                self._number(score, {str(label): score})
            return Winner(label, scored=score is not None)
        labels = [label for label, _ in pairs]
        return Scored([self._number(score, {str(label): score}) for label, score in pairs], labels)

    def _pair(self, one: dict[str, Any]) -> tuple[Any, Any]:
        for key, name in ((self.label, "label"), (self.score, "score")):
            if key not in one:
                raise self._no_key(key, name, one)
        return one[self.label], one[self.score]

    def _number(self, value: Any, answer: Any) -> float:
        number = number_of(value)
        if number is None:
            raise self._wrong_form(answer)
        return number

    def _numbers_alone(self, answers: Sequence[Winner | Scored]) -> list[float] | None:
        """Answers of one number a row, which is no label but a score; None for all others."""
        alone = [number_of(one.label) for one in answers
                 if isinstance(one, Winner) and not one.scored]  # fmt: skip
        values = [value for value in alone if value is not None]
        if self.labels.num_classes != 2 or len(values) < len(answers):
            return None
        labels = [one.label for one in answers if isinstance(one, Winner)]
        known = min(self.labels.find(labels)) >= 0
        if self.outputs not in COLUMNS and "column" not in self.kinds and known:
            return None
        if "label" in self.kinds:
            raise no_class_now(self.url, self._shown(labels[:3]))
        whole = all(value.is_integer() for value in values)
        if self.outputs in COLUMNS or "column" in self.kinds or not whole:
            self.kinds.add("column")
            return values
        return None

    def _check_count(self, answer: Scored) -> None:
        got, classes = len(answer.values), self.labels.num_classes
        if self._several and answer.labels is not None:
            return
        if got != (self.top_k or classes):
            raise VictimError(
                f"The answer of {self.url} has the wrong number of classes",
                SetKey("endpoint.top_k", got), SetKey("classes"),
                got=got, want=self.top_k or classes,
            )  # fmt: skip

    def _rescaled(self, scores: Tensor) -> Tensor:
        """Rows whose sum differs from the whole by rounding, or by missing classes, made whole."""
        if self.outputs in UNSCALED:
            if self.top_k:
                raise VictimError(
                    f"{self.url} gives {self.top_k} of {self.labels.num_classes} classes as "
                    f"{self.outputs}, which cannot be made probabilities without the other classes",
                    Advice("let the API give probabilities, or all classes"),
                )  # fmt: skip
            return scores
        whole = 100.0 if self.outputs == "percent" else 1.0
        sums = scores.sum(1, keepdim=True)
        off = (sums / whole - 1).abs()
        near = off <= ROUNDING
        if self.top_k:
            near = (sums > 0) & (sums <= whole * (1 + ROUNDING))
            if not near.all() or bool((scores < 0).any()):
                bad = scores[(~near[:, 0]) | (scores < 0).any(1)][0]
                raise VictimError(
                    f"The scores of {self.top_k} classes at {self.url} are no probabilities",
                    *([] if whole == 100 else [SetKey("outputs", "percent")]),
                    SetKey("endpoint.top_k"),
                    got=self._shown(bad[bad != 0].tolist()), want=f"a sum of at most {whole:g}",
                )  # fmt: skip
        near = near & (off > EXACT) & (scores >= 0).all(1, keepdim=True)
        return torch.where(near, scores / sums * whole, scores)

    def _typed(self, scores: Tensor) -> Tensor:
        return scores if self.exact else scores.float()

    def _error_under_success(self, response: httpx2.Response, words: str) -> VictimError:
        return VictimError(
            f"{self.url} answered {response.status_code}, but with an error and no answer to the "
            f"rows: {self.quote(words, EXCERPT)}", Advice("ask the owner of the endpoint"),
        )  # fmt: skip

    def _no_key(self, key: str, name: str, answer: dict[str, Any]) -> VictimError:
        return VictimError(
            f"An answer of {self.url} has no key {key!r}", SetKey(f"endpoint.{name}"),
            got=self.quote(", ".join(map(str, answer)), EXCERPT),
        )  # fmt: skip

    def _wrong_form(self, answer: Any) -> VictimError:
        if isinstance(answer, dict) and (words := error_words(answer)):
            return VictimError(
                f"{self.url} answered with an error in place of a row: "
                f"{self.quote(words, EXCERPT)}", Advice("ask the owner of the endpoint"),
            )  # fmt: skip
        return VictimError(
            f"The answer of {self.url} at {self.path} has the wrong form",
            SetKey("endpoint.answers"), got=self._shown(answer),
            want="numbers, numbers by name, or a class",
        )  # fmt: skip

    def _shown(self, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        return self.quote(text, 80)


def number_of(value: Any) -> float | None:
    """A finite number, or a text of one, also with a percent sign; None for anything else.

    Example:
        >>> number_of("0.25"), number_of("25 %"), number_of(True), number_of("cat")
        (0.25, 0.25, None, None)
    """
    if isinstance(value, bool):
        return None
    if not isinstance(value, str):
        plain = isinstance(value, int | float) and abs(value) < LARGEST
        return float(value) if plain else None
    text = value.strip()
    digits = text.removesuffix("%").rstrip()
    if not is_number(digits) or abs(float(digits)) >= LARGEST:
        return None
    return float(digits) / 100 if text.endswith("%") else float(digits)


def _element(value: Any) -> Any:
    """The element of lists of one, as of a batch of one row or a pooled image of one pixel."""
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    return value


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str) and number_of(one) is None for one in value
    )


def _has(value: Any, rows: int) -> bool:
    return isinstance(value, list) and len(value) == rows
