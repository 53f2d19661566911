"""Loading of the user's own victims: a name to import, or a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from clonecost.data.stated import StatedTable
from clonecost.errors import Advice, ChooseFrom, SetKey, VictimError
from clonecost.networks.weights import load_weights as load_weights
from clonecost.persistence.disk import file_digest
from clonecost.persistence.file_limits import at_home
from clonecost.safe_text import first_line
from clonecost.types import Feature, InputPrecision, Shape
from clonecost.victims.answer_form import Outputs, answered_classes
from clonecost.victims.asking import Scores, asked
from clonecost.victims.boosters import booster
from clonecost.victims.digests import code_digest, estimator_digest, weights_digest
from clonecost.victims.endpoints import endpoint_victim, is_url, must_be_no_other_address
from clonecost.victims.estimator_columns import must_classify
from clonecost.victims.file_kinds import BOOSTERS, MODELS, must_be_readable
from clonecost.victims.input_form import InputForm
from clonecost.victims.loaded_victim import LoadedVictim, must_exist
from clonecost.victims.onnx import onnx_victim
from clonecost.victims.pipelines import is_pipeline, opened_pipeline
from clonecost.victims.python_object import check_callable, python_object
from clonecost.victims.raw_scores import Wanted
from clonecost.victims.sklearn_model import TableModel, is_estimator, skops_victim
from clonecost.victims.torch_model import (
    callable_scores,
    module_scores,
    open_network,
    scores_of,
)
from clonecost.victims.training_mode import trains


def load_victim(
    where: str,
    *,
    network: str | None = None,
    input_shape: Shape | None = None,
    num_classes: int | None = None,
    outputs: Outputs | None = None,
    output: str | None = None,
    device: torch.device | str = "cpu",
    trust: bool = False,
    white_box: bool = False,
    allow: Sequence[str] = (),
    form: InputForm | None = None,
    features: Sequence[Feature] | None = None,
) -> LoadedVictim:
    """Load the victim that `where` names:

    - `package.module:name`: an nn.Module, a scikit-learn estimator, or a callable inputs ->
      scores, or a pipeline from PIL images to labels with scores, as Hugging Face's
      `pipeline("image-classification")`; with `()` at the end a factory of one. The current folder
      is searched, too.
    - `path/to/file.py:name`: the same, from a file.
    - `weights.safetensors`: weights for `network` (see `clonecost.networks.NETWORKS`), which needs
      `input_shape` and `num_classes`.
    - `model.onnx`: a graph for ONNX Runtime (extra `onnx`), with its `input_shape`.
    - `http://127.0.0.1:8000/v2/models/NAME`: a model served on this machine under the Open
      Inference Protocol; see `clonecost.victims.endpoints.endpoint_victim` for all others.
    - `program.pt2`: a program saved by `torch.export.save`, exported in eval mode and with a
      dynamic batch. **torch unpickles such a file, which can run any code in it**: give
      `trust=True` only for one that you made yourself.
    - `model.txt`, `model.json`, `model.ubj`, `model.cbm`: boosted trees in LightGBM's, XGBoost's or
      CatBoost's own file (extra `trees`), for a table.
    - `model.skops`: a scikit-learn estimator or pipeline saved by skops, for a table.

    Args:
        network: name of the architecture, for a weights file.
        input_shape: (C, H, W), or (d,) for a table.
        outputs: what the victim returns; answers are always probabilities. None: as a few rows
            show (see `clonecost.victims.answer_form`).
        output: the name of an ONNX file's output, or of the field of what a model in Python
            returns, that holds the scores; None: as names and the number of classes show.
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
    must_be_no_other_address(where)
    must_be_readable(where)
    path, wanted = at_home(where), Wanted(output, num_classes)
    suffix, facts = path.suffix.lower(), _Facts()
    if form not in (None, InputForm()) and suffix != ".onnx":
        raise VictimError(
            f"Victim {where!r} takes pixels in [0, 1], channels first; only an ONNX file or an "
            "endpoint takes another form",
            Advice("leave layout, pixels, channels, mean and std out"),
            Advice("wrap the model so that it converts its inputs"),
        )  # fmt: skip
    if suffix == ".safetensors":
        module = _from_weights(path, network, input_shape, num_classes)
        facts = _Facts(
            module_scores(module, device=device, wanted=wanted), module, weights=file_digest(path)
        )
    elif suffix == ".pt2":
        program = _from_program(path, device, trust)
        facts = _Facts(scores_of(program, device=device, wanted=wanted), weights=file_digest(path))
    elif suffix == ".skops":
        must_exist(path)
        facts = _of_estimator(skops_victim(path, allow), features)
        facts = replace(facts, weights=file_digest(path))
    elif suffix in BOOSTERS:
        must_exist(path)
        trees = booster(path)
        facts = _of_estimator(trees, features)
        facts = replace(facts, weights=file_digest(path), count=trees.outputs)
    elif suffix == ".onnx":
        return onnx_victim(
            path, input_shape=input_shape, num_classes=num_classes, outputs=outputs,
            output=output, form=form, device=device,
        )  # fmt: skip
    elif ":" in where:
        facts = _of_object(python_object(where), where, features, device, wanted)
    else:
        raise VictimError(
            "The victim's name has an unknown form", SetKey("victim"), got=repr(where),
            want="package.module:name, a .safetensors, .onnx, .pt2, .skops, LightGBM, XGBoost or "
            "CatBoost file, or the address of an endpoint",
        )  # fmt: skip
    if white_box and facts.module is None:
        raise VictimError(
            f"Victim {where!r} gives answers only, and a white box needs its network",
            SetKey("access", "black-box"),
            Advice("use a victim of the zoo, an nn.Module, or weights.safetensors"),
        )
    about = facts.table
    stated = about.stated if about else StatedTable()
    if features and stated.count and len(features) != stated.count:
        raise VictimError(f"{where} was fitted on another number of columns", SetKey("features"),
                          got=len(features), want=stated.count)  # fmt: skip
    assert facts.scores is not None
    classes = facts.count or len(stated.classes) or len(facts.classes) or num_classes
    shape = input_shape or ((stated.count,) if stated.count else None)
    outputs = outputs or facts.outputs
    found = asked(
        facts.scores, where=where, outputs=outputs, num_classes=classes, input_shape=shape,
        features=features, local=facts.free, picky=facts.module is None,
    )  # fmt: skip
    gives = found.form()
    if white_box and gives is None:
        raise VictimError(f"The input shape of {where} is missing", SetKey("shape"))
    return LoadedVictim(
        name=path.name if suffix in (*MODELS, *BOOSTERS) else where,
        answer=found.answer,
        input_shape=shape,
        num_classes=gives.num_classes if gives else classes and answered_classes(classes, outputs),
        features=tuple(features) if features else about.features() if about else None,
        classes=stated.classes or facts.classes,
        table=about,
        served=about.served if about else "",
        weights=facts.weights,
        code=facts.code,
        network=open_network(facts.module, gives, wanted)
        if white_box and facts.module and gives
        else None,
        outputs=outputs,
        form=found.form,
        shows=found.shows,
        free_rows=facts.free,
        trains=facts.trains,
        takes=facts.takes,
    )


@dataclass(frozen=True)
class _Facts:
    """What one way of loading found."""

    scores: Scores | None = None
    module: nn.Module | None = None
    weights: str | None = None
    code: str | None = None
    table: TableModel | None = None
    count: int | None = None  # of its classes, where its file does not name them
    outputs: Outputs | None = None  # what its answers are, where the object's methods say so
    trains: bool = False  # a function of a network that is in training mode
    classes: tuple[str, ...] = ()  # by the victim itself
    takes: InputPrecision = "float32"
    free: bool = True  # rows of our own may be asked; a function may send its rows to anywhere


def _of_object(
    thing: object, where: str, features: Sequence[Feature] | None, device: torch.device | str,
    wanted: Wanted,
) -> _Facts:  # fmt: skip
    code = code_digest(thing)
    if isinstance(thing, nn.Module):
        scores = module_scores(thing, device=device, wanted=wanted)
        return _Facts(scores, thing, weights_digest(thing), code)
    if is_pipeline(
        thing, "image-classification"
    ):  # it has a `predict` as estimators have, so it is asked first
        pipe = opened_pipeline(thing, where)
        return _Facts(
            callable_scores(pipe.of_pixels), code=code, takes="uint8", classes=pipe.classes,
            weights=weights_digest(pipe.model) if pipe.model else None, free=bool(pipe.model),
        )  # fmt: skip
    if is_estimator(thing) and not isinstance(thing, type):
        facts = _of_estimator(thing, features)
        return replace(facts, code=code, weights=estimator_digest(thing))
    check_callable(thing, where)
    function = cast(Callable[[Tensor], object], thing)
    scores = callable_scores(function, wanted)
    return _Facts(scores, code=code, free=False, trains=trains(thing))


def _of_estimator(estimator: Any, features: Sequence[Feature] | None) -> _Facts:
    """An estimator, or any object with `predict` alone, whose answers may be scores or classes."""
    must_classify(estimator)
    gives_scores = hasattr(estimator, "predict_proba")
    if gives_scores or hasattr(estimator, "classes_"):
        table = TableModel(estimator)
        return _Facts(
            table.answering(features), table=table, outputs=None if gives_scores else "label",
            free=False,
        )  # fmt: skip

    def predict(inputs: Tensor) -> object:
        return estimator.predict(inputs.detach().cpu().numpy())

    return _Facts(callable_scores(predict), free=False)


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
    path: Path, device: torch.device | str, trust: bool
) -> Callable[[Tensor], object]:
    if not trust:
        raise VictimError(
            f"{path} is a torch.export program, which can run any code when torch unpickles it",
            Advice("use another file unless you made this one yourself"), SetKey("trust", True),
        )  # fmt: skip
    must_exist(path)
    try:
        # eval mode was fixed at the export: an exported module refuses eval()
        return torch.export.load(path).module().to(device)
    except Exception as error:
        raise VictimError(
            f"{path} cannot be loaded as a torch.export program: {first_line(error)}"
        ) from error
