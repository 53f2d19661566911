import hashlib

import pytest
import torch

from clonecost.data import DATASETS, load, overlap

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


@pytest.mark.slow
def test_all_photos_of_train() -> None:
    train = load("photos", "train")
    assert train.inputs.shape == (20_000, 3, 32, 32)
    assert overlap(train, load("photos", "test")) < 20
