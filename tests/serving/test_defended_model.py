"""Every defence behind `clonecost serve`: the answers of `defend`, in order, for all clients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.defence_settings import as_text
from tests.support.live_server import answers, client_of, in_binary
from tests.support.workbench import CLASSES, SHAPE
from torch import Tensor

from clonecost.config import EVERYTHING, make_defence, make_spec
from clonecost.defences import DEFENCES, declaration_of, defend
from clonecost.errors import SpecError
from clonecost.serving import Limits, ServedModel, served_model
from clonecost.types import Victim
from clonecost.victims import load_victim

ROWS = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def lenet(bench: Path) -> Victim:
    path = bench / "lenet.safetensors"
    return load_victim(
        str(path), network="lenet", input_shape=SHAPE, num_classes=CLASSES
    ).answer  # fmt: skip


def served(bench: Path, *defences: str) -> ServedModel:
    keys = {
        "victim": str(bench / "lenet.safetensors"), "network": "lenet", "shape": list(SHAPE),
        "classes": CLASSES, "defence": list(defences),
    }  # fmt: skip
    return served_model(make_spec(keys, attacks=False), name="toy", consent=EVERYTHING)


def asked(model: ServedModel, *batches: Tensor) -> list[np.ndarray]:
    """The answers over HTTP; each batch comes from a client of its own."""
    found = []
    with client_of(model, Limits()) as client:
        for rows in batches:
            body, headers = in_binary(rows)
            headers["Connection"] = "close"
            reply = client.post("/v2/models/toy/infer", content=body, headers=headers)
            found.append(answers(reply))
    return found


@pytest.mark.parametrize("name", sorted(DEFENCES))
def test_each_is_served_as_an_audit_attacks_it(name: str, bench: Path, lenet: Victim) -> None:
    text = as_text(name)
    defended = defend(lenet, make_defence(text))
    expected = [defended(rows) for rows in ROWS.split(25)]  # state goes on over clients
    torch.manual_seed(0)
    found = asked(served(bench, text), *ROWS.split(25))
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got.sum(1), 1, atol=1e-5)
        if not declaration_of(make_defence(text)).random:
            np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_codebook_is_shared_by_all_clients(bench: Path, lenet: Victim) -> None:
    first, second = ROWS[:20], ROWS[20:]
    alone = asked(served(bench, "modelguard_s:epsilon=0.3"), second)[0]
    after = asked(served(bench, "modelguard_s:epsilon=0.3"), first, second)[1]
    assert not np.array_equal(alone, after)  # another client's rows came first


def test_keyed_answers_depend_on_the_key_and_on_no_client(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "a long secret")
    text = "noise:consistent=true,key=env:MY_KEY"
    one, two = asked(served(bench, text), ROWS[:5], ROWS[:5])
    np.testing.assert_array_equal(one, two)
    other = asked(served(bench, "noise:consistent=true"), ROWS[:5])[0]
    assert not np.array_equal(one, other)


def test_several_compose_in_their_order(bench: Path, lenet: Victim) -> None:
    texts = ["temperature:temperature=3", "rounding:decimals=1"]
    both = [
        asked(served(bench, *order), ROWS)[0] for order in (texts, texts[::-1])
    ]  # fmt: skip
    want = defend(lenet, *map(make_defence, texts))(ROWS)
    np.testing.assert_allclose(both[0], want, atol=1e-6)
    assert not np.allclose(both[0], both[1], atol=1e-3)


def test_a_surrogate_for_other_inputs_is_refused_before_the_server_starts(bench: Path) -> None:
    with pytest.raises(SpecError, match="grad2's surrogate"):
        served(bench, f"grad2:surrogate={bench / 'lenet.safetensors'},network=half-lenet")
