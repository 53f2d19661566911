import pytest
import torch

from clonecost.query_synthesis.adaptive_prior import LEAST, RECOMBINED, AdaptivePrior

CLASSES = torch.eye(3)
BEFORE = CLASSES[[0] * 8 + [1, 2]]  # class 0 is the commonest


def rewarded(rounds: int, *, adaptive: bool = True) -> AdaptivePrior:
    """The second of three families has the rare classes; of the third nothing is bought."""
    prior = AdaptivePrior(["a", "b", "c"], adaptive=adaptive)
    for _ in range(rounds):
        origin = torch.tensor([0, 0, 0, 1, 1, RECOMBINED])
        prior.reward(origin, CLASSES[[0, 0, 0, 1, 2, 1]], BEFORE)
    return prior


def test_the_family_with_rare_answers_makes_more_and_none_is_given_up() -> None:
    shares = rewarded(3).shares
    assert sum(shares) == pytest.approx(1)
    assert shares[1] > 2 * shares[0]
    assert shares[0] >= LEAST / 3
    assert shares[0] < shares[2] < shares[1]  # nothing is known of it


def test_shares_are_equal_before_the_first_answer_and_where_nothing_is_learnt() -> None:
    assert rewarded(0).shares == rewarded(3, adaptive=False).shares == [1 / 3] * 3
    assert rewarded(3, adaptive=False).split(9) == [3, 3, 3]


def test_candidates_are_divided_without_a_rest() -> None:
    for count in (0, 1, 7, 1_000):
        assert sum(rewarded(2).split(count)) == count


def test_a_restored_prior_goes_on_as_it_was() -> None:
    prior, again = rewarded(2), rewarded(0)
    again.load_state_dict(prior.state_dict())
    assert again.shares == prior.shares
