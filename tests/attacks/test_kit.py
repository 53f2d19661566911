"""What an attack gets beside the oracle."""

from dataclasses import replace

import pytest
import torch
from tests.support.toys import toy_student

from clonecost.attacks.base import AttackerKit
from clonecost.networks import build_generator


def test_a_new_network_leaves_every_random_state_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the clone of a milestone would change what a student's dropout draws on a GPU."""

    def never(seed: int) -> None:
        raise AssertionError("every GPU would be seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", never)
    kit = AttackerKit(
        student=toy_student, rng=torch.Generator().manual_seed(1), device=torch.device("cpu"),
        generator=lambda latent, *, width: build_generator(latent, (1, 8, 8), width=width),
        horizon=10,
    )  # fmt: skip
    before = torch.get_rng_state()
    one, other = kit.new_student(), replace(kit, rng=torch.Generator().manual_seed(1)).new_student()
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
