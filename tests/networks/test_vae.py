from math import log, pi

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from clonecost.errors import SpecError
from clonecost.networks import Vae
from clonecost.networks.equalised_layers import EqualisedConv2d, EqualisedLinear, PixelNorm
from clonecost.networks.image_range import to_pixels, to_space
from clonecost.networks.vae import elbo_terms, reparametrise


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(shape: tuple[int, ...] = (1, 8, 16), latent_dim: int = 5, width: int = 4) -> Vae:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Vae(shape, latent_dim, width)


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize(
    ("channels", "encoder", "decoder"), [(1, 3_531_744, 2_223_841), (3, 3_531_808, 2_223_907)]
)
def test_parameter_counts_are_the_published_ones(channels: int, encoder: int, decoder: int) -> None:
    with torch.device("meta"):
        vae = Vae((channels, 32, 32))
    assert (parameters(vae.encoder), parameters(vae.decoder)) == (encoder, decoder)
    assert (f"{encoder / 1e6:.2f}", f"{decoder / 1e6:.2f}") == ("3.53", "2.22")


def test_shapes_and_the_latents_come_from_the_given_generator() -> None:
    vae, inputs = small(), torch.rand(3, 1, 8, 16, generator=rng()) * 2 - 1
    state = torch.get_rng_state()
    output = vae(inputs, rng(1))
    assert output.reconstruction.shape == inputs.shape
    assert output.mean.shape == output.log_variance.shape == (3, 5)
    assert torch.equal(vae(inputs, rng(1)).reconstruction, output.reconstruction)
    assert not torch.equal(vae(inputs, rng(2)).reconstruction, output.reconstruction)
    assert torch.equal(torch.get_rng_state(), state)
    decoded = vae.decoder(reparametrise(output.mean, output.log_variance, rng(1)))
    torch.testing.assert_close(decoded, output.reconstruction)


def test_gradients_reach_all_parameters() -> None:
    vae, inputs = small(), torch.rand(4, 1, 8, 16, generator=rng())
    terms = elbo_terms(inputs, *vae(inputs, rng()))
    (terms.reconstruction + terms.kl).mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [(EqualisedConv2d(6, 7, 3), (6, 9, 9), 54), (EqualisedLinear(50, 40), (50,), 50)],
    ids=["convolution", "linear"],
)
def test_equalised_layers_scale_unit_weights_at_run_time(
    layer: EqualisedConv2d | EqualisedLinear, shape: tuple[int, ...], fan_in: int
) -> None:
    assert layer.weight.std().item() == pytest.approx(1, abs=0.1)
    assert layer.bias is not None
    assert layer.bias.count_nonzero() == 0
    layer.bias.data.fill_(3)  # is not scaled
    inputs = torch.randn(4, *shape, generator=rng())
    plain: nn.Conv2d | nn.Linear = (
        nn.Conv2d(6, 7, 3) if isinstance(layer, EqualisedConv2d) else nn.Linear(50, 40)
    )
    plain.load_state_dict(
        {"weight": layer.weight * (2 / fan_in) ** 0.5, "bias": torch.full_like(layer.bias, 3)}
    )
    torch.testing.assert_close(layer(inputs), plain(inputs))


def test_pixel_norm_gives_every_position_unit_mean_square() -> None:
    inputs = torch.randn(2, 6, 3, 4, generator=rng()) * 10
    normed = PixelNorm()(inputs)
    torch.testing.assert_close(normed.square().mean(1), torch.ones(2, 3, 4))
    torch.testing.assert_close(normed / normed[:, :1], inputs / inputs[:, :1])
    assert PixelNorm()(torch.zeros(1, 2, 1, 1)).isfinite().all()


def test_reparametrised_latents_have_the_mean_and_variance_requested() -> None:
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -3.0]])
    latents = reparametrise(mean.expand(40_000, 2), log_variance.expand(40_000, 2), rng())
    torch.testing.assert_close(latents.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(latents.var(0), log_variance[0].exp(), atol=0, rtol=0.03)


def test_kl_is_the_closed_form_of_torch() -> None:
    mean, log_variance = torch.randn(2, 6, 5, generator=rng())
    terms = elbo_terms(torch.zeros(6, 1), torch.zeros(6, 1), mean, log_variance)
    q = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(terms.kl, kl_divergence(q, Normal(0.0, 1.0)).sum(1))
    assert elbo_terms(*torch.zeros(4, 1, 1)).kl.item() == 0


def test_reconstruction_is_a_gaussians_log_likelihood_up_to_a_constant() -> None:
    """With variance 1/2, the factor of the squared error is 1; the constant: (d/2) log pi."""
    inputs, made = torch.randn(2, 6, 3, 2, 4, generator=rng())
    terms = elbo_terms(inputs, made, *torch.zeros(2, 6, 1))
    likelihood = Normal(made, 0.5**0.5).log_prob(inputs).sum((1, 2, 3))
    torch.testing.assert_close(terms.reconstruction, -likelihood - 24 / 2 * log(pi))


class Linear(nn.Module):
    """x = W z + noise of variance 1/2, W with orthogonal columns: the evidence is known exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        covariance = self.weight @ self.weight.T + torch.eye(3) / 2
        self.marginal = torch.distributions.MultivariateNormal(torch.zeros(3), covariance)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z | x), whose covariance is diagonal."""
        precision = 1 + 2 * self.weight.square().sum(0)
        return 2 * x @ self.weight / precision, -precision.log()


@pytest.mark.parametrize("off", [0.0, 0.5], ids=["exact posterior", "wrong posterior"])
def test_the_loss_is_the_negative_evidence_bound(off: float) -> None:
    """bound <= importance-weighted estimate <= log p(x); all equal when q is the posterior."""
    toy, x, draws = Linear(), torch.tensor([[0.5, -1.0, 0.3]]), 50_000
    mean, log_variance = toy.posterior(x)
    mean, log_variance = mean + off, log_variance - off
    many = [part.expand(draws, -1) for part in (mean, log_variance)]
    z = reparametrise(many[0], many[1], rng())
    terms = elbo_terms(x.expand(draws, 3), z @ toy.weight.T, *many)
    constant = 3 / 2 * log(pi)
    bound = -(terms.reconstruction + terms.kl).mean().item() - constant
    prior, q = Normal(0.0, 1.0), Normal(mean, (log_variance / 2).exp())
    weights = -terms.reconstruction - constant + (prior.log_prob(z) - q.log_prob(z)).sum(1)
    estimate = (weights.view(-1, 100).logsumexp(1) - log(100)).mean().item()
    evidence = toy.marginal.log_prob(x).item()
    if off:
        exact = Normal(toy.posterior(x)[0], (toy.posterior(x)[1] / 2).exp())
        gap = kl_divergence(q, exact).sum().item()
        assert bound == pytest.approx(evidence - gap, abs=0.03)
        assert bound + 0.5 < estimate < evidence + 0.03
    else:
        assert bound == pytest.approx(evidence, abs=0.03)
        assert estimate == pytest.approx(evidence, abs=0.03)


def test_pixels_round_trip_and_values_out_of_range_are_clamped() -> None:
    pixels = torch.rand(3, 1, 4, 4, generator=rng())
    torch.testing.assert_close(to_pixels(to_space(pixels)), pixels)
    assert to_space(pixels).amin() < 0
    assert to_space(torch.ones(1)).item() == 1
    assert to_pixels(torch.tensor([-1.5, -1.0, 0.0, 1.0, 7.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_invalid_arguments_are_refused() -> None:
    for shape in ((1, 28, 28), (1, 32), (0, 32, 32)):
        with pytest.raises(SpecError, match="multiples of 8"):
            Vae(shape)
    with pytest.raises(SpecError, match="latent_dim >= 1"):
        Vae((1, 8, 8), 0)


def test_the_loss_of_a_real_network_is_its_evidence_bound() -> None:
    """With one latent the evidence and the posterior are one-dimensional integrals."""
    vae = small((1, 8, 8), latent_dim=1, width=2).double().eval()
    with torch.no_grad():  # less contrast: fewer draws tell the mean
        vae.decoder.body[-1].weight.mul_(0.2)  # type: ignore[operator]
    x = (torch.rand(1, 1, 8, 8, generator=rng()) * 2 - 1).double()
    constant = 64 / 2 * log(pi)
    grid = torch.linspace(-40, 40, 8_001, dtype=torch.float64)[:, None]
    step = (grid[1] - grid[0]).item()
    with torch.no_grad():
        mean, log_variance = vae.encoder(x).unbind(1)
        decoded = vae.decoder(grid)
        error = elbo_terms(x.expand(len(grid), -1, -1, -1), decoded, mean, log_variance)
        joint = Normal(0.0, 1.0).log_prob(grid)[:, 0] - error.reconstruction - constant
        evidence = joint.logsumexp(0) + log(step)
        q = Normal(mean, (log_variance / 2).exp()).log_prob(grid)[:, 0]
        gap = (q.exp() * (q - (joint - evidence))).sum() * step  # KL(q || posterior)
        z = reparametrise(mean.expand(4_000, 1), log_variance.expand(4_000, 1), rng())
        many = elbo_terms(x.expand(4_000, -1, -1, -1), vae.decoder(z), mean, log_variance)
    bounds = -(many.reconstruction + many.kl) - constant
    assert q.exp().sum() * step == pytest.approx(1, abs=1e-6)  # the grid is wide enough
    assert gap > 0.1
    noise = (bounds.std() / 4_000**0.5).item()
    assert noise < 0.5
    assert bounds.mean().item() == pytest.approx((evidence - gap).item(), abs=3 * noise + 0.01)
