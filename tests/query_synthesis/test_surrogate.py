import torch
from torch import Tensor, nn

from clonecost.query_synthesis.surrogate import Surrogate


def student() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def task(n: int) -> tuple[Tensor, Tensor]:
    """Class = the brightest of the first three pixels."""
    inputs = torch.randint(256, (n, 1, 2, 2), generator=torch.Generator().manual_seed(1))
    answers = nn.functional.one_hot(inputs.flatten(1)[:, :3].argmax(1), 3).float()
    return inputs.to(torch.uint8), answers


def surrogate(seed: int = 0) -> Surrogate:
    return Surrogate(student(), lr=0.05, batch_size=16, rng=torch.Generator().manual_seed(seed))


def test_it_learns_and_answers_with_probabilities() -> None:
    inputs, answers = task(600)
    one = surrogate()
    before = one.answers(inputs)
    one.learn(inputs, answers, seen=4_000)
    after = one.answers(inputs)
    assert torch.allclose(after.sum(1), torch.ones(600))
    hits = [(p.argmax(1) == answers.argmax(1)).float().mean().item() for p in (before, after)]
    assert hits[1] > max(0.85, hits[0])
    assert one.student.training


def test_it_draws_whole_batches_of_at_least_the_given_rows() -> None:
    inputs, answers = task(50)
    seen: list[int] = []
    one = surrogate()
    one.student.register_forward_hook(lambda module, given, made: seen.append(len(made)))
    one.learn(inputs, answers, seen=40)
    assert seen == [16, 16, 16]


def test_answers_do_not_depend_on_other_rows_and_change_no_weights() -> None:
    inputs, _ = task(700)
    one = surrogate()
    weights = [value.clone() for value in one.student.parameters()]
    assert torch.allclose(one.answers(inputs)[:3], one.answers(inputs[:3]))
    assert all(map(torch.equal, weights, one.student.parameters()))


def test_the_same_seed_learns_the_same() -> None:
    inputs, answers = task(100)
    made = []
    for _ in range(2):
        one = surrogate(3)
        one.learn(inputs, answers, seen=200)
        made.append(one.answers(inputs))
    assert torch.equal(*made)
