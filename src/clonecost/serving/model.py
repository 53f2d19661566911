"""What is served: a victim behind its defences, and what its API takes and shows."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.config import (
    Spec,
    answer_kind,
    bring_victim,
    endpoint_url,
    features_of,
    make_defence,
    make_device,
    of_table,
    victim_shape,
)
from clonecost.data.tables import load_table
from clonecost.defences import defend
from clonecost.errors import SpecError
from clonecost.oracle.answer_policy import shown, to_eight_bits
from clonecost.types import PredictionApi, Progress, Victim, no_progress
from clonecost.victims.torch_model import as_victim_error
from clonecost.victims.zoo.catalogue import VICTIMS


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A victim and its API.

    Called with (n, *input_shape) pixels in [0, 1] it gives what the API shows: (n, K) float32.

    A table's takes float32 values of its features, and gives float64 where its victim does. The
    same policy as the oracle's: what is served is what an audit of the victim attacks.

    Raises:
        VictimError: (when called) the victim failed or answered nonsense.
    """

    name: str  # as in its URL
    victim: Victim  # defences included
    api: PredictionApi

    def __call__(self, inputs: Tensor, /) -> Tensor:
        if self.api.input_precision == "uint8":
            inputs = to_eight_bits(inputs)
        with torch.no_grad(), as_victim_error(tuple(inputs.shape)):  # a defence may fail, too
            return shown(self.victim(inputs), len(inputs), self.api)


def served_model(
    spec: Spec, *, name: str | None = None, progress: Progress = no_progress
) -> ServedModel:
    """The victim of a spec with its defences, answers and input precision; the rest is ignored.

    Args:
        name: as in the URL; by default made from the victim's.

    A table's columns are those of the spec, of its test rows, or as its victim says them: one
    of the zoo with their ranges, an estimator with their names.

    Raises:
        SpecError: it is an endpoint; or nothing says what a victim of the user's own takes, or how
            many classes it has.
        VictimError: the victim cannot be loaded.
    """
    if endpoint_url(spec):
        raise SpecError(
            f"{spec.victim} is served already, and rows that went through here would be in no "
            "ledger: audit it where it is"
        )
    zoo = VICTIMS.get(spec.victim)
    features = features_of(spec)
    if features is None and spec.test and of_table(spec):
        features = load_table(spec.test, "test").features
    shape = (len(features),) if features else victim_shape(spec)
    classes = zoo.num_classes if zoo else spec.classes
    victim = bring_victim(spec, shape, classes, make_device(spec.device), progress, features)
    shape, classes = victim.input_shape or shape, victim.num_classes or classes
    if shape is None or classes is None:
        raise SpecError(
            f"{victim.name} does not say what it takes and gives: add --shape C,H,W and --classes "
            "K; of a table --test rows.csv, or [[features]] in a spec file"
        )
    kind, top_k = answer_kind(spec.answers)
    api = PredictionApi(
        input_shape=shape, num_classes=classes, answers=kind, top_k=top_k,
        input_precision=spec.input_precision, features=features or victim.features,
        incomplete=spec.incomplete,
    )  # fmt: skip
    return ServedModel(
        name=name or url_name(spec.victim),
        victim=defend(victim.answer, *(make_defence(text) for text in spec.defence)),
        api=api,
    )


def url_name(victim: str) -> str:
    """A victim's name as one segment of a URL: `own:net` -> own-net, `a/net.onnx` -> net."""
    last = re.sub(r"\.(safetensors|pt2|onnx|skops)$", "", re.split(r"[/\\]", victim)[-1])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model"
