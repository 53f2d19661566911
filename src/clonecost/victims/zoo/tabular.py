"""Classifiers of tables, trained on scikit-learn's data in a second or two at every call.

The models are those that Tramèr et al. (USENIX Security 2016) attack, on data that need no
download. All but the trees scale numbers to [-1, 1] by the ranges of their features, which the
attacker knows.
"""

from typing import Any

from clonecost.data.tables import load_table
from clonecost.errors import ChooseFrom, SpecError, suggest
from clonecost.types import LabelledInputs
from clonecost.victims import LoadedVictim
from clonecost.victims.digests import estimator_digest
from clonecost.victims.sklearn_model import sklearn_victim
from clonecost.victims.zoo.catalogue import TABLE_VICTIMS


def table_estimator(name: str, *, seed: int = 0) -> Any:
    """The fitted scikit-learn estimator of a victim in `TABLE_VICTIMS`.

    The fit uses one thread, so that the same seed gives the same bits on any number of cores.

    Raises:
        SpecError: there is no victim of that name.
    """
    from threadpoolctl import threadpool_limits

    from clonecost.victims.zoo.estimators import unfitted

    if name not in TABLE_VICTIMS:
        raise SpecError(suggest("victim", name, list(TABLE_VICTIMS)), ChooseFrom("victims"))
    recipe = TABLE_VICTIMS[name]
    train = load_table(recipe.table, "train")
    estimator = unfitted(recipe.family, train.features or (), recipe.size, seed)
    with threadpool_limits(1):
        return estimator.fit(train.inputs.double().numpy(), train.labels.numpy())


def table_victim(name: str, *, seed: int = 0) -> tuple[LoadedVictim, LabelledInputs]:
    """A victim of `TABLE_VICTIMS`, trained now, and the test rows of its table.

    The victim maps (n, d) rows to (n, K) probabilities, float64.

    Raises:
        SpecError: there is no victim of that name.

    Example:
        >>> victim, test = table_victim("iris-softmax")
        >>> victim.answer(test.inputs).dtype
        torch.float64
    """
    estimator = table_estimator(name, seed=seed)
    test = load_table(TABLE_VICTIMS[name].table, "test")
    victim = LoadedVictim(
        name=name, answer=sklearn_victim(estimator), input_shape=test.shape,
        num_classes=len(estimator.classes_), features=test.features,
        weights=estimator_digest(estimator), free_rows=True,
    )  # fmt: skip
    return victim, test
