import pytest
from tests.support.toy_endpoint import FAST, SHAPE, Start, reach, rows

from clonecost.errors import SpecError
from clonecost.victims.endpoints import endpoint_victim


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
    for wrong, sentence in (
        ({"rate": 0.0}, "rate"), ({"rate": float("inf")}, "rate"), ({"input_shape": None}, "shape"),
    ):  # fmt: skip
        with pytest.raises(SpecError, match=sentence):
            reach(start(), **wrong)
    with pytest.raises(SpecError, match="Describe another API with `endpoint`"):
        endpoint_victim("http://127.0.0.1:1/predict", input_shape=SHAPE, num_classes=2)
