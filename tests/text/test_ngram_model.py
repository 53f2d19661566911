"""The student for texts."""

import torch
from tests.support.text_toys import LENGTH, text_toy, word_model

from clonecost.data.text_rows import encode
from clonecost.text.ngram_model import fit_ngrams
from clonecost.types import as_pixels


def test_soft_answers_teach_more_than_labels_of_the_same_rows() -> None:
    toy = text_toy(word_model(known=100))
    rows, test = as_pixels(toy.pool.inputs), as_pixels(toy.test.inputs)
    answers, wanted = toy.answer(rows), toy.answer(test).argmax(1)
    labels = torch.nn.functional.one_hot(answers.argmax(1), 3).double()
    soft, hard = (
        float((fit_ngrams(toy.pool.inputs, told, 1)(test).argmax(1) == wanted).double().mean())
        for told in (answers, labels)
    )
    assert soft > 0.75
    assert soft > hard


def test_pairs_of_words_are_features_and_unknown_words_say_nothing() -> None:
    rows = encode(["ba co", "co ba"] * 10, LENGTH)
    model = fit_ngrams(rows, torch.eye(2).repeat(10, 1), 2)
    logits = model(as_pixels(encode(["ba co", "co ba", "xx yy"], LENGTH)))
    assert logits.argmax(1).tolist()[:2] == [0, 1]
    assert float(logits[2].diff().abs()) < 1e-3
