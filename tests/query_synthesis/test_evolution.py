"""Algorithm 1, on a "generator" and "victim" that are one function from latents to answers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from clonecost.query_synthesis.evolution import Algorithm, Search, SearchStatus, fitness, one_class
from clonecost.query_synthesis.search_log import SearchLog

CLASSES, DIM = 5, 16
HARD = Algorithm(threshold=1e-4, max_generations=4)
WEIGHTS = torch.randn(DIM, CLASSES, generator=torch.Generator().manual_seed(0)) / 3
TARGETS = one_class(CLASSES)


def answer(latents: Tensor) -> Tensor:
    """Sums and no matrix product: to the last bit the same beside any other rows."""
    return (latents[:, :, None] * WEIGHTS).sum(1).softmax(1)


def make(algorithm: Algorithm = HARD, *, slots: int = 7, seed: int = 3) -> Search:
    return Search(
        algorithm, TARGETS, slots=slots, latent_dim=DIM, seed=seed, device=torch.device("cpu")
    )


def step(search: Search) -> SearchStatus:
    """One generation; the latents stand for the images."""
    asked = search.ask()
    return search.tell(asked.latents, answer(asked.latents))


def winners(search: Search, generations: int) -> dict[int, tuple[Tensor, Tensor, int]]:
    """By target: latents, answer, generations."""
    found: dict[int, tuple[Tensor, Tensor, int]] = {}
    for _ in range(generations):
        ended = (status := step(search)).where(status.finished)
        of = zip(ended.images, ended.answers, ended.generations.tolist(), strict=True)
        found.update(zip(ended.numbers.tolist(), of, strict=True))
    return found


def test_fitness_is_the_formula() -> None:
    answers = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(fitness(answers, targets), torch.tensor([0.14, 2.0]))


def test_the_elite_never_gets_worse_and_its_cached_fitness_is_true() -> None:
    search = make(replace(HARD, threshold=0.0, max_generations=100))
    before = torch.full((7, HARD.elite), torch.inf)
    for _ in range(12):
        step(search)
        elite = search.state_dict()["latents"][:, : HARD.elite]
        again = fitness(
            answer(elite.reshape(-1, DIM)), TARGETS(torch.arange(7)).repeat_interleave(10, 0)
        ).view(7, -1)
        held = search.state_dict()["fitness"][:, : HARD.elite]
        assert torch.equal(held, again)
        assert (held <= before).all()
        assert (held.diff() >= 0).all()  # the fittest first
        assert (
            search.state_dict()["fitness"][:, HARD.elite :] >= held[:, -1:]
        ).all()  # and no one else
        before = held.clone()


def test_the_first_generation_costs_K_and_each_other_one_K_minus_k() -> None:
    search = make(Algorithm(population=13, elite=4, threshold=0.0, max_generations=3), slots=5)
    sizes = []
    for _ in range(5):
        sizes.append(len(search.ask().latents))
        step(search)
    assert sizes == [65, 45, 45, 65, 45]
    assert search.algorithm.most_rows() == 13 + 2 * 9


def test_latents_begin_uniform_up_to_the_bound() -> None:
    latents = make(Algorithm(bound=3.3), slots=200).ask().latents
    assert latents.shape == (6_000, DIM)
    assert -3.3 < latents.min() < -3.29 < 3.29 < latents.max() < 3.3
    assert latents.std().item() == pytest.approx(3.3 / 3**0.5, rel=0.01)


@pytest.mark.parametrize("sigma", [1.0, 0.5])
def test_children_are_copies_of_the_elite_with_noise(sigma: float) -> None:
    search = make(replace(HARD, mutation=sigma, bound=1e-6, threshold=0.0), slots=200)
    step(search)
    children = search.ask().latents  # the elite is as good as 0
    assert children.std().item() == pytest.approx(sigma, rel=0.02)
    assert abs(children.mean().item()) < 0.02 * sigma


def test_children_may_take_turns_or_chance() -> None:
    still = Algorithm(mutation=0.0, threshold=0.0, children="evenly")
    for children in ("evenly", "uniform"):
        search = make(replace(still, children=children), slots=50)
        step(search)
        asked = search.ask().latents.view(50, 20, 1, DIM)
        copied = (asked == search.state_dict()["latents"][:, None, :10]).all(
            3
        )  # (slot, child, elite)
        assert (copied.sum(2) == 1).all()
        per_parent = copied.sum(1)
        if children == "evenly":
            assert (per_parent == 2).all()
        else:
            assert per_parent.float().mean() == 2
            assert per_parent.float().var().item() == pytest.approx(20 * 0.1 * 0.9, rel=0.15)
            assert (copied.sum((0, 1)) - 100).abs().max() < 40  # no favourites


def test_it_stops_below_the_threshold_or_at_the_cap() -> None:
    search = make(HARD)
    seen = set()
    for _ in range(30):
        status = step(search)
        assert torch.equal(status.reached, status.fitness < HARD.threshold)
        assert torch.equal(status.finished, status.reached | (status.generations == 4))
        torch.testing.assert_close(status.fitness, fitness(status.answers, TARGETS(status.numbers)))
        seen |= set(zip(status.reached.tolist(), status.finished.tolist(), strict=True))
    assert seen == {(False, False), (True, True), (False, True)}


def test_it_stops_on_the_probability_of_the_class() -> None:
    search = make(replace(HARD, stop="probability", confidence=0.8))
    seen = set()
    for _ in range(30):
        status = step(search)
        sure = status.answers[torch.arange(7), status.numbers % CLASSES] >= 0.8
        assert torch.equal(status.reached, sure)
        seen |= set(sure.tolist())
    assert seen == {True, False}


def test_a_search_depends_neither_on_its_neighbours_nor_on_how_many_there_are() -> None:
    alone, few, many = (winners(make(slots=n), g) for n, g in ((1, 60), (7, 30), (64, 12)))
    assert len(alone) >= 10
    for number, (latents, answers, generations) in alone.items():
        for others in (few, many):
            if number in others:
                assert torch.equal(others[number][0], latents)
                assert torch.equal(others[number][1], answers)
                assert others[number][2] == generations
    assert len(alone.keys() & few.keys() & many.keys()) >= 8
    assert len({generations for _, _, generations in few.values()}) > 2


def test_another_seed_searches_elsewhere() -> None:
    assert not torch.equal(make(seed=1).ask().latents, make(seed=2).ask().latents)


def test_asking_twice_asks_the_same() -> None:
    search = make()
    for _ in range(3):
        first = search.ask()
        assert torch.equal(search.ask().latents, first.latents)
        step(search)


def test_classes_take_turns() -> None:
    search = make(slots=13)
    targets: set[int] = set()
    for _ in range(20):
        numbers = step(search).numbers
        targets |= set(numbers.tolist())
    assert targets == set(range(len(targets)))  # none is left out
    counts = torch.tensor(sorted(targets)).remainder(CLASSES).bincount()
    assert counts.max() - counts.min() <= 1


def test_any_answer_can_be_the_target() -> None:
    def between(numbers: Tensor) -> Tensor:
        """Half one class, half the next."""
        return (TARGETS(numbers) + TARGETS(numbers + 1)) / 2

    search = Search(
        Algorithm(max_generations=20), between, slots=10, latent_dim=DIM, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    found = winners(search, 40)
    close = [n for n, (_, p, _) in found.items() if p[[n % CLASSES, (n + 1) % CLASSES]].sum() > 0.8]
    assert len(close) > 0.9 * len(found) > 10


def test_more_generations_find_surer_images() -> None:
    def mean(generations: int) -> float:
        algorithm = Algorithm(threshold=0.0, max_generations=generations)
        found = winners(make(algorithm, slots=20), generations)
        return float(torch.stack([answers.max() for _, answers, _ in found.values()]).mean())

    assert mean(1) < mean(3) < mean(10)


def test_the_log_counts_queries_and_shows_the_first_searches() -> None:
    search, record = make(slots=12), SearchLog(CLASSES)
    spent = 0
    ended = []
    for _ in range(15):
        asked = search.ask()
        spent += len(asked.latents)
        record.add_queries(asked.classes)
        pixels = asked.latents.view(-1, 1, 4, 4).sigmoid().mul(255).to(torch.uint8)
        status = search.tell(pixels, answer(asked.latents))
        record.add_generation(status)
        ended.append(status.where(status.finished))
    numbers = record.summary(used=30)
    assert sum(numbers.queries_per_class) == spent
    assert numbers.wasted == pytest.approx(1 - 30 / spent)
    assert numbers.targets == sum(len(e.numbers) for e in ended)
    assert numbers.reached == sum(int(e.reached.sum()) for e in ended) < numbers.targets
    rounds = torch.cat([e.generations for e in ended])
    assert numbers.generations == pytest.approx(rounds.float().mean().item())

    films = record.pictures()
    assert films["images"].shape == (10, 4, 1, 4, 4)
    assert films["images"].dtype == torch.uint8
    assert films["targets"].tolist() == [0, 1, 2, 3, 4] * 2
    for row, probability in enumerate(films["probability"]):
        known = probability.isfinite()
        assert known[: known.sum()].all()  # then nothing
        last = next(e for e in ended if row in e.numbers.tolist())
        at = last.numbers.tolist().index(row)
        assert int(known.sum()) == last.generations[at]
        assert probability[known][-1] == last.answers[at, row % CLASSES]
        assert torch.equal(films["images"][row, known.sum() - 1], last.images[at])


def test_a_log_without_a_generation_has_no_images() -> None:
    record = SearchLog(CLASSES)
    assert record.pictures() == {}
    assert record.summary(used=0).generations == 0
