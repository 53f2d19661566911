"""Rows that are made when they are asked for are those of the whole data set, bit for bit."""

import dataclasses

import pytest
import torch
from tests.support.toys import SHAPE, MakeAudit

from clonecost.audit import run_audit
from clonecost.data import fit, load_proxy, overlap
from clonecost.data.on_demand import FittedRows, OnDemand, on_demand, painted
from clonecost.data.painted_rows import PaintedRows
from clonecost.errors import DataError
from clonecost.types import LabelledInputs, ProxyData


def noise(rows: int, *shape: int) -> LabelledInputs:
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (rows, *shape), generator=rng, dtype=torch.uint8)
    return LabelledInputs(inputs, torch.arange(rows) % 3, ("a", "b", "c"), "noise")


@pytest.mark.parametrize(
    ("have", "want"),
    [((3, 32, 32), (3, 80, 56)), ((3, 16, 16), (1, 40, 40)), ((1, 8, 8), (3, 12, 12))],
)
def test_any_rows_in_any_order_are_those_of_the_whole(
    have: tuple[int, ...], want: tuple[int, ...]
) -> None:
    data = noise(200, *have)
    whole, pool = fit(data, want), on_demand(data, want)
    assert isinstance(pool, OnDemand)
    rng = torch.Generator().manual_seed(1)
    for count in (1, 2, 17, 150):
        index = torch.randint(200, (count,), generator=rng)
        assert torch.equal(pool.inputs[index], whole.inputs[index])
        assert torch.equal(pool.rows(index), whole.rows(index))
        assert torch.equal(pool.take(index).labels, whole.labels[index])
    assert torch.equal(pool.to("cpu").inputs, whole.inputs)
    assert (len(pool), pool.shape, pool.inputs.shape) == (200, want, (200, *want))
    assert (pool.classes, pool.name, pool.features) == (("a", "b", "c"), "noise", None)


def test_only_rows_that_grow_are_made_later() -> None:
    data = noise(9, 3, 8, 8)
    assert on_demand(data, (3, 8, 8)) is data
    assert isinstance(on_demand(data, (3, 4, 4)), LabelledInputs)
    floats = dataclasses.replace(data, inputs=data.inputs / 255)  # four bytes a value as stored
    assert isinstance(on_demand(floats, (3, 12, 12)), LabelledInputs)
    assert isinstance(on_demand(floats, (3, 24, 24)), OnDemand)
    with pytest.raises(DataError, match="noise has another number of channels"):
        on_demand(data, (2, 16, 16))


def test_the_fingerprint_tells_rows_shape_and_labels_apart() -> None:
    data = noise(20, 3, 8, 8)
    other = dataclasses.replace(data, inputs=data.inputs.flip(0))
    names = dataclasses.replace(data, classes=("x", "y", "z"))
    labels = dataclasses.replace(data, labels=data.labels.flip(0))
    pools: list[ProxyData] = [
        on_demand(one, (3, 16, 16)) for one in (data, other, names, labels)
    ] + [on_demand(data, (3, 17, 16)), painted("shapes", "test", (3, 16, 16))]
    assert len({pool.fingerprint for pool in pools}) == len(pools)
    assert on_demand(noise(20, 3, 8, 8), (3, 16, 16)).fingerprint == pools[0].fingerprint


def test_the_overlap_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clonecost.data.fitting.CHUNK", 5_000)  # several parts
    data = noise(60, 3, 8, 8)
    test = fit(data, (3, 16, 16)).take(torch.tensor([3, 50]))
    assert overlap(on_demand(data, (3, 16, 16)), test) == 2
    assert overlap(on_demand(noise(2, 3, 8, 8), (3, 16, 16)), test) == 0


@pytest.mark.parametrize("name", ["photos", "shapes"])
def test_images_are_painted_when_they_are_asked_for(name: str) -> None:
    pool = painted(name, "test", (1, 28, 28))
    assert isinstance(pool.inputs, FittedRows)
    images = pool.inputs.stored
    assert isinstance(images, PaintedRows)
    assert not images.done.any()
    index = torch.tensor([1_900, 4, 4])
    rows = pool.inputs[index]
    assert images.done.nonzero().flatten().tolist() == [4, 1_900]
    again = painted(name, "test", None).take(torch.arange(1_890, 1_901))  # among others
    assert torch.equal(rows[0], fit(again, (1, 28, 28)).inputs[-1])
    assert torch.equal(again.inputs[-1], images[index][0])


def test_the_default_proxies_of_a_large_victim_are_made_when_asked_for() -> None:
    pool = load_proxy("shapes", shape=(3, 224, 224))
    assert isinstance(pool.inputs, FittedRows)
    assert pool.rows(torch.tensor([19_999])).shape == (1, 3, 224, 224)
    assert pool.name == "shapes"


@pytest.mark.parametrize("name", ["knockoff", "active_thief"])
def test_an_audit_and_its_resume_with_more_budget_do_not_tell_the_difference(
    make_audit: MakeAudit, name: str
) -> None:
    """The same rows are bought in the same order, and a clone of them is the same."""
    data = noise(250, 1, 4, 4)
    kinds: dict[str, ProxyData] = {"whole": fit(data, SHAPE), "made": on_demand(data, SHAPE)}
    assert isinstance(kinds["made"], OnDemand)
    found = {}
    for kind, pool in kinds.items():
        audit = make_audit(name, proxy=pool, milestones=())
        out = audit.folder.with_name(f"{name}-{kind}")
        for budget in (100, 150):
            threat = dataclasses.replace(audit.threat, query_budget=budget)
            run = dataclasses.replace(
                audit, threat=threat, out=out,
                options=dataclasses.replace(audit.options, spot_check=20),
            )  # fmt: skip
            found[kind] = run_audit(run)
    whole, made = found["whole"], found["made"]
    assert whole.spent == 150
    assert made.curve == whole.curve
    assert made.traffic == whole.traffic
    assert made.spot_check == whole.spot_check
