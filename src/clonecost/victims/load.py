"""Victims by what the user has: a name to import, a file of weights, a program, an estimator."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clonecost.errors import VictimError
from clonecost.networks import NETWORKS, build
from clonecost.persistence.disk import file_digest
from clonecost.types import Feature, Shape, Victim
from clonecost.victims.endpoints import endpoint_victim, is_url
from clonecost.victims.input_form import InputForm
from clonecost.victims.loaded_victim import LoadedVictim, must_exist
from clonecost.victims.onnx import onnx_victim
from clonecost.victims.python_object import object_victim, python_object
from clonecost.victims.sklearn_model import (
    Description,
    described,
    is_estimator,
    sklearn_victim,
    skops_victim,
)
from clonecost.victims.torch_model import Outputs, open_network, serve, torch_victim

PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib")


def load_victim(
    where: str,
    *,
    network: str | None = None,
    input_shape: Shape | None = None,
    num_classes: int | None = None,
    outputs: Outputs | None = None,
    device: torch.device | str = "cpu",
    trust: bool = False,
    white_box: bool = False,
    allow: Sequence[str] = (),
    form: InputForm | None = None,
    features: Sequence[Feature] | None = None,
) -> LoadedVictim:
    """Load the victim that `where` names:

    - `package.module:name`: an nn.Module, a scikit-learn estimator, or a callable inputs ->
      probabilities; with `()` at the end a factory of one. Found in the current folder, too.
    - `weights.safetensors`: weights for `network` (see `clonecost.networks.NETWORKS`), which needs
      `input_shape` and `num_classes`.
    - `model.onnx`: a graph for ONNX Runtime (extra `onnx`), with its `input_shape`; `form` says how
      it wants its pixels, the other ways take them in [0, 1].
    - `http://127.0.0.1:8000/v2/models/NAME`: a model served on this machine under the Open
      Inference Protocol; see `clonecost.victims.endpoints.endpoint_victim` for all others.
    - `program.pt2`: a program saved by `torch.export.save`, exported in eval mode and with a
      dynamic batch. **torch unpickles such a file, which can run any code in it**: give
      `trust=True` only for one that you made yourself.
    - `model.skops`: a scikit-learn estimator or pipeline saved by skops, for a table. Types in it
      that are not known to be harmless must be named in `allow`.

    `outputs` says what the victim returns (None: an nn.Module or a program logits, an ONNX graph
    what it shows, any other callable probabilities); answers are always probabilities. `white_box`
    also gives the network. `features` are the columns, of which an estimator gets categories as
    words; without them it gets them as the numbers that are sent.

    Raises:
        VictimError: the victim cannot be loaded, or has no network that a white box could show.
        SpecError: the network is unknown or cannot take this shape.
    """
    if is_url(where):
        return endpoint_victim(
            where, input_shape=input_shape, num_classes=num_classes, outputs=outputs, form=form,
            features=features,
        )  # fmt: skip
    path = Path(where)
    digest: str | None = None
    opened: nn.Module | None = None
    about = Description()
    if form not in (None, InputForm()) and path.suffix != ".onnx":
        raise VictimError(
            f"victim {where!r} takes pixels in [0, 1], channels first: layout, pixels, mean and "
            "std describe an ONNX file or an endpoint; wrap your model so that it does the rest"
        )
    if path.suffix == ".safetensors":
        model = _from_weights(path, network, input_shape, num_classes)
        kind, digest = outputs or "logits", file_digest(path)
        answer, opened = torch_victim(model, outputs=kind, device=device), open_network(model, kind)
    elif path.suffix == ".pt2":
        answer, digest = _from_program(path, outputs or "logits", device, trust)
    elif path.suffix == ".skops":
        must_exist(path)
        estimator, digest = skops_victim(path, allow), file_digest(path)
        answer, about = sklearn_victim(estimator, features), described(estimator)
    elif path.suffix == ".onnx":
        return onnx_victim(
            path, input_shape=input_shape, num_classes=num_classes, outputs=outputs,
            form=form, device=device,
        )  # fmt: skip
    elif path.suffix in PICKLES:
        raise VictimError(
            f"victim {where!r} is a pickle, which can run any code when it is loaded; save the "
            "state_dict with safetensors.torch.save_file, or a scikit-learn model with "
            "skops.io.dump, and give that file"
        )
    elif ":" in where:
        found = python_object(where)
        if is_estimator(found) and not isinstance(found, type | nn.Module):
            answer, about = sklearn_victim(found, features), described(found)
        else:
            answer, opened = object_victim(found, where, outputs=outputs, device=device)
    else:
        raise VictimError(
            f"victim {where!r} is not package.module:name, nor a .safetensors, .onnx, .pt2 or "
            ".skops file, nor the address of an endpoint"
        )
    if white_box and opened is None:
        raise VictimError(
            f"victim {where!r} has no network to look into, only answers: a white box takes one of "
            "the zoo, an nn.Module, or weights.safetensors with --network"
        )
    if features and about.features and len(features) != len(about.features):
        raise VictimError(
            f"{where} was fitted on {len(about.features)} columns, and there are {len(features)} "
            "features"
        )
    return LoadedVictim(
        name=where if digest is None else path.name,
        answer=answer,
        input_shape=input_shape or about.shape,
        num_classes=len(about.classes) or num_classes,
        features=tuple(features) if features else about.features,
        classes=about.classes,
        weights=digest,
        network=opened if white_box else None,
    )


def load_weights(path: Path, network: str, input_shape: Shape, num_classes: int) -> nn.Module:
    """A network of the catalogue, in eval mode, with the weights and normalisation of a file.

    Draws no random numbers.

    Raises:
        VictimError: no such file, not safetensors, or not exactly the network's tensors.
        SpecError: the network is unknown or cannot take this shape.
    """
    must_exist(path)
    with torch.device("meta"):  # neither memory nor initial weights for what is replaced at once
        model = build(network, input_shape, num_classes)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise VictimError(f"{path} is not a safetensors file: {error}") from error
    wanted = model.state_dict()
    if problem := _mismatch(wanted, tensors):
        raise VictimError(
            f"{path} does not fit network {network!r} for inputs {input_shape} and {num_classes} "
            f"classes: {problem}"
        )
    model.load_state_dict(
        {key: tensor.to(wanted[key].dtype) for key, tensor in tensors.items()}, assign=True
    )
    return model.eval()


def _mismatch(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str | None:
    for key, tensor in wanted.items():
        if key not in found:
            return f"tensor {key!r} is missing"
        if tensor.shape != found[key].shape:
            want, got = tuple(tensor.shape), tuple(found[key].shape)
            return f"tensor {key!r} should have shape {want}, it has {got}"
    extra = next((key for key in found if key not in wanted), None)
    return None if extra is None else f"tensor {extra!r} is not part of it"


def _from_weights(
    path: Path,
    network: str | None,
    input_shape: Shape | None,
    num_classes: int | None,
) -> nn.Module:
    if network is None:
        raise VictimError(
            f"{path} holds weights only: name their network, one of {', '.join(NETWORKS)}"
        )
    if input_shape is None or num_classes is None:
        raise VictimError(f"{path} holds weights only: give its input shape and number of classes")
    return load_weights(path, network, input_shape, num_classes)


def _from_program(
    path: Path, outputs: Outputs, device: torch.device | str, trust: bool
) -> tuple[Victim, str]:
    if not trust:
        raise VictimError(
            f"{path} is a torch.export program, which torch unpickles: it can run any code; "
            "load it with trust=True only if you made it yourself"
        )
    must_exist(path)
    try:
        # eval mode was fixed at the export: an exported module refuses eval()
        program = torch.export.load(path).module().to(device)
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise VictimError(f"{path} cannot be loaded as a torch.export program: {first}") from error
    victim = serve(program, outputs=outputs, device=device)
    return victim, file_digest(path)
