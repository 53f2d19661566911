import torch

from clonecost.data import load
from clonecost.data.hold_out import hold_out
from clonecost.types import LabelledInputs


def rows_of(data: LabelledInputs) -> list[bytes]:
    return [row.numpy().tobytes() for row in data.inputs]


def test_every_row_is_on_one_side_with_its_label() -> None:
    data = LabelledInputs(torch.arange(155).view(155, 1, 1, 1), torch.arange(155), name="numbers")
    kept, held_out = hold_out(data, one_in=10, seed=3)
    assert (len(kept), len(held_out)) == (140, 15)
    for part in (kept, held_out):
        assert torch.equal(part.inputs.flatten(), part.labels)
    assert sorted([*kept.labels.tolist(), *held_out.labels.tolist()]) == list(range(155))


def test_the_seed_alone_decides_which_rows() -> None:
    data = load("digits", "train")
    one, again = (rows_of(hold_out(data, one_in=10, seed=1)[1]) for _ in range(2))
    other = rows_of(hold_out(data, one_in=10, seed=2)[1])
    assert one == again
    assert len(set(one) & set(other)) < len(one) / 2
