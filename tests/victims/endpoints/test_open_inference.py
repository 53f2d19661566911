"""Endpoints that speak the Open Inference Protocol: the same answers as the model gives."""

from typing import Any

import pytest
import torch
from tests.support.endpoint_servers import free_port
from tests.support.toy_endpoint import CLASSES, SHAPE, Start, reach, rows, scores_of
from torch import nn

from clonecost.errors import SpecError, VictimError
from clonecost.victims import load_victim
from clonecost.victims.input_form import InputForm


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16", "UINT8"])
def test_the_same_answers_in_binary_and_json(binary: bool, datatype: str, start: Start) -> None:
    half, bytes_ = datatype == "FP16", datatype == "UINT8"
    server = start(
        binary=binary, datatype=datatype,
        model=lambda x: scores_of(x / 255 if bytes_ else x),
    )  # fmt: skip
    victim = reach(server)
    answers = victim.answer(rows())
    torch.testing.assert_close(answers, scores_of(rows()), atol=2e-3 if half else 1e-6, rtol=0)
    assert answers.dtype == torch.float32
    assert (server.rows, sorted(r[3] for r in server.requests if r[3])) == (10, [2, 4, 4])
    assert victim.takes == ("uint8" if bytes_ else "float32")
    way = "binary" if binary else "JSON"
    assert victim.served == f"Open Inference Protocol v2, {way}, {datatype}, nchw"
    assert ", gives probabilities (" in victim.format
    agents = {headers["user-agent"] for _, _, headers, _ in server.requests}
    (agent,) = agents
    assert agent.startswith("clonecost/")
    assert agent.endswith("(+authorised audit)")


def test_channels_last_range_and_logits(start: Start) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, CLASSES)).requires_grad_(False)
    server = start(model=model, shape=[4, 5, 3])
    form = InputForm(pixels="0..255", mean=(1.0, 2.0, 3.0), std=(4.0,))
    victim = reach(server, outputs="logits", form=form)
    centred = (rows() * 255 - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)) / 4
    expected = model(centred.permute(0, 2, 3, 1)).softmax(1)
    torch.testing.assert_close(victim.answer(rows()), expected, atol=1e-5, rtol=1e-4)


def test_channels_in_another_order(start: Start) -> None:
    server = start()
    victim = reach(server, form=InputForm(channels="bgr"))
    torch.testing.assert_close(victim.answer(rows()), scores_of(rows().flip(1)))
    bytes_ = start(datatype="UINT8")
    told = reach(bytes_, form=InputForm(channels="bgr"))
    torch.testing.assert_close(told.answer(rows()), reach(bytes_).answer(rows().flip(1)))


def test_a_version_and_the_infer_address_are_understood(start: Start) -> None:
    server = start()
    for end in ("/versions/3", "/versions/3/infer", "/infer", "/"):
        reach(server, server.model_url + end).answer(rows(1))
    paths = [path for _, path, _, sent in server.requests if sent]
    assert paths[:2] == ["/v2/models/toy/versions/3/infer"] * 2
    assert paths[2:] == ["/v2/models/toy/infer"] * 2
    assert load_victim(server.model_url, input_shape=SHAPE, num_classes=CLASSES).endpoint


def tensors(*shapes: list[int], datatype: str = "FP32") -> list[dict[str, Any]]:
    names = ["image", "mask"]
    return [
        {"name": names[k], "datatype": datatype, "shape": shape} for k, shape in enumerate(shapes)
    ]


OUT = [{"name": "scores", "datatype": "FP32", "shape": [-1, CLASSES]}]


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "shape": ({"inputs": tensors([-1, 3, 8, 8]), "outputs": OUT},
              r"got \(3, 4, 5\), want \(3, 8, 8\)"),
    "classes": ({"inputs": tensors([-1, 3, 4, 5]),
                 "outputs": [{**OUT[0], "shape": [-1, 7]}]}, r"classes .*got 7, want 6"),
    "two inputs": ({"inputs": tensors([-1, 3, 4, 5], [-1, 1]), "outputs": OUT},
                   r"got image, mask. Set `endpoint\.input`"),
    "text": ({"inputs": tensors([-1, 3, 4, 5], datatype="BYTES"), "outputs": OUT}, "input BYTES"),
    "fixed batch": ({"inputs": tensors([8, 3, 4, 5]), "outputs": OUT}, "takes exactly 8 rows"),
    "no metadata": ({"hello": "world"}, "is no model under the Open Inference Protocol"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_is_found_before_a_row_is_sent(what: str, start: Start) -> None:
    metadata, sentence = UNFIT[what]
    server = start(metadata=metadata)
    with pytest.raises(VictimError, match=sentence):
        reach(server)
    assert server.rows == 0


def test_a_model_of_one_row_at_a_time_is_asked_so(start: Start) -> None:
    server = start(metadata={"inputs": tensors([1, 3, 4, 5]), "outputs": OUT})
    torch.testing.assert_close(reach(server).answer(rows(3)), scores_of(rows(3)))
    assert [sent for *_, sent in server.requests if sent] == [1, 1, 1]


def test_the_tensor_that_is_meant_can_be_named(start: Start) -> None:
    both = {"inputs": tensors([-1, 3, 4, 5], [-1, 1]), "outputs": OUT}
    server = start(metadata=both)
    reach(server, settings={"input": "image"}).answer(rows(1))
    with pytest.raises(VictimError, match="unknown input 'imge'; did you mean 'image'"):
        reach(server, settings={"input": "imge"})


@pytest.mark.parametrize("binary", [True, False])
def test_numbers_of_classes_are_labels(binary: bool, start: Start) -> None:
    labels = [{"name": "scores", "datatype": "INT64", "shape": [-1, 1]}]
    metadata = {"inputs": tensors([-1, 3, 4, 5]), "outputs": labels}
    server = start(metadata=metadata, names_classes=True, binary=binary)
    answers = reach(server).answer(rows())
    assert answers.dtype == torch.float32
    assert torch.equal(answers.argmax(1), scores_of(rows()).argmax(1))
    assert torch.equal(answers.sum(1), torch.ones(10))
    server.spoil = lambda found: found + CLASSES
    with pytest.raises(VictimError, match=r"numbers of shape \(4, 1\).*one class a row, 0 to 5"):
        reach(server).answer(rows(4))


def test_a_server_that_says_nothing_of_its_tensors_is_told_their_names(start: Start) -> None:
    server = start(metadata={"inputs": [], "outputs": []}, binary=False)
    victim = reach(server, settings={"input": "x", "output": "scores"})
    torch.testing.assert_close(victim.answer(rows()), scores_of(rows()))
    assert server.bodies[0]["inputs"][0]["datatype"] == "FP32"
    with pytest.raises(VictimError, match=r"metadata .* are empty.*`endpoint\.output`"):
        reach(server, settings={"input": "x"})


def test_no_such_model_and_nobody_there(start: Start) -> None:
    server = start()
    with pytest.raises(VictimError, match=r"answered 404 Not Found: .*no /v2/models/other here"):
        reach(server, f"{server.url}/v2/models/other")
    with pytest.raises(VictimError, match=r"does not answer \(no connection.*is running"):
        reach(server, f"http://127.0.0.1:{free_port()}/v2/models/toy")


def test_a_model_without_a_batch_dimension(start: Start) -> None:
    metadata = {"inputs": tensors([3, 4, 5]), "outputs": [{**OUT[0], "shape": [CLASSES]}]}
    server = start(
        metadata=metadata, model=lambda x: scores_of(x[None]), spoil=lambda scores: scores[0]
    )
    torch.testing.assert_close(reach(server).answer(rows(3)), scores_of(rows(3)))
    assert [body["inputs"][0]["shape"] for body in server.bodies] == [[3, 4, 5]] * 3


def test_class_names_of_the_metadata_are_the_victims(start: Start) -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    out = [{**OUT[0], "parameters": {"labels": names}}]
    server = start(metadata={"inputs": tensors([-1, 3, 4, 5]), "outputs": out})
    assert reach(server).classes == tuple(names)


def test_a_server_that_is_not_ready_gets_no_row(start: Start) -> None:
    server = start()
    with pytest.raises(VictimError, match=r"not ready, and no row was sent .*404"):
        reach(server, settings={"health": "/ready"})
    with pytest.raises(SpecError, match=r"no path .*got \.example\.com"):
        reach(server, settings={"health": ".example.com"})  # not another host
    reach(server, settings={"health": "/v2"}).answer(rows(1))
    assert server.rows == 1


@pytest.mark.parametrize("status", [404, 429, 502, 503])
def test_a_gateway_that_fails_on_the_servers_own_address_costs_the_binary_form_only(
    status: int, start: Start
) -> None:
    victim = reach(start(root_status=status))
    torch.testing.assert_close(victim.answer(rows()), scores_of(rows()))
    assert victim.served.startswith("Open Inference Protocol v2, JSON")
