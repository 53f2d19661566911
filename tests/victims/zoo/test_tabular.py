import pytest
import torch

from clonecost.errors import SpecError
from clonecost.victims.digests import estimator_digest
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS, VICTIMS
from clonecost.victims.zoo.tabular import table_estimator, table_victim

ONE_OF_EACH = {recipe.family: name for name, recipe in reversed(TABLE_VICTIMS.items())}


@pytest.mark.parametrize("name", sorted(ONE_OF_EACH.values()))
def test_a_victim_of_each_kind_is_above_the_majority_class_baseline(name: str) -> None:
    victim, test = table_victim(name)
    answers = victim.answer(test.inputs)
    accuracy = (answers.argmax(1) == test.labels).double().mean()
    majority = int(test.labels.bincount().max()) / len(test)
    assert float(accuracy) > majority + 0.1
    assert answers.dtype == torch.float64
    assert (victim.input_shape, victim.num_classes) == (test.shape, len(test.labels.unique()))
    assert len(victim.weights or "") == 64


def test_a_seed_is_the_same_victim_to_the_last_bit_and_another_is_not() -> None:
    first, again, other = (table_victim("iris-mlp", seed=seed)[0].weights for seed in (0, 0, 1))
    assert first == again != other


def test_a_trees_answers_distinguish_its_leaves() -> None:
    test = table_victim("digits-tree")[1].inputs.double().numpy()
    own, plain = table_estimator("digits-tree"), table_estimator("digits-plain-tree")
    leaves = len(set(own.tree_.apply(test)))
    answers = {row.tobytes() for row in own.predict_proba(test)}
    assert len(answers) == leaves
    shared = {row.tobytes() for row in plain.predict_proba(test)}
    assert len(shared) == 10 < len(set(plain.apply(test)))


def test_names_differ_from_those_of_image_victims() -> None:
    assert not set(VICTIMS) & set(TABLE_VICTIMS)
    with pytest.raises(SpecError, match="unknown victim 'iris-softmaxx'; did you mean"):
        table_victim("iris-softmaxx")


def test_the_digest_is_that_of_any_estimator() -> None:
    own = estimator_digest(table_estimator("iris-softmax"))
    assert table_victim("iris-softmax")[0].weights == own
