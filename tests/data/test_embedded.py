import hashlib

import pytest
import torch

from clonecost.data import DATASETS, load, load_proxy, overlap
from clonecost.data.fitting import fit_rows

pytest.importorskip("sklearn")


def test_the_two_splits_of_digits_are_the_whole_and_disjoint() -> None:
    from sklearn.datasets import load_digits

    train, test = load("digits", "train"), load("digits", "test")
    card = DATASETS["digits"]
    assert (len(train), len(test)) == (card.train, card.test)
    # Stratified: each class gives 70 % to train, to within a row.
    for digit in range(10):
        kept, held = ((data.labels == digit).sum().item() for data in (train, test))
        assert abs(kept - 0.7 * (kept + held)) <= 0.5
    both = torch.cat([train.inputs, test.inputs]).flatten(1)
    original = torch.from_numpy(load_digits().data)
    assert sorted(map(tuple, both.tolist())) == sorted(
        map(tuple, (original / 16 * 255).round().int().tolist())
    )
    assert overlap(train, test) == 0


def test_photos_are_varied_balanced_and_another_draw_for_test() -> None:
    test = load("photos", "test")
    assert test.inputs.shape == (2_000, 3, 32, 32)
    assert test.labels.bincount().tolist() == [1_000, 1_000]
    assert test.labels[:100].unique().tolist() == [0, 1]  # shuffled
    assert len(torch.unique(test.inputs.flatten(1), dim=0)) > 1_990
    assert test.inputs.float().flatten(1).std(1).median() > 20  # structure, not flat colour
    # the images of earlier releases, whose runs hold their places
    digest = hashlib.sha256(test.inputs.numpy().tobytes()).hexdigest()
    assert digest.startswith("168bf99779df4564")


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 40, 100), (3, 500, 300)])
def test_photos_for_large_victims_are_crops_in_their_proportions(shape: tuple[int, ...]) -> None:
    """Not enlarged crops of 32 pixels: neighbours in a crop of all its pixels differ."""
    pool = load_proxy("photos", shape=shape)
    rows = pool.inputs[torch.arange(16)]
    assert (rows.shape, len(pool)) == ((16, *shape), 20_000)
    assert torch.equal(pool.inputs[torch.tensor([9, 2])], rows[[9, 2]])
    enlarged = load_proxy("photos", shape=(shape[0], 32, 32)).inputs[torch.arange(16)]
    blurred = fit_rows(enlarged, shape)
    steps = [(part[..., 1:].float() - part[..., :-1]).abs().mean() for part in (rows, blurred)]
    assert steps[0] > 1.3 * steps[1]


@pytest.mark.slow
def test_all_photos_of_train() -> None:
    train = load("photos", "train")
    assert train.inputs.shape == (20_000, 3, 32, 32)
    assert overlap(train, load("photos", "test")) < 20
