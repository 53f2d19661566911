"""Classifiers of texts: scikit-learn pipelines, trained on the installed documentation.

Their training data are docstrings of Python's standard library, so that a victim depends on the
version of Python.
"""

from dataclasses import replace
from typing import Any

from clonecost.data.text_rows import decode
from clonecost.data.texts import TextOptions, load_texts
from clonecost.errors import ChooseFrom, SpecError, suggest
from clonecost.types import LabelledInputs
from clonecost.victims.load_text import text_victim
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.zoo.catalogue import TEXT_VICTIMS

PENALTY = 10.0  # C of the logistic regression


def text_pipeline(name: str) -> Any:
    """The fitted scikit-learn pipeline of a victim in `TEXT_VICTIMS`; its classes are words.

    Raises:
        SpecError: there is no victim of that name.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    if name not in TEXT_VICTIMS:
        raise SpecError(suggest("victim", name, list(TEXT_VICTIMS)), ChooseFrom("victims"))
    recipe = TEXT_VICTIMS[name]
    train = load_texts(recipe.dataset, "train")
    ngrams = (1, recipe.longest)
    pipeline = (
        make_pipeline(CountVectorizer(ngram_range=ngrams), MultinomialNB())
        if recipe.counts
        else make_pipeline(
            TfidfVectorizer(ngram_range=ngrams), LogisticRegression(C=PENALTY, max_iter=1_000)
        )
    )
    labels = [train.classes[k] for k in train.labels.tolist()]
    with threadpool_limits(1):
        return pipeline.fit(decode(train.inputs), labels)


def zoo_text_victim(name: str, longest: int | None = None) -> tuple[LoadedVictim, LabelledInputs]:
    """A victim of `TEXT_VICTIMS`, trained now, and the test rows of its data.

    Args:
        longest: bytes of a row; None: of the longest test text.

    Raises:
        SpecError: there is no victim of that name.

    Example:
        >>> victim, test = zoo_text_victim("topics-tfidf")  # doctest: +SKIP
        >>> victim.answer(test.rows(slice(0, 2))).shape  # doctest: +SKIP
        torch.Size([2, 6])
    """
    victim = text_victim(text_pipeline(name), name=name)
    test = load_texts(TEXT_VICTIMS[name].dataset, "test", TextOptions(longest=longest))
    return replace(victim, input_shape=test.shape, free_rows=False), test
