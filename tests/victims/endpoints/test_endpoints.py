"""Endpoints against small real servers: the same answers, and the rows of every failure counted."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.endpoint_servers import Scene, Server, free_port, serving
from torch import Tensor, nn

from clonecost.errors import CloneCostError, LostRowsError, SpecError, VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import ThreatModel
from clonecost.victims import LoadedVictim, load_victim
from clonecost.victims.endpoints import EndpointSettings, endpoint_victim
from clonecost.victims.endpoints.sending import seconds_until
from clonecost.victims.input_form import InputForm

SHAPE, CLASSES = (3, 4, 5), 6
FAST = 1e6  # rows a second: no waiting where the pace is not what is tested
Start = Callable[..., Server]


def scores_of(inputs: Tensor) -> Tensor:
    """(n, ...) -> (n, 6) probabilities; another order of the pixels gives others."""
    weight = torch.rand(60, CLASSES, generator=torch.Generator().manual_seed(0)) - 0.5
    return (inputs.flatten(1) @ weight).softmax(1)


def rows(count: int = 10) -> Tensor:
    """8-bit images, which every encoding but JPEG carries exactly."""
    rng = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, *SHAPE), generator=rng) / 255


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def make(**how: Any) -> Server:
            chosen = {"model": scores_of, "shape": list(SHAPE), "classes": CLASSES, **how}
            return stack.enter_context(serving(Server(**chosen)))

        yield make


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that a test can wait for."""
    monkeypatch.setattr("clonecost.victims.endpoints.sending.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("clonecost.victims.endpoints.sending.LONGEST_PAUSE", 0.02)


def reach(server: Server, url: str = "", **how: Any) -> LoadedVictim:
    settings = {"batch_size": 4, "concurrency": 2, "timeout": 5.0, **how.pop("settings", {})}
    chosen = {"input_shape": SHAPE, "num_classes": CLASSES, "rate": FAST, **how}
    return endpoint_victim(url or server.model_url, settings=EndpointSettings(**settings), **chosen)


# -- Open Inference Protocol ---------------------------------------------------------------------


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
    assert victim.served == f"Open Inference Protocol v2, {way}, {datatype}, nchw, gives probs"
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
    "shape": ({"inputs": tensors([-1, 3, 8, 8]), "outputs": OUT}, r"rows of shape \(3, 8, 8\), wh"),
    "classes": ({"inputs": tensors([-1, 3, 4, 5]),
                 "outputs": [{**OUT[0], "shape": [-1, 7]}]}, "has 7 classes, the audit 6"),
    "two inputs": ({"inputs": tensors([-1, 3, 4, 5], [-1, 1]), "outputs": OUT},
                   r"inputs image, mask: say which one is meant as endpoint\.input"),
    "text": ({"inputs": tensors([-1, 3, 4, 5], datatype="BYTES"), "outputs": OUT}, "takes BYTES"),
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
    with pytest.raises(VictimError, match="does not say what it takes and gives: name its"):
        reach(server, settings={"input": "x"})


def test_no_such_model_and_nobody_there(start: Start) -> None:
    server = start()
    with pytest.raises(VictimError, match=r"answered 404 Not Found: .*no /v2/models/other here"):
        reach(server, f"{server.url}/v2/models/other")
    with pytest.raises(VictimError, match=r"does not answer \(no connection.*is it running"):
        reach(server, f"http://127.0.0.1:{free_port()}/v2/models/toy")


# -- what can happen on the way --------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Callable[..., Oracle]]:
    """A victim behind an oracle, as an audit asks it; opened again it goes on."""
    opened: list[Ledger] = []

    def make(victim: LoadedVictim, budget: int = 100, max_lost: int | None = None) -> Oracle:
        for ledger in opened:
            ledger.close()
        threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
        opened.append(Ledger(
            tmp_path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES
        ))  # fmt: skip
        return Oracle(
            victim.answer,
            threat,
            opened[-1],
            rows_in_flight=victim.rows_in_flight,
            max_lost=max_lost,
        )

    yield make
    for ledger in opened:
        ledger.close()


BUSY: Scene = ("status", 429, {"Retry-After": "0"}, "slow down")
HEALED: dict[str, tuple[list[Scene], int]] = {  # what happens, and rows lost by it
    "busy": ([BUSY] * 3, 0),
    "server error": ([("status", 500, {}, "oops")], 4),
    "unavailable": ([("status", 503, {"Retry-After": "0"}, "")] * 2, 8),
    "reset": (["reset"], 4),
    "half an answer": (["half"], 4),
    "one after the other": (["reset", BUSY, ("status", 502, {}, ""), BUSY], 8),
}


@pytest.mark.parametrize("what", HEALED)
@pytest.mark.parametrize("binary", [True, False])
def test_a_failure_that_passes_costs_what_the_server_worked_on(
    what: str, binary: bool, start: Start, counted: Callable[..., Oracle]
) -> None:
    scenes, lost = HEALED[what]
    server = start(scenes=list(scenes), binary=binary)
    oracle = counted(reach(server))
    torch.testing.assert_close(oracle(rows(20)), scores_of(rows(20)))
    totals = oracle._ledger.totals("attack")
    assert (totals.settled, totals.lost) == (20, lost)
    assert server.rows == totals.settled + totals.lost
    assert oracle._ledger.verify() == []


def test_a_timeout_is_lost_and_asked_again(start: Start, counted: Callable[..., Oracle]) -> None:
    server = start(scenes=["slow"])
    oracle = counted(reach(server, settings={"timeout": 0.3, "concurrency": 1}))
    torch.testing.assert_close(oracle(rows(8)), scores_of(rows(8)))
    assert oracle._ledger.totals("attack").lost == 4
    assert server.rows == 12


FATAL: dict[str, tuple[list[Scene], str, int]] = {
    "refused": ([("status", 400, {}, "bad pixels")] * 9, "answered 400 Bad Request: bad pixels", 0),
    "forbidden": ([("status", 403, {}, "no\nentry")] * 9, "answered 403 Forbidden: no entry", 0),
    "redirect": ([("status", 302, {"Location": "http://elsewhere.example/"}, "")] * 9,
                 "it leads elsewhere, where no audit follows", 0),
    "dead": ([("status", 500, {}, "oops")] * 99, "did not answer in 3 attempts .*500", 24),
    "always busy": ([BUSY] * 99, "did not answer in 3 attempts .*429", 0),
    "a long pause": ([("status", 429, {"Retry-After": "9999"}, "")] * 9, "a pause of 9,999 s", 0),
    "one dead": ([BUSY] + ["reset"] * 99, "did not answer in 3 attempts", 20),
}  # fmt: skip


@pytest.mark.parametrize("what", FATAL)
def test_a_failure_that_stays_is_one_sentence_and_the_run_goes_on_later(
    what: str, start: Start, counted: Callable[..., Oracle]
) -> None:
    scenes, sentence, lost = FATAL[what]
    server = start()
    victim = reach(server, settings={"attempts": 3})
    oracle = counted(victim)
    first = oracle(rows(20)[:8])
    server.scenes += scenes
    with pytest.raises(VictimError, match=sentence) as failed:
        oracle(rows(20)[8:])
    assert "\n" not in str(failed.value)
    totals = oracle._ledger.totals("attack")
    assert (totals.settled, totals.lost) == (8, lost)
    assert server.rows == totals.settled + totals.lost
    server.scenes.clear()
    again = counted(victim)
    answers = again(rows(20))
    assert torch.equal(answers[:8], first)
    assert again._ledger.totals("attack").settled == 20
    assert server.rows == 20 + lost


def test_a_server_that_goes_away_costs_nothing(
    counted: Callable[..., Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clonecost.victims.endpoints.victim.IDLE", 0.0)  # a call each
    with serving(Server(scores_of, list(SHAPE), CLASSES)) as server:
        oracle = counted(reach(server, settings={"attempts": 2}))
        oracle(rows(8))
    with pytest.raises(VictimError, match=r"did not answer in 2 attempts \(no connection"):
        oracle(rows(3))
    assert server.rows == oracle._ledger.totals("attack").settled == 8
    assert oracle._ledger.lost == 0


def test_losses_stop_at_their_limit_whatever_the_server_does(
    start: Start, counted: Callable[..., Oracle]
) -> None:
    server = start(scenes=["reset"] * 1000)
    victim = reach(server, settings={"attempts": 50})
    for _ in range(20):
        oracle = counted(victim, max_lost=17)
        with pytest.raises(LostRowsError, match=r"limit of lost rows \(17\) is reached"):
            oracle(rows(40))
        assert server.rows == oracle._ledger.lost <= 17
    assert server.rows == 17
    server.scenes.clear()
    oracle = counted(victim, max_lost=30)
    assert len(oracle(rows(40))) == 40
    assert server.rows == 57


def test_an_interrupt_loses_what_went_out_and_nothing_else(
    start: Start, counted: Callable[..., Oracle], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    oracle = counted(reach(server, settings={"concurrency": 4}))
    admitted: list[int] = []

    def admit(_: object, count: int) -> None:
        if len(admitted) == 2:
            raise KeyboardInterrupt
        admitted.append(count)

    monkeypatch.setattr("clonecost.victims.endpoints.sending.Pace.admit", admit)
    with pytest.raises(KeyboardInterrupt):
        oracle(rows(16))
    deadline = time.monotonic() + 5
    while server.rows < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.rows == oracle._ledger.lost == 8


NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"spoil": lambda scores: scores * np.float32("nan")}, "NaN or infinity for 4 of 4"),
    "logits": ({"spoil": lambda scores: scores * 9}, r"outputs='logits'"),
    "classes": ({"spoil": lambda scores: scores[:, :5]}, r"got \(4, 5\), want \(4, 6\)"),
    "rows": ({"spoil": lambda scores: scores[:3]}, r"answered shape \(3, 6\) to 4 rows"),
    "shape": ({"spoil": lambda scores: scores[..., None].repeat(2, 2)}, r"shape \(4, 6, 2\) to 4"),
}


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("binary", [True, False])
def test_nonsense_is_lost_and_not_asked_again(
    what: str, binary: bool, start: Start, counted: Callable[..., Oracle]
) -> None:
    how, sentence = NONSENSE[what]
    server = start(binary=binary, **how)
    oracle = counted(reach(server))
    with pytest.raises(VictimError, match=sentence):
        oracle(rows(4))
    assert server.rows == oracle._ledger.totals("attack").lost == 4


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "{}", '{"outputs": []}', '{"outputs": [{"name": "scores"}]}',
             '{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [4, 6], "data": [1]}]}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_one_sentence(
    body: str, start: Start, counted: Callable[..., Oracle]
) -> None:
    server = start(scenes=[("status", 200, {}, body)])
    with pytest.raises(VictimError, match="is no inference response") as failed:
        counted(reach(server))(rows(4))
    assert "\n" not in str(failed.value)


def test_a_request_that_is_too_large_says_so(start: Start, counted: Callable[..., Oracle]) -> None:
    server = start(most_rows=3)
    oracle = counted(reach(server))
    with pytest.raises(VictimError, match=r"413 .*at most 3 rows"):
        oracle(rows(4))
    assert server.rows == oracle._ledger.lost == 0


# -- pace ------------------------------------------------------------------------------------------


def test_no_second_gets_more_than_the_rate(start: Start, counted: Callable[..., Oracle]) -> None:
    server = start(scenes=[BUSY, ("status", 500, {}, "")])
    oracle = counted(reach(server, rate=100.0, settings={"batch_size": 8, "concurrency": 4}))
    began = time.monotonic()
    oracle(rows(60))
    took = time.monotonic() - began
    sent = sorted(at for at, path, *_ in server.requests if path.endswith("infer"))
    assert len(sent) == 10  # 8 requests and two of them again, the refused one included
    assert took >= (60 + 16 - 8) / 100
    for first, last in zip(sent, sent[4:], strict=False):  # 4 requests of 8 rows later
        assert last - first >= 4 * 4 / 100 * 0.9  # the last of a call has 4 rows only


def test_a_request_is_no_larger_than_a_seconds_worth(start: Start) -> None:
    server = start()
    victim = reach(server, rate=2.0, settings={"batch_size": 8, "concurrency": 1})
    assert victim.rows_in_flight == 2
    by_default = endpoint_victim(server.model_url, input_shape=SHAPE, num_classes=CLASSES)
    assert by_default.endpoint is not None
    assert by_default.endpoint().rate == 100


def test_the_pause_that_is_asked_for_is_kept(start: Start, counted: Callable[..., Oracle]) -> None:
    server = start(scenes=[("status", 429, {"Retry-After": "1"}, "")])
    began = time.monotonic()
    counted(reach(server))(rows(2))
    assert time.monotonic() - began >= 1
    assert seconds_until("2.5") == 2.5
    assert seconds_until("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert seconds_until("Wed, 21 Oct 2115 07:28:00 GMT") > 1e9
    assert seconds_until("soon") == seconds_until("") == seconds_until("-3") == 0


def test_who_watches_is_told_of_a_pause_and_of_nothing_else(start: Start) -> None:
    server, told = start(), list[tuple[int, int]]()
    victim = reach(server, progress=lambda what, done, total: told.append((done, total)))
    victim.answer(rows(4))
    assert told == []
    server.scenes.append(BUSY)
    victim.answer(rows(4))
    assert told == [(0, 1), (1, 1)]


def test_what_it_took_is_on_the_card(start: Start) -> None:
    server = start()
    victim = reach(server)
    assert victim.endpoint is not None
    assert (victim.endpoint().requests, victim.endpoint().latency) == (0, None)
    victim.answer(rows(8))
    card = victim.endpoint()
    assert (card.requests, card.rows_per_request, card.rate) == (2, 4, FAST)
    assert card.latency is not None
    assert 0 < card.latency < 5
    assert card.authorisation is None


def test_errors_are_of_the_kinds_that_we_raise(start: Start) -> None:
    for wrong in ({"rate": 0.0}, {"rate": float("inf")}, {"input_shape": None}):
        with pytest.raises(CloneCostError):
            reach(start(), **wrong)
    with pytest.raises(SpecError, match="describe it under"):
        endpoint_victim("http://127.0.0.1:1/predict", input_shape=SHAPE, num_classes=2)
