"""A scikit-learn classifier, or any other with `predict_proba`, behind the victim's interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.types import Victim
from clonecost.victims.torch_model import failures_named


def is_estimator(found: object) -> bool:
    """Whether `sklearn_victim` takes it."""
    return hasattr(found, "predict_proba") or hasattr(found, "predict")


def sklearn_victim(estimator: Any) -> Victim:
    """Serve an estimator or pipeline as an API would: rows (n, d) -> (n, K) float64.

    Answers are its `predict_proba`, in the order of its `classes_`; of one that only has `predict`
    they are one-hot. Rows reach it as float64, in the very numbers that were sent.

    Raises (when asked):
        VictimError: it failed, or is not fitted.
    """
    probs = getattr(estimator, "predict_proba", None)  # an SVC has it on condition only

    def answer(inputs: Tensor, /) -> Tensor:
        rows = inputs.detach().cpu().double().numpy()
        with failures_named(tuple(inputs.shape)):
            if probs is not None:
                values = np.asarray(probs(rows), dtype=np.float64)
            else:
                named, classes = estimator.predict(rows), np.asarray(estimator.classes_)
                values = (np.asarray(named)[:, None] == classes).astype(np.float64)
        return torch.from_numpy(values).to(inputs.device)

    return answer


def skops_victim(path: Path, allow: Sequence[str] = ()) -> Any:
    """The estimator in a .skops file; no type is made that is not known to be harmless.

    Args:
        allow: further types, by their full names, that the owner answers for.

    Raises:
        VictimError: skops is not installed, the file is broken, it holds types that nobody has
            allowed (the sentence names them), or it is no classifier.
    """
    try:
        import skops.io
    except ImportError as error:
        raise VictimError(
            f"{path} needs the package skops: pip install 'clonecost[tabular]'"
        ) from error
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(allow)
        if unknown:
            flags = " ".join(f"--allow {name}" for name in sorted(unknown))
            raise VictimError(
                f"{path} holds types that are not known to be harmless, and loading it can run "
                f"their code: if you made the file or know them, allow each by name: {flags}"
            )
        found = skops.io.load(path, trusted=list(allow))
    except VictimError:
        raise
    except Exception as error:  # zip, json, and whatever a type's own state raises
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise VictimError(f"{path} cannot be loaded as a skops file: {first}") from error
    if not is_estimator(found):
        raise VictimError(
            f"{path} holds a {type(found).__name__}, which has neither predict_proba nor predict"
        )
    return found
