from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.ledgers import Booked, booked
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import CLASSES, SHAPE
from torch import Tensor

from clonecost.errors import BudgetError, LostRowsError, QueryError, ReplayError, VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.delivery import current
from clonecost.oracle.ledger import Ledger
from clonecost.types import ThreatModel, Victim


def open_ledger(path: Path) -> Ledger:
    return Ledger(path / "ledger.sqlite", audit="a", input_shape=SHAPE, num_classes=CLASSES)


def open_oracle(victim: Victim, where: Path | Ledger, budget: int = 10, **threat: object) -> Oracle:
    model = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget, **threat)  # type: ignore[arg-type]
    ledger = open_ledger(where) if isinstance(where, Path) else where
    return Oracle(victim, model, ledger)


def test_refuses_before_sending(victim: Victim, tmp_path: Path) -> None:
    counting = RecordingVictim(victim)
    oracle = open_oracle(counting, tmp_path)
    oracle(torch.rand(8, *SHAPE))
    with pytest.raises(BudgetError, match="3 queries were requested with 2 left"):
        oracle(torch.rand(3, *SHAPE))
    assert (oracle.spent, counting.seen) == (8, 8)
    oracle(torch.rand(2, *SHAPE))
    assert oracle.remaining == 0


BAD_INPUTS = {
    "shape": torch.rand(2, 3, 4, 4),
    "negative": torch.rand(2, *SHAPE) - 1,
    "nan": torch.full((2, *SHAPE), torch.nan),
    "empty": torch.rand(0, *SHAPE),
    "double": torch.rand(2, *SHAPE).double(),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs_cost_nothing(name: str, victim: Victim, tmp_path: Path) -> None:
    counting = RecordingVictim(victim)
    oracle = open_oracle(counting, tmp_path)
    with pytest.raises(QueryError, match=r"got .*, want ") as refused:
        oracle(BAD_INPUTS[name])
    assert refused.value.remedies
    assert (oracle.spent, counting.seen) == (0, 0)


def test_labels_only_leaks_only_the_label(victim: Victim, tmp_path: Path) -> None:
    inputs = torch.rand(10, *SHAPE)
    answers = open_oracle(victim, tmp_path, answers="label")(inputs)
    assert set(answers.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(answers.argmax(1), victim(inputs).argmax(1))


def test_labels_replay_as_they_were(victim: Victim, tmp_path: Path) -> None:
    inputs = torch.rand(10, *SHAPE)
    with closing(open_ledger(tmp_path)) as ledger:
        first = open_oracle(victim, ledger, answers="label")(inputs)
    assert torch.equal(open_oracle(victim, tmp_path, answers="label")(inputs), first)


def test_top_k_keeps_the_order_of_k_classes_and_nothing_else(
    victim: Victim, tmp_path: Path
) -> None:
    inputs = torch.rand(10, *SHAPE)
    answers = open_oracle(victim, tmp_path, answers="top_k", top_k=2)(inputs)
    whole = victim(inputs)
    assert ((answers > 0).sum(1) == 2).all()
    torch.testing.assert_close(answers.sum(1), torch.ones(10))
    assert torch.equal(answers.argmax(1), whole.argmax(1))


def test_an_8_bit_api_gets_8_bit_images(victim: Victim, tmp_path: Path) -> None:
    counting = RecordingVictim(victim)
    oracle = open_oracle(counting, tmp_path, input_precision="uint8")
    inputs = torch.rand(4, *SHAPE)
    oracle(inputs)
    sent = torch.frombuffer(bytearray(b"".join(counting.rows)), dtype=torch.float32)
    assert torch.equal(sent, (inputs * 255).round().div(255).flatten())


def test_gives_no_gradient(victim: Victim, tmp_path: Path) -> None:
    x = torch.rand(2, *SHAPE, requires_grad=True)
    assert not open_oracle(victim, tmp_path)(x).requires_grad


def test_holds_nothing_that_leads_to_the_network(victim: Victim, tmp_path: Path) -> None:
    oracle = open_oracle(victim, tmp_path)
    public = [name for name in dir(oracle) if not name.startswith("_")]
    assert sorted(public) == ["remaining", "spent", "threat"]


def test_replay_refuses_another_query_and_sends_nothing(victim: Victim, tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path)) as ledger:
        open_oracle(victim, ledger)(torch.rand(4, *SHAPE))
    counting = RecordingVictim(victim)
    with pytest.raises(ReplayError, match="from row 0 on differ"):
        open_oracle(counting, tmp_path)(torch.rand(4, *SHAPE))
    assert counting.seen == 0


@pytest.mark.parametrize("cuts", [(10,), (3, 7), (1, 1, 8), (6, 4)])
def test_replays_row_by_row_whatever_the_batches(
    cuts: tuple[int, ...], victim: Victim, tmp_path: Path
) -> None:
    inputs = torch.rand(10, *SHAPE)
    with closing(open_ledger(tmp_path)) as ledger:
        first = open_oracle(victim, ledger)
        straight = torch.cat([first(part) for part in inputs[:7].split(4)])
    counting = RecordingVictim(victim)
    oracle = open_oracle(counting, tmp_path)
    answers = torch.cat([oracle(part) for part in inputs.split(list(cuts))])
    assert torch.equal(answers[:7], straight)
    assert counting.rows == [row.numpy().tobytes() for row in inputs[7:]]
    assert booked(tmp_path) == Booked(10, 0, 0, faults=[])


BAD_ANSWERS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "nan": (lambda p: p.index_fill(0, torch.tensor([1]), torch.nan), "NaN or infinity for 1 of 4"),
    "negative": (lambda p: p * 4 - 1, "no probabilities: got -.*`outputs`"),
    "unnormalised": (lambda p: p * 3, "sum of 1 by up to 2"),
    "classes": (lambda p: p[:, :2], r"got \(4, 2\), want \(4, 3\)"),
    "rows": (lambda p: p[:3], r"got \(3, 3\), want \(4, 3\)"),
    "no tensor": (lambda p: p.tolist(), "got list"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_unusable_answers_are_lost_and_described(name: str, victim: Victim, tmp_path: Path) -> None:
    spoil, sentence = BAD_ANSWERS[name]
    oracle = open_oracle(lambda x: spoil(victim(x)), tmp_path)
    with pytest.raises(VictimError, match=sentence):
        oracle(torch.rand(4, *SHAPE))
    assert booked(tmp_path).lost == 4
    assert oracle.spent == 0


def test_a_failed_victim_is_reported_with_the_remedy(victim: Victim, tmp_path: Path) -> None:
    oracle = open_oracle(RecordingVictim(victim, fail_at=5), tmp_path)
    oracle(torch.rand(4, *SHAPE))
    with pytest.raises(VictimError, match=r"ConnectionError.*went away.*4 rows.*run_audit"):
        oracle(torch.rand(4, *SHAPE))
    assert booked(tmp_path) == Booked(4, 4, 4, faults=[])


def test_the_victims_draws_do_not_move_the_attacks(tmp_path: Path) -> None:
    def noisy(inputs: Tensor, /) -> Tensor:
        return torch.rand(len(inputs), CLASSES).softmax(1)

    oracle = open_oracle(noisy, tmp_path)
    before = torch.get_rng_state()
    one, two = oracle(torch.rand(2, *SHAPE, generator=torch.Generator())), None
    two = oracle(torch.rand(2, *SHAPE, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, two)  # and yet the victim draws on


def test_observers_see_replayed_batches_too(victim: Victim, tmp_path: Path) -> None:
    inputs = torch.rand(6, *SHAPE)
    for _ in range(2):
        seen: list[tuple[int, int, str]] = []
        model = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=10)
        ledger = open_ledger(tmp_path)

        def observe(at: int, x: Tensor, answers: Tensor, purpose: str) -> None:
            seen.append((at, len(answers), purpose))  # noqa: B023 - called in this round

        oracle = Oracle(victim, model, ledger, observe=observe)
        oracle(inputs[:4])
        oracle(inputs[4:], purpose="gradients")
        assert seen == [(0, 4, "training"), (4, 2, "gradients")]
        ledger.close()


def test_a_victim_with_live_parameters_builds_no_graph(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, CLASSES))
    seen: list[bool] = []

    def live(inputs: Tensor, /) -> Tensor:
        answers = model(inputs).softmax(1)
        seen.append(answers.requires_grad)
        return answers

    open_oracle(live, tmp_path)(torch.rand(2, *SHAPE))
    assert seen == [False]


class RemoteVictim:
    """A remote victim: each call has the outcomes listed, one for each attempt, then answers."""

    def __init__(self, victim: Victim, *outcomes: str) -> None:
        self.victim, self.outcomes, self.billed = victim, list(outcomes), 0
        self.sizes: list[int] = []

    def __call__(self, inputs: Tensor, /) -> Tensor:
        delivery, count = current(), len(inputs)
        delivery.track()
        self.sizes.append(count)
        while True:
            outcome = self.outcomes.pop(0) if self.outcomes else "answered"
            if outcome == "broken off":
                raise VictimError("stopped before anything was sent")
            delivery.sent(count)
            if outcome == "refused":
                delivery.refused(count)
                continue
            self.billed += count
            if outcome == "answered":
                return self.victim(inputs)
            if outcome == "gone":
                raise VictimError("gave up")
            delivery.lost(inputs, outcome)


def remote_oracle(remote: RemoteVictim, ledger: Ledger, **limits: Any) -> Oracle:
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=100)
    return Oracle(remote, threat, ledger, **limits)


@pytest.mark.parametrize(
    ("outcomes", "lost"),
    [((), 0), (("refused",), 0), (("timed out",), 8), (("timed out", "refused", "reset"), 16),
     (("gone",), 8), (("timed out", "gone"), 16), (("refused", "broken off"), 0),
     (("timed out", "broken off"), 8)],
)  # fmt: skip
def test_rows_at_the_victim_are_those_settled_and_lost(
    outcomes: tuple[str, ...], lost: int, victim: Victim, tmp_path: Path
) -> None:
    remote = RemoteVictim(victim, *outcomes)
    ledger = open_ledger(tmp_path)
    oracle = remote_oracle(remote, ledger)
    if outcomes and outcomes[-1] in ("gone", "broken off"):
        with pytest.raises(VictimError):
            oracle(torch.rand(8, *SHAPE))
    else:
        oracle(torch.rand(8, *SHAPE))
    oracle(torch.rand(4, *SHAPE))
    found = booked(tmp_path)
    assert found == Booked(remote.billed - lost, lost, lost, faults=[])
    ledger.close()
    open_ledger(tmp_path).close()  # which would count what is still reserved as lost
    assert booked(tmp_path) == found


def test_a_defence_in_front_does_not_hide_what_was_lost(victim: Victim, tmp_path: Path) -> None:
    remote = RemoteVictim(victim, "timed out")
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=100)
    Oracle(lambda x: remote(x).sqrt().softmax(1), threat, open_ledger(tmp_path))(
        torch.rand(8, *SHAPE)
    )
    assert remote.billed == 16


@pytest.mark.parametrize("limit", [1, 7, 8, 30, 33])
def test_no_row_more_than_the_limit_is_ever_lost(
    limit: int, victim: Victim, tmp_path: Path
) -> None:
    inputs = torch.rand(60, *SHAPE)
    billed = 0
    for _ in range(100):  # resumed as often as it takes, it never answers
        remote = RemoteVictim(victim, *["timed out"] * 2, "gone")
        with (
            closing(open_ledger(tmp_path)) as ledger,
            pytest.raises((VictimError, LostRowsError)) as failed,
        ):
            remote_oracle(remote, ledger, rows_in_flight=16, max_lost=limit)(inputs)
        billed += remote.billed
        assert booked(tmp_path).lost == billed <= limit
        if failed.type is LostRowsError and not remote.billed:
            break
    assert billed == limit
    assert str(failed.value).endswith("and another `max_lost`.")
    remote = RemoteVictim(victim)
    assert (
        len(
            remote_oracle(remote, open_ledger(tmp_path), rows_in_flight=16, max_lost=limit + 100)(
                inputs
            )
        )
        == 60
    )
    assert max(remote.sizes) == 16


def test_chunks_are_settled_one_by_one_and_observed(victim: Victim, tmp_path: Path) -> None:
    observed: list[int] = []
    remote = RemoteVictim(victim, "answered", "answered", "gone")
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=100)
    inputs = torch.rand(10, *SHAPE)
    ledger = open_ledger(tmp_path)
    oracle = Oracle(remote, threat, ledger, rows_in_flight=4, observe_chunk=observed.append)
    with pytest.raises(VictimError, match="gave up"):
        oracle(inputs)
    ledger.close()
    assert (booked(tmp_path).settled, booked(tmp_path).lost, observed) == (8, 2, [4, 8])
    again = Oracle(RemoteVictim(victim), threat, open_ledger(tmp_path), rows_in_flight=4)
    torch.testing.assert_close(again(inputs), victim(inputs))
    assert booked(tmp_path).settled == 10
