"""Loading of the user's own victims: a name to import, or a file."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from clonecost.data.safetensors_file import check_safetensors
from clonecost.data.stated import StatedTable
from clonecost.errors import Advice, ChooseFrom, SetKey, VictimError
from clonecost.networks import build
from clonecost.persistence.disk import file_digest
from clonecost.persistence.file_limits import at_home
from clonecost.types import Feature, Shape, Victim
from clonecost.victims.endpoints import endpoint_victim, is_url
from clonecost.victims.input_form import InputForm
from clonecost.victims.loaded_victim import LoadedVictim, must_exist
from clonecost.victims.onnx import onnx_victim
from clonecost.victims.python_object import object_victim, python_object
from clonecost.victims.sklearn_model import TableModel, is_estimator, skops_victim
from clonecost.victims.torch_model import Outputs, first_line, open_network, serve, torch_victim

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
      probabilities; with `()` at the end a factory of one. The current folder is searched, too.
    - `weights.safetensors`: weights for `network` (see `clonecost.networks.NETWORKS`), which needs
      `input_shape` and `num_classes`.
    - `model.onnx`: a graph for ONNX Runtime (extra `onnx`), with its `input_shape`.
    - `http://127.0.0.1:8000/v2/models/NAME`: a model served on this machine under the Open
      Inference Protocol; see `clonecost.victims.endpoints.endpoint_victim` for all others.
    - `program.pt2`: a program saved by `torch.export.save`, exported in eval mode and with a
      dynamic batch. **torch unpickles such a file, which can run any code in it**: give
      `trust=True` only for one that you made yourself.
    - `model.skops`: a scikit-learn estimator or pipeline saved by skops, for a table.

    Args:
        network: name of the architecture, for a weights file.
        input_shape: (C, H, W), or (d,) for a table.
        outputs: what the victim returns; answers are always probabilities. None: logits for an
            nn.Module, a weights file or a program, as detected for an ONNX graph, probabilities
            for any other callable.
        trust: load a program although that can run code.
        white_box: also return the network.
        allow: full names of types in a .skops file that are not known to be harmless.
        form: the form in which an ONNX graph or an endpoint takes pixels; all other victims take
            them in [0, 1], channels first.
        features: the columns. With them an estimator gets categories as the values that it was
            fitted on; without them, as the numbers that are sent.

    Raises:
        VictimError: the victim cannot be loaded, or has no network for a white box.
        SpecError: the network is unknown or cannot take this shape.

    Example:
        >>> victim = load_victim("net.safetensors", network="lenet", input_shape=(1, 32, 32),
        ...                      num_classes=10)
        >>> victim.answer(torch.rand(5, 1, 32, 32)).shape
        torch.Size([5, 10])
    """
    if is_url(where):
        return endpoint_victim(
            where, input_shape=input_shape, num_classes=num_classes, outputs=outputs, form=form,
            features=features,
        )  # fmt: skip
    path = at_home(where)
    digest: str | None = None
    opened: nn.Module | None = None
    about: TableModel | None = None
    if form not in (None, InputForm()) and path.suffix != ".onnx":
        raise VictimError(
            f"Victim {where!r} takes pixels in [0, 1], channels first; only an ONNX file or an "
            "endpoint takes another form",
            Advice("leave layout, pixels, channels, mean and std out"),
            Advice("wrap the model so that it converts its inputs"),
        )  # fmt: skip
    if path.suffix == ".safetensors":
        model = _from_weights(path, network, input_shape, num_classes)
        kind, digest = outputs or "logits", file_digest(path)
        answer, opened = torch_victim(model, outputs=kind, device=device), open_network(model, kind)
    elif path.suffix == ".pt2":
        answer, digest = _from_program(path, outputs or "logits", device, trust)
    elif path.suffix == ".skops":
        must_exist(path)
        estimator, digest = skops_victim(path, allow), file_digest(path)
        about = TableModel(estimator)
        answer = about.answering(features)
    elif path.suffix == ".onnx":
        return onnx_victim(
            path, input_shape=input_shape, num_classes=num_classes, outputs=outputs,
            form=form, device=device,
        )  # fmt: skip
    elif path.suffix in PICKLES:
        raise VictimError(
            f"Victim {where!r} is a pickle, which can run any code when it is loaded",
            Advice("save the state_dict with safetensors.torch.save_file, or a scikit-learn model "
                   "with skops.io.dump, and give that file"),
        )  # fmt: skip
    elif ":" in where:
        candidate = python_object(where)
        if is_estimator(candidate) and not isinstance(candidate, type | nn.Module):
            about = TableModel(candidate)
            answer = about.answering(features)
        else:
            answer, opened = object_victim(candidate, where, outputs=outputs, device=device)
    else:
        raise VictimError(
            "The victim's name has an unknown form", SetKey("victim"), got=repr(where),
            want="package.module:name, a .safetensors, .onnx, .pt2 or .skops file, or the address "
            "of an endpoint",
        )  # fmt: skip
    if white_box and opened is None:
        raise VictimError(
            f"Victim {where!r} gives answers only, and a white box needs its network",
            SetKey("access", "black-box"),
            Advice("use a victim of the zoo, an nn.Module, or weights.safetensors"),
        )
    stated = about.stated if about else StatedTable()
    if features and stated.count and len(features) != stated.count:
        raise VictimError(f"{where} was fitted on another number of columns", SetKey("features"),
                          got=len(features), want=stated.count)  # fmt: skip
    return LoadedVictim(
        name=where if digest is None else path.name,
        answer=answer,
        input_shape=input_shape or ((stated.count,) if stated.count else None),
        num_classes=len(stated.classes) or num_classes,
        features=tuple(features) if features else about.features() if about else None,
        classes=stated.classes,
        table=about,
        served=about.served if about else "",
        weights=digest,
        network=opened if white_box else None,
    )


def load_weights(path: Path, network: str, input_shape: Shape, num_classes: int) -> nn.Module:
    """A network of the catalogue, in eval mode, with the weights and normalisation of a file.

    Draws no random numbers. The network maps (n, *input_shape) pixels in [0, 1] to (n,
    num_classes) logits.

    Raises:
        VictimError: no such file, not safetensors, or not exactly the network's tensors.
        SpecError: the network is unknown or cannot take this shape.

    Example:
        >>> model = load_weights(Path("net.safetensors"), "lenet", (1, 32, 32), 10)
    """
    check_safetensors(path, VictimError)
    with torch.device("meta"):  # neither memory nor initial weights for what is replaced at once
        model = build(network, input_shape, num_classes)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise VictimError(f"{path} is not a safetensors file: {error}") from error
    expected = model.state_dict()
    if problem := _mismatch(expected, tensors):
        raise VictimError(
            f"{path} does not fit network {network!r} for inputs {input_shape} and {num_classes} "
            f"classes: {problem}", SetKey("network"), SetKey("shape"), SetKey("classes"),
        )  # fmt: skip
    model.load_state_dict(
        {key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()}, assign=True
    )
    return model.eval()


def _mismatch(expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> str | None:
    for key, tensor in expected.items():
        if key not in tensors:
            return f"tensor {key!r} is missing"
        if tensor.shape != tensors[key].shape:
            got, want = tuple(tensors[key].shape), tuple(tensor.shape)
            return f"tensor {key!r} has shape {got}, want {want}"
    extra = next((key for key in tensors if key not in expected), None)
    return None if extra is None else f"tensor {extra!r} is not part of the network"


def _from_weights(
    path: Path,
    network: str | None,
    input_shape: Shape | None,
    num_classes: int | None,
) -> nn.Module:
    if network is None:
        raise VictimError(f"{path} holds weights without their network", SetKey("network"),
                          ChooseFrom("networks"))  # fmt: skip
    if input_shape is None or num_classes is None:
        missing = "shape" if input_shape is None else "classes"
        raise VictimError(f"{path} holds weights without input shape and number of classes",
                          SetKey(missing))  # fmt: skip
    return load_weights(path, network, input_shape, num_classes)


def _from_program(
    path: Path, outputs: Outputs, device: torch.device | str, trust: bool
) -> tuple[Victim, str]:
    if not trust:
        raise VictimError(
            f"{path} is a torch.export program, which can run any code when torch unpickles it",
            Advice("use another file unless you made this one yourself"), SetKey("trust", True),
        )  # fmt: skip
    must_exist(path)
    try:
        # eval mode was fixed at the export: an exported module refuses eval()
        program = torch.export.load(path).module().to(device)
    except Exception as error:
        raise VictimError(
            f"{path} cannot be loaded as a torch.export program: {first_line(error)}"
        ) from error
    victim = serve(program, outputs=outputs, device=device)
    return victim, file_digest(path)
