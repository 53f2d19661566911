import pytest
import torch

from clonecost.training import rand_augment as module
from clonecost.training.rand_augment import KINDS, rand_augment


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_stays_in_range_and_every_row_has_its_own_draw(shape: tuple[int, int, int]) -> None:
    picture = torch.rand(1, *shape, generator=drawn(0))
    found = rand_augment(picture.repeat(200, 1, 1, 1), drawn(1))
    assert found.shape == (200, *shape)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert len(found.flatten(1).unique(dim=0)) > 150
    again = rand_augment(picture.repeat(200, 1, 1, 1), drawn(1))
    assert torch.equal(found, again)


def test_some_rows_stay_as_they_are() -> None:
    pictures = torch.rand(400, 1, 8, 8, generator=drawn(0))
    same = (rand_augment(pictures, drawn(1), operations=1) == pictures).flatten(1).all(1)
    assert 0.5 < same.float().mean().item() * len(KINDS) < 4  # one kind does nothing


def test_constant_images_give_no_nan() -> None:
    pictures = (
        torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 3, 8, 8).repeat(100, 1, 1, 1)
    )
    assert torch.isfinite(rand_augment(pictures, drawn(0), operations=4)).all()


def test_colour_operations_compute_what_their_names_state() -> None:
    x = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 1, 2, 2)
    one, none = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    assert torch.allclose(module.invert(x, one, one), 1 - x)
    assert torch.allclose(
        module.solarise(x, 0.5 * one, one).flatten(), torch.tensor([0.2, 0.4, 0.4, 0.2])
    )
    assert torch.allclose(
        module.autocontrast(x, one, one).flatten(), torch.tensor([0, 1, 2, 3]) / 3
    )
    assert torch.allclose(module.brightness(x, one, -one), 0.1 * x)
    assert torch.allclose(module.contrast(x, none, one), x)
    bytes_ = torch.arange(256).view(1, 1, 16, 16) / 255
    assert torch.equal((module.posterise(bytes_, none, one) * 255).round(), (bytes_ * 255).round())
    assert len(module.posterise(bytes_, one, one).unique()) == 16


def test_no_loop_over_images(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = torch.nn.functional.grid_sample

    def counting(*args: object, **more: object) -> torch.Tensor:
        calls.append(1)
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("torch.nn.functional.grid_sample", counting)
    rand_augment(torch.rand(64, 1, 8, 8, generator=drawn(0)), drawn(1))
    assert len(calls) == 2  # one per operation, not per image
