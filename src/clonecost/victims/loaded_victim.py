"""A loaded victim: the common result of all ways of loading one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from clonecost.errors import SetKey, VictimError
from clonecost.persistence.file_limits import regular_file
from clonecost.result import EndpointCard
from clonecost.types import (
    Feature,
    InputPrecision,
    LabelledInputs,
    PredictionApi,
    Shape,
    Shown,
    Victim,
)
from clonecost.victims.answer_form import AnswerForm, Outputs
from clonecost.victims.asking import asked
from clonecost.victims.digests import code_digest, estimator_digest, weights_digest
from clonecost.victims.pipelines import is_pipeline, opened_pipeline
from clonecost.victims.raw_scores import Wanted
from clonecost.victims.sklearn_model import EstimatorApi, TableModel
from clonecost.victims.torch_model import callable_scores, module_scores, open_network
from clonecost.victims.training_mode import trains

NAMELESS = "victim"  # the name of a victim that was given as a module or a function


@dataclass(frozen=True, kw_only=True)
class LoadedVictim:
    """A victim and what is known about it.

    Example:
        >>> victim = load_victim("my_models:network", input_shape=(1, 28, 28), num_classes=10)
        >>> victim.answer(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    name: str
    answer: Victim  # (n, *input_shape) -> (n, num_classes) probabilities
    input_shape: Shape | None = None  # None: unknown, so that the audit must state it
    num_classes: int | None = None
    features: tuple[Feature, ...] | None = None  # a table's columns, where the victim states them
    classes: tuple[str, ...] = ()  # the classes' names, where the victim states them
    table: TableModel | None = None  # the estimator, which rows of a table are fitted to
    # sha256 of the victim's file, of its weights, or of its fitted state; None of a function
    weights: str | None = None
    code: str | None = None  # sha256 of the source file that defines a victim in Python
    # pixels in [0, 1] -> logits; set for a white box only
    network: nn.Module | None = None
    served: str = ""  # how the victim is run or reached, in words, where known
    outputs: Outputs | None = None  # what it returns, where its owner or its methods say so
    # what the model returns, and why; None while that is not known
    form: Callable[[], AnswerForm | None] = lambda: None
    # how much its answers show, and k of "top_k"; None while that is not known
    shows: Callable[[], Shown | None] = lambda: None
    free_rows: bool = False  # a model of this process: rows outside of the accounts cost nothing
    trains: bool = False  # a function of a network that is in training mode
    takes: InputPrecision = "float32"  # uint8: inputs are rounded to 8 bits on the way
    rows_in_flight: int | None = None  # remote victims: the most rows in flight at once
    endpoint: Callable[[], EndpointCard] | None = None  # remote victims: the traffic so far
    true_labels: LabelledInputs | None = None  # the victim's training data, for the control

    @property
    def format(self) -> str:
        """How the victim is run or reached, and what it gives, in words."""
        form = self.form()
        return ", ".join(part for part in (self.served, form.words if form else "") if part)

    def fitted_to(self, features: Sequence[Feature] | None) -> "LoadedVictim":
        """The same victim for rows with these features, where it is an estimator.

        Raises:
            VictimError: the estimator was fitted on other columns or categories.
        """
        if self.table is None or not features:
            return self
        found = asked(
            self.table.answering(features), where=self.name, outputs=self.outputs,
            num_classes=self.num_classes, local=False,
        )  # fmt: skip
        return replace(
            self, answer=found.answer, form=found.form, shows=found.shows,
            features=tuple(features), input_shape=(len(features),),
        )  # fmt: skip


def as_loaded(
    victim: nn.Module | Victim | LoadedVictim, *, device: torch.device, api: PredictionApi,
    white_box: bool,
) -> LoadedVictim:  # fmt: skip
    """What an audit was given, as a loaded victim with digests and the form of its answers.

    Args:
        victim: what it returns is found out by `asked`. A function may send its rows to anywhere,
            so the first rows of the audit decide; a module is asked rows of our own.
        device: where a module runs; it is moved there.
        api: the inputs and classes of the audit.
        white_box: whether a module is opened to the attack.

    Raises:
        VictimError: it is not clear what the victim returns.
    """
    if isinstance(victim, LoadedVictim):
        if victim.network is None or victim.weights is not None:
            return victim
        return replace(victim, weights=weights_digest(victim.network))
    module = victim.to(device) if isinstance(victim, nn.Module) else None
    columns = api.num_classes // 2 if api.multi_label else api.num_classes
    wanted = Wanted(columns=columns)
    is_pipe = is_pipeline(victim, "image-classification")
    pipe = opened_pipeline(victim, "victim") if is_pipe else None
    if pipe and api.input_precision != "uint8":
        raise VictimError(
            "The images of a pipeline have 8 bits, and would be rounded after the ledger has "
            "recorded finer pixels", SetKey("input_precision", "uint8"),
        )  # fmt: skip
    found = asked(
        callable_scores(pipe.of_pixels if pipe else victim, wanted)
        if module is None
        else module_scores(module, device=device, wanted=wanted),
        where="the victim", num_classes=columns, input_shape=api.input_shape,
        outputs="multi_label" if api.multi_label else None,
        features=api.features, local=module is not None,
    )  # fmt: skip
    form = found.form()
    served = victim if isinstance(victim, EstimatorApi) else None
    weights = None if module is None else weights_digest(module)
    return LoadedVictim(
        name=NAMELESS, answer=found.answer, form=found.form, shows=found.shows,
        code=code_digest(victim), free_rows=module is not None or served is not None,
        trains=module is None and trains(victim), classes=getattr(served or pipe, "classes", ()),
        weights=estimator_digest(served.estimator) if served else weights,
        network=open_network(module, form, wanted)
        if white_box and module is not None and form
        else None,
    )  # fmt: skip


def must_exist(path: Path) -> None:
    """Refuse a path without a regular file.

    Raises:
        VictimError: there is no such file, or it is a folder, a pipe or a device.
    """
    regular_file(path, VictimError)
