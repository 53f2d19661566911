"""`tfidf_exact`: the weights of linear models over words, to the last digits that answers show."""

from pathlib import Path

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.support.text_toys import LENGTH, text_toy, texts, word_model

from clonecost.attacks._words import Questions
from clonecost.attacks.tfidf_exact import TfidfExact
from clonecost.audit import Audit, run_audit
from clonecost.data.text_rows import decode, encode
from clonecost.data.text_words import words_of
from clonecost.text.word_model import Counts, Norm, WordModel
from clonecost.types import ThreatModel, Victim, as_pixels
from clonecost.victims.load_text import text_victim


def solved(answer: Victim, pool: list[str], classes: int) -> tuple[WordModel, int, list[str]]:
    """The solution, the queries that it took, and the remarks."""
    remarks: list[str] = []
    asked = Questions(
        texts=pool, candidates=words_of(pool), length=LENGTH, classes=classes, checks=20,
        remark=remarks.append,
    )  # fmt: skip
    steps, queries = asked.steps(), 0
    now = next(steps)
    while True:
        queries += len(now)
        try:
            now = steps.send(answer(as_pixels(encode(now, LENGTH, cut=True))))
        except StopIteration:
            return asked.solution(), queries, remarks


def error(one: WordModel, answer: Victim) -> float:
    rows = as_pixels(encode(texts(300, 400, 9), LENGTH))
    return float((one(rows).softmax(1) - answer(rows)).abs().max())


@pytest.mark.parametrize(
    ("norm", "counts", "classes"),
    [("l2", "linear", 3), ("l2", "linear", 2), ("none", "linear", 2), ("l2", "sublinear", 4),
     ("l2", "binary", 2), ("l1", "linear", 3), ("none", "sublinear", 3)],
)  # fmt: skip
def test_every_form_of_counts_and_norm_is_found_and_solved(
    norm: Norm, counts: Counts, classes: int
) -> None:
    toy = text_toy(word_model(norm=norm, counts=counts, classes=classes))
    found, queries, remarks = solved(toy.answer, decode(toy.pool.inputs), classes)
    assert error(found, toy.answer) < 1e-7
    assert remarks[-1] == ""
    words = len(words_of(decode(toy.pool.inputs)))
    assert queries < (1 if norm == "none" else 2) * words + 100


def test_a_pipeline_of_scikit_learn_is_copied_to_the_last_digits() -> None:
    train = texts(400, 300, 4)
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression(C=30))
    pipe.fit(train, [text.split()[0][0] for text in train])
    victim = text_victim(pipe)
    found, _, remarks = solved(victim.answer, texts(1_500, 500, 5), len(pipe.classes_))
    rows = as_pixels(encode(texts(200, 300, 6), LENGTH))
    assert float((found(rows).softmax(1) - victim.answer(rows)).abs().max()) < 1e-7
    assert remarks[-1] == ""


def test_word_pairs_are_no_linear_model_of_words_and_that_is_said() -> None:
    train = texts(300, 60, 4)
    pipe = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=30))
    pipe.fit(train, [int(text.split()[1][2] < "f") for text in train])
    _, _, remarks = solved(text_victim(pipe).answer, train, 2)
    assert "no linear model of single words" in remarks[-1]


def test_rare_words_are_asked_several_at_a_time() -> None:
    model = word_model(known=20)
    pool = texts(1_500, 500, 2)
    _, queries, _ = solved(lambda rows: model(rows).softmax(1), pool, 3)
    words = len(words_of(pool))
    assert queries < 0.85 * words


def test_rounded_answers_are_solved_as_well_as_they_show() -> None:
    toy = text_toy()
    found, _, _ = solved(lambda rows: toy.answer(rows).mul(1e4).round().div(1e4),
                         decode(toy.pool.inputs), 3)  # fmt: skip
    rows = as_pixels(toy.test.inputs)
    agreement = (found(rows).argmax(1) == toy.answer(rows).argmax(1)).double().mean()
    assert agreement > 0.85  # a word alone is often answered with 0 or 1


def test_an_audit_counts_rows_and_characters(tmp_path: Path) -> None:
    toy = text_toy()
    threat = ThreatModel(input_shape=(LENGTH,), num_classes=3, query_budget=1_500, text=True)
    result = run_audit(Audit(
        victim=toy.answer, threat=threat, attack=TfidfExact(), test=toy.test, proxy=toy.pool,
        out=tmp_path, price=2.0, price_characters=4.0,
    ))  # fmt: skip
    assert result.curve[-1].agreement.value > 0.99
    assert result.threat.text
    assert result.traffic.characters is not None
    assert 5 * result.spent < result.traffic.characters < LENGTH * result.spent
    price = result.price
    assert price.usd == pytest.approx((2 * result.spent + 4 * result.traffic.characters) / 1_000)
