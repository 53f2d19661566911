"""Load a student: a function that makes it anew, checked once, before a query is spent."""

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clonecost.backbones import load_backbone
from clonecost.errors import Advice, SetKey, SpecError
from clonecost.networks import build
from clonecost.networks.per_label import PerLabel
from clonecost.networks.pretrained import Pretrained, Start, start_of
from clonecost.persistence.file_limits import at_home, check_safetensors
from clonecost.persistence.python_import import imported
from clonecost.safe_text import first_line
from clonecost.students.libraries import library_encoder
from clonecost.students.naming import LIBRARIES, StudentName, must_be_listed, parse_student
from clonecost.types import Shape
from clonecost.victims.digests import weights_digest

Make = Callable[[], nn.Module]
KEYS_NAMED = 3  # of a file of weights that does not fit


@dataclass(frozen=True, kw_only=True)
class Student:
    """A network to be trained into the clone.

    Attributes:
        name: as the user wrote it, or that of its function or class.
        make: a new one on the CPU, in train mode: (n, *input_shape) pixels in [0, 1] -> (n, K)
            logits. Random weights come from torch's global random state.
        digest: sha256 of one that is made with a fixed seed, by which code and initial weights are
            known again; empty for a network of the catalogue.
        backbone: it has an encoder and a new last layer, which recipes tell apart.
        start: what its initial weights are.
    """

    name: str
    make: Make
    digest: str = ""
    backbone: bool = False
    start: Start = "scratch"


def load_student(name: str, input_shape: Shape, num_classes: int) -> Student:
    """The student of this name, for a victim's inputs and classes.

    What `parse_student` calls code is run; `pretrained=true` may fetch weights from a hub.

    Raises:
        SpecError: no such student, a package, a file or a module is missing, its weights do not
            fit, or it does not map pictures of this shape to that many logits.

    Example:
        >>> load_student("resnet8", (3, 32, 32), 10).name
        'resnet8'
    """
    asked = parse_student(name)
    must_be_listed(asked)
    if asked.kind == "catalogue":
        build_it: Make = partial(build, asked.name, input_shape, num_classes)
        with torch.device("meta"):  # takes no time and draws no random numbers
            build_it()
        if asked.weights is None:
            return Student(name=name, make=build_it)
    elif asked.kind == "code":
        found = imported(asked.name, "Student", SpecError)
        build_it = made_by(found, name, input_shape, num_classes)
    else:
        build_it = _with_new_head(asked, num_classes)
    make = build_it if asked.weights is None else _started(asked, build_it)
    return _checked(name, make, input_shape, num_classes)


def student_of(
    source: "str | Make | nn.Module | Student", input_shape: Shape, num_classes: int
) -> Student:
    """The student that a caller in Python gave: a name, a function, a network, or loaded already.

    Args:
        source: a function takes (input_shape, num_classes) or nothing; of a network every student
            is a copy, its weights included.

    Raises:
        SpecError: as `load_student`.
    """
    if isinstance(source, Student):
        return source
    if isinstance(source, str):
        return load_student(source, input_shape, num_classes)
    name = getattr(source, "__name__", type(source).__name__)
    make = made_by(source, name, input_shape, num_classes)
    return _checked(name, make, input_shape, num_classes)


def of_labels(student: Student) -> Student:
    """A student of one logit a label as one of 2 L classes: present, then absent."""
    return replace(student, make=lambda: PerLabel(student.make()), backbone=False, start="scratch")


def made_by(found: object, name: str, input_shape: Shape, num_classes: int) -> Make:
    """A function that makes the student from what the user gave: a factory, a class, a network."""
    if isinstance(found, nn.Module):
        return lambda: deepcopy(found)
    if not callable(found):
        raise SpecError(
            f"The student {name!r} makes no network", SetKey("student"), got=type(found).__name__,
            want="an nn.Module, or a function of input_shape and num_classes that returns one",
        )  # fmt: skip
    call = cast(Callable[..., object], found)
    given = (input_shape, num_classes) if _takes_two(call) else ()

    def make() -> nn.Module:
        try:
            made = call(*given)
        except Exception as error:  # the user's own code may raise anything
            words = "(input_shape, num_classes)" if given else "()"
            raise SpecError(
                f"The student {name!r} cannot be made: {words} raised "
                f"{type(error).__name__}: {first_line(error)}", SetKey("student"),
            ) from error  # fmt: skip
        if not isinstance(made, nn.Module):
            raise SpecError(
                f"The student {name!r} makes no network", SetKey("student"),
                got=type(made).__name__, want="an nn.Module",
            )  # fmt: skip
        return made

    return make


def _takes_two(call: Callable[..., object]) -> bool:
    """Whether a function wants the input shape and the classes, by its signature."""
    try:
        found = signature(call).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [one for one in found if one.kind in (
        Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    needed = [one for one in positional if one.default is Parameter.empty]
    return len(needed) == 2 or (not needed and len(positional) == 2)


def _with_new_head(asked: StudentName, num_classes: int) -> Make:
    """A backbone or a library's model with a new last layer; weights of others are loaded once."""
    if asked.kind in LIBRARIES:
        encoder, features = library_encoder(asked)
        template: nn.Module = encoder
        known = asked.pretrained
    else:
        backbone = load_backbone(asked.name, size=asked.size)
        template, features, known = backbone.as_module(frozen=asked.frozen), backbone.features, True
    known = known or asked.weights is not None

    def make() -> nn.Module:
        # from scratch the library draws the weights in its own way
        body = deepcopy(template) if known else library_encoder(asked)[0]
        return Pretrained(body, features, num_classes, frozen=asked.frozen, pretrained=known)

    return make


def _started(asked: StudentName, make: Make) -> Make:
    """Students with the initial weights of a file."""
    path = at_home(cast(str, asked.weights))
    check_safetensors(path, SpecError)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise SpecError(
            f"{path} is not a safetensors file: {first_line(error)}", SetKey("student")
        ) from error

    def started() -> nn.Module:
        network = make()
        must_match(network, tensors, path, asked.text)
        network.load_state_dict(tensors)
        return network

    return started


def must_match(network: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Refuse weights that are not exactly the student's, by their keys.

    Raises:
        SpecError: with the first keys that are missing, unknown, or of another shape.
    """
    expected = network.state_dict()
    faults = {
        "missing": [key for key in expected if key not in tensors],
        "unknown": [key for key in tensors if key not in expected],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in tensors and tensors[key].shape != value.shape
        ],
    }
    words = [
        f"{', '.join(keys[:KEYS_NAMED])}{f' and {len(keys) - KEYS_NAMED} more' * more} {what}"
        for what, keys in faults.items()
        if keys
        for more in [len(keys) > KEYS_NAMED]
    ]
    if words:
        raise SpecError(
            f"The weights in {path} do not fit the student {name!r}: {'; '.join(words)}",
            Advice("save the state dict of the same network for the same inputs and classes"),
            SetKey("student"),
        )


def _checked(name: str, make: Make, shape: Shape, classes: int) -> Student:
    """The student with its digest, after it has answered two rows of the victim's shape."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = make().to("cpu")
        digest = weights_digest(network)
        for training in (False, True):  # some answer with more than logits in train mode
            _must_answer(network.train(training), name, shape, classes)
    if not any(one.requires_grad for one in network.parameters()):
        raise SpecError(f"The student {name!r} has no weights to train", SetKey("student"))
    digest = hashlib.sha256(f"{type(network).__name__} {digest}".encode()).hexdigest()
    return Student(
        name=name, make=make, digest=digest, backbone=isinstance(network, Pretrained),
        start=start_of(network),
    )  # fmt: skip


def _must_answer(network: nn.Module, name: str, shape: Shape, classes: int) -> None:
    rows = torch.rand(2, *shape)
    try:
        found: Any = network(rows)
    except Exception as error:  # anybody's network may raise anything
        raise SpecError(
            f"The student {name!r} does not take the model's inputs of shape {shape}: "
            f"{type(error).__name__}: {first_line(error)}",
            Advice("let its first layers resize the pictures and fit their channels"),
            SetKey("student"),
        ) from error
    got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if got != (2, classes):
        mode = " in train mode" if network.training else ""
        raise SpecError(
            f"The student {name!r} does not answer with a logit for each of the model's classes"
            f"{mode}", SetKey("student"), got=got, want=f"{(2, classes)} for two rows",
        )  # fmt: skip
    if not found.is_floating_point() or not bool(torch.isfinite(found).all()):
        raise SpecError(
            f"The student {name!r} answers with what is no finite number", SetKey("student")
        )
