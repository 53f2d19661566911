"""The served model: a victim behind its defences, and its API."""

import re
from collections.abc import Container
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.config import (
    Spec,
    answer_kind,
    bring_victim,
    endpoint_url,
    features_of,
    load_table_parts,
    make_defence,
    make_device,
    of_table,
    of_text,
    victim_shape,
)
from clonecost.config.defaults import must_give_one_class
from clonecost.defences import defend, must_fit
from clonecost.errors import Advice, SetKey, SpecError
from clonecost.oracle.answer_policy import api_answers, to_eight_bits
from clonecost.types import PredictionApi, Progress, Victim, no_progress
from clonecost.victims.torch_model import as_victim_error
from clonecost.victims.zoo.catalogue import VICTIMS

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A victim and its API.

    A call with (n, *input_shape) pixels in [0, 1] returns what the API shows: (n, K) float32. A
    model of a table takes float32 values of its features, and returns float64 if its victim does.
    The output policy is the oracle's, so that an audit of the victim attacks the same answers.

    Raises (when called):
        VictimError: the victim failed or gave an unusable answer.

    Example:
        >>> model = served_model(make_spec({"victim": "digits-lenet"}, asks=False))
        >>> model(torch.rand(5, 1, 32, 32)).shape
        torch.Size([5, 10])
    """

    name: str  # in its URL
    victim: Victim  # with its defences
    api: PredictionApi
    classes: tuple[str, ...] = ()  # their names, where the victim states them

    def __call__(self, inputs: Tensor, /) -> Tensor:
        if self.api.input_precision == "uint8":
            inputs = to_eight_bits(inputs)
        with torch.no_grad(), as_victim_error(tuple(inputs.shape)):  # defences included
            return api_answers(self.victim(inputs), len(inputs), self.api)


def served_model(
    spec: Spec, *, name: str | None = None, progress: Progress = no_progress,
    consent: Container[str] = (),
) -> ServedModel:  # fmt: skip
    """The victim of a spec with its defences, answers and input precision; the rest is ignored.

    A table's columns are those of the spec, of its test rows, or of its victim: a victim of the
    zoo states their ranges, an estimator their names.

    Args:
        name: the name in the URL; by default `url_name` of the victim.
        consent: what the person agreed to, as KIND:WHAT; `EVERYTHING` for a spec of their own.

    Raises:
        ConsentError: the spec would run code that the person has not agreed to.
        SpecError: the victim is an endpoint, the name is no segment of a URL, or the input shape
            or the number of classes of the user's own victim is unknown.
        VictimError: the victim cannot be loaded.

    Example:
        >>> served_model(make_spec({"victim": "iris-softmax"}, asks=False)).name
        'iris-softmax'
    """
    if endpoint_url(spec):
        raise SpecError(
            f"{spec.victim} is an endpoint, and no ledger would record the rows sent through "
            "another server", Advice("audit the endpoint itself"),
        )  # fmt: skip
    must_give_one_class(spec, "A served model")
    if of_text(spec):
        raise SpecError(
            f"{spec.victim} takes texts, and models of images and tables are served here",
            Advice("audit it directly: it needs no server"),
        )
    if name is not None:
        must_fit_url(name)
    zoo = VICTIMS.get(spec.victim)
    features, victim = features_of(spec), None
    if spec.test and of_table(spec):
        victim, test = load_table_parts(spec, progress, consent=consent)
        features = test.features
    shape = (len(features),) if features else victim_shape(spec)
    classes = zoo.num_classes if zoo else spec.classes
    victim = victim or bring_victim(
        spec, shape, classes, make_device(spec.device), progress, features, consent=consent
    )
    shape, classes = victim.input_shape or shape, victim.num_classes or classes
    if shape is None or classes is None:
        raise SpecError(
            f"The input shape or the number of classes of {victim.name} is unknown",
            SetKey("shape" if shape is None else "classes"),
            Advice("for a table, give `test` rows or `features`"),
        )
    kind, top_k = answer_kind(spec.answers)
    api = PredictionApi(
        input_shape=shape, num_classes=classes, answers=kind, top_k=top_k,
        input_precision=spec.input_precision, features=features or victim.features,
        incomplete=spec.incomplete,
    )  # fmt: skip
    defences = [make_defence(text) for text in spec.defence]
    must_fit(defences, api)
    return ServedModel(
        name=name or url_name(spec.victim),
        victim=defend(victim.answer, *defences),
        api=api,
        classes=victim.classes if len(victim.classes) == classes else (),
    )


def must_fit_url(name: str) -> None:
    """Refuse a name by which no request would reach the model.

    Raises:
        SpecError: the name is not one segment of a URL.
    """
    if not _SEGMENT.fullmatch(name):
        raise SpecError(
            "The model's name does not fit in its URL", SetKey("name", url_name(name)),
            got=repr(name), want="letters of English, digits, dots, _ and -",
        )  # fmt: skip


def url_name(victim: str) -> str:
    """A victim's name as one segment of a URL: `own:net` -> own-net, `a/net.onnx` -> net."""
    last = re.sub(
        r"\.(safetensors|pt2|onnx|skops|txt|json|ubj|cbm)$", "", re.split(r"[/\\]", victim)[-1]
    )
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model"
