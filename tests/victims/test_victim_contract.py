"""One network gives the same answers however it is loaded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from tests.support.endpoint_servers import Server, serving
from tests.support.workbench import CLASSES, SHAPE, export, export_onnx
from torch import Tensor

from clonecost.victims import LoadedVictim, load_victim, load_weights, torch_victim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim

Make = Callable[[Path, Path], LoadedVictim]


def weights(bench: Path, _: Path) -> LoadedVictim:
    return load_victim(
        str(bench / "lenet.safetensors"), network="lenet", input_shape=SHAPE, num_classes=CLASSES
    )


def module(bench: Path, _: Path) -> LoadedVictim:
    return load_victim("own:net", input_shape=SHAPE, num_classes=CLASSES)


def function(bench: Path, _: Path) -> LoadedVictim:
    return load_victim("own:probs", input_shape=SHAPE, num_classes=CLASSES)


def raw_function(bench: Path, _: Path) -> LoadedVictim:
    return load_victim("own:logits", outputs="logits", input_shape=SHAPE, num_classes=CLASSES)


def program(bench: Path, scratch: Path) -> LoadedVictim:
    network = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, CLASSES)
    export(network, scratch / "net.pt2")
    return load_victim(str(scratch / "net.pt2"), input_shape=SHAPE, num_classes=CLASSES, trust=True)


def onnx(bench: Path, scratch: Path) -> LoadedVictim:
    path = scratch.parent / "contract.onnx"
    if not path.is_file():  # seconds: once for all tests
        network = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, CLASSES)
        export_onnx(network, path)
    return load_victim(str(path), input_shape=SHAPE, num_classes=CLASSES)


OPEN = ExitStack()  # the servers of this file


@pytest.fixture(scope="module", autouse=True)
def close_servers() -> Iterator[None]:
    yield
    OPEN.close()


def remote(bench: Path, binary: bool, **described: object) -> LoadedVictim:
    """The network behind its own server."""
    network = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, CLASSES)
    model = network.requires_grad_(False)
    server = OPEN.enter_context(serving(Server(
        lambda inputs: model(inputs).softmax(1), list(SHAPE), CLASSES, binary=binary,
        reply=lambda scores: {"predictions": scores.tolist()},
    )))  # fmt: skip
    settings = EndpointSettings.model_validate(described)
    where = server.model_url if settings.body is None else f"{server.url}/classify"
    return endpoint_victim(
        where, input_shape=SHAPE, num_classes=CLASSES, rate=1e6, settings=settings
    )


def binary_endpoint(bench: Path, _: Path) -> LoadedVictim:
    return remote(bench, binary=True)


def json_endpoint(bench: Path, _: Path) -> LoadedVictim:
    return remote(bench, binary=False)


def template(bench: Path, _: Path) -> LoadedVictim:
    return remote(
        bench, binary=False, body={"instances": "$inputs"}, encoding="array", answers="predictions"
    )


WAYS: dict[str, Make] = {
    "weights": weights, "module": module, "function": function, "raw function": raw_function,
    "program": program, "onnx": onnx, "binary endpoint": binary_endpoint,
    "JSON endpoint": json_endpoint, "template": template,
}  # fmt: skip


@pytest.fixture(params=WAYS)
def loaded(
    request: pytest.FixtureRequest, bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LoadedVictim:
    monkeypatch.chdir(bench)
    return WAYS[request.param](bench, tmp_path)


@pytest.fixture
def truth(bench: Path) -> Callable[[Tensor], Tensor]:
    network = load_weights(bench / "lenet.safetensors", "lenet", SHAPE, CLASSES)
    return lambda inputs: network(inputs).softmax(1).detach()


@pytest.mark.parametrize("count", [1, 2, 128, 300])
def test_same_probabilities(
    loaded: LoadedVictim, truth: Callable[[Tensor], Tensor], count: int
) -> None:
    inputs = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(count))
    answers = loaded.answer(inputs)
    torch.testing.assert_close(answers, truth(inputs), atol=1e-5, rtol=0)
    assert (answers.shape, answers.dtype) == ((count, CLASSES), torch.float32)
    torch.testing.assert_close(answers.sum(1), torch.ones(count), atol=1e-5, rtol=0)


def test_a_row_does_not_depend_on_its_batch(loaded: LoadedVictim) -> None:
    inputs = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([loaded.answer(row[None]) for row in inputs])
    torch.testing.assert_close(loaded.answer(inputs), alone, atol=1e-5, rtol=0)


def test_gives_no_gradient_and_changes_nothing(loaded: LoadedVictim) -> None:
    inputs = torch.rand(3, *SHAPE, requires_grad=True)
    before, random = inputs.detach().clone(), torch.get_rng_state()
    assert not loaded.answer(inputs).requires_grad
    assert torch.equal(inputs.detach(), before)
    assert torch.equal(torch.get_rng_state(), random)


def test_shape_classes_and_digest_are_known(loaded: LoadedVictim) -> None:
    assert (loaded.input_shape, loaded.num_classes) == (SHAPE, CLASSES)
    function = loaded.name.startswith(("own:probs", "own:logits", "http:"))
    assert (loaded.weights is None) == function
    assert (loaded.code is not None) == loaded.name.startswith("own:")


def test_a_module_in_training_mode_still_answers_in_eval_mode() -> None:
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(256, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout()
    )
    victim = torch_victim(network)
    inputs = torch.rand(5, *SHAPE)
    first = victim(inputs)
    network.train()
    assert torch.equal(victim(inputs), first)
