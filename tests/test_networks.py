"""The networks of x, of (x, σ) and of images: their shapes, their first weights, their smoothness."""

import functools
import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.mixtures import GaussianMixture
from notes.networks import ImageNetwork, NoiseConditionalNetwork, ScoreNetwork
from notes.score_matching import denoising_over_scales
from notes.training import train

FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def points(n, dim, dtype=torch.float32):
    return torch.randn(n, dim, generator=seeded(0), dtype=torch.float64).to(dtype)


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize(("dim", "width", "depth"), [(1, 1, 1), (1, 8, 2), (2, 16, 3), (10, 5, 1)])
def test_one_row_in_is_one_row_out(dim, width, depth, n):
    network = ScoreNetwork(dim, width=width, depth=depth, generator=seeded(1))
    assert isinstance(network, torch.nn.Module)
    assert network.dim == dim
    out = network(points(n, dim))
    assert out.shape == (n, dim)
    assert out.dtype == torch.float32
    assert out.requires_grad


@pytest.mark.parametrize(("dim", "width", "depth"), [(1, 1, 1), (2, 16, 1), (3, 16, 2), (2, 7, 4)])
def test_has_depth_hidden_layers_of_width_units(dim, width, depth):
    network = ScoreNetwork(dim, width=width, depth=depth, generator=seeded(1))
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    hidden = [(width, width), (width,)] * (depth - 1)
    assert shapes == [(width, dim), (width,), *hidden, (dim, width), (dim,)]
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_is_of_width_128_and_depth_3_unless_told():
    n_parameters = sum(parameter.numel() for parameter in ScoreNetwork(2, generator=seeded(1)).parameters())
    assert n_parameters == (2 * 128 + 128) + 2 * (128 * 128 + 128) + (128 * 2 + 2)
    with pytest.raises(TypeError):
        ScoreNetwork(2, 64)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_is_affine_maps_with_silu_between_them(depth):
    network = ScoreNetwork(3, width=6, depth=depth, generator=seeded(2)).double()
    values = [parameter.detach().numpy() for parameter in network.parameters()]
    x = points(9, 3, torch.float64)
    hidden = x.numpy()
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        hidden = hidden @ weight.T + bias
        hidden = hidden / (1 + np.exp(-hidden))
    # The last map is bare: a score takes any value.
    expected = hidden @ values[-2].T + values[-1]
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 50])
def test_begins_uniform_within_one_over_the_root_of_each_layers_inputs(dim):
    network = ScoreNetwork(dim, width=300, depth=2, generator=seeded(3))
    parameters = list(network.parameters())
    fans = [dim, dim, 300, 300, 300, 300]
    for parameter, fan in zip(parameters, fans, strict=True):
        bound = fan**-0.5
        values = parameter.detach().flatten().double().numpy()
        assert np.abs(values).max() <= bound * (1 + 1e-7)  # a bound in float32
        assert scipy.stats.kstest(values, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > FIVE_SIGMA
    # No number is used twice.
    assert len(weights(network).unique()) > 0.98 * len(weights(network))


def test_begins_as_pytorch_would():
    # The same law as a linear layer of PyTorch's own: two samples of 90 000.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torch.nn.Linear(300, 300)
    ours = list(ScoreNetwork(2, width=300, depth=2, generator=seeded(4)).parameters())[2]
    same = scipy.stats.ks_2samp(ours.detach().flatten().numpy(), theirs.weight.detach().flatten().numpy())
    assert same.pvalue > FIVE_SIGMA


def test_its_first_weights_are_decided_by_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (weights(ScoreNetwork(2, width=8, generator=seeded(s))) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_its_first_weights_follow_the_global_seed_without_a_generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = (weights(ScoreNetwork(2, width=8)) for _ in range(2))
        torch.manual_seed(0)
        assert torch.equal(weights(ScoreNetwork(2, width=8)), first)
    assert not torch.equal(first, second)


def test_one_generator_makes_two_networks():
    generator = seeded(7)
    first, second = (weights(ScoreNetwork(2, width=8, generator=generator)) for _ in range(2))
    assert not torch.equal(first, second)


def test_is_smooth():
    network = ScoreNetwork(2, width=8, generator=seeded(8)).double()
    x = points(3, 2, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(network, (x,))
    assert torch.autograd.gradgradcheck(network, (x,))
    for row in x.detach():
        second = torch.autograd.functional.hessian(lambda y: network(y[None])[0, 0], row)
        # With ReLU it would be zero everywhere.
        assert second.abs().min() > 1e-6


def test_the_output_of_a_row_is_a_function_of_that_row():
    network = ScoreNetwork(2, width=8, generator=seeded(9)).double()
    x = points(6, 2, torch.float64)
    together = network(x)
    alone = torch.cat([network(row[None]) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-14)
    jacobian = torch.autograd.functional.jacobian(network, x)
    own = torch.eye(6, dtype=torch.bool)[:, None, :, None].expand_as(jacobian)
    assert (jacobian[~own] == 0).all()
    assert (jacobian[own] != 0).all()


def test_in_float64_it_is_the_same_field():
    network = ScoreNetwork(2, width=16, generator=seeded(10))
    x = points(7, 2)
    single = network(x).detach()
    double = network.to(torch.float64)(x.double()).detach()
    assert double.dtype == torch.float64
    # Four layers of sums over at most 16 terms of size one.
    torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-6)


def test_its_state_is_loaded_into_another():
    first, second = (ScoreNetwork(2, width=8, generator=seeded(s)) for s in (11, 12))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(points(4, 2)), second(points(4, 2)))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(3, 1), ValueError),
        (torch.zeros(3, 2, dtype=torch.float64), TypeError),
        (np.zeros((3, 2), dtype=np.float32), TypeError),
    ],
)
def test_bad_points_are_refused_by_name(x, error):
    with pytest.raises(error, match="x must"):
        ScoreNetwork(2, width=4, generator=seeded(0))(x)


@pytest.mark.parametrize("name", ["dim", "width", "depth"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (2.0, TypeError)],
)
def test_bad_sizes_are_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"{name} must"):
        ScoreNetwork(**{"dim": 2, name: value})


def test_a_generator_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="generator must"):
        ScoreNetwork(2, generator=0)


# The network of x and σ.


def conditional(dim=2, width=16, depth=2, seed=1, **sizes):
    return NoiseConditionalNetwork(dim, width=width, depth=depth, generator=seeded(seed), **sizes)


def by_hand(network, x, sigma):
    """F(x/√(1 + σ²), log σ and its six waves)/σ in NumPy."""
    values = [parameter.detach().double().numpy() for parameter in network.parameters()]
    x, sigma = x.detach().double().numpy(), np.broadcast_to(np.asarray(sigma, dtype=float), len(x))[:, None]
    log = np.log(sigma)
    angles = log * np.array([0.5, 1.0, 2.0])
    hidden = np.concatenate([x / np.sqrt(1 + sigma**2), log, np.sin(angles), np.cos(angles)], 1)
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        hidden = hidden @ weight.T + bias
        hidden = hidden / (1 + np.exp(-hidden))
    return (hidden @ values[-2].T + values[-1]) / sigma


class TestNoiseConditional:
    @pytest.mark.parametrize("n", [0, 1, 5])
    @pytest.mark.parametrize(("dim", "width", "depth"), [(1, 1, 1), (1, 8, 2), (2, 16, 3), (10, 5, 1)])
    def test_one_row_in_is_one_row_out(self, dim, width, depth, n):
        network = conditional(dim, width, depth)
        assert isinstance(network, torch.nn.Module)
        assert network.dim == dim
        for sigma in (0.3, torch.full((n,), 0.3)):
            out = network(points(n, dim), sigma)
            assert out.shape == (n, dim)
            assert out.dtype == torch.float32
            assert out.requires_grad

    def test_has_seven_inputs_beside_its_points_and_is_of_width_128_and_depth_3_unless_told(self):
        shapes = [tuple(parameter.shape) for parameter in NoiseConditionalNetwork(2, generator=seeded(1)).parameters()]
        assert shapes == [(128, 9), (128,), (128, 128), (128,), (128, 128), (128,), (2, 128), (2,)]
        with pytest.raises(TypeError):
            NoiseConditionalNetwork(2, 64)

    @pytest.mark.parametrize(("dim", "depth"), [(1, 1), (3, 2)])
    def test_is_its_formula(self, dim, depth):
        network = conditional(dim, 6, depth, seed=2).double()
        x = points(9, dim, torch.float64)
        sigma = torch.logspace(-3, 2, 9, dtype=torch.float64)
        np.testing.assert_allclose(network(x, sigma).detach(), by_hand(network, x, sigma), rtol=1e-11, atol=1e-13)
        for number in (0.01, 1.0, 7.5):
            np.testing.assert_allclose(network(x, number).detach(), by_hand(network, x, number), rtol=1e-11, atol=1e-13)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_noise_for_all_is_the_same_for_each(self, dtype):
        network, x = conditional(seed=3).to(dtype), points(7, 2, dtype)
        expected = network(x, 0.37)
        sigma = torch.full((7,), 0.37, dtype=dtype)
        for same in (torch.tensor(0.37, dtype=dtype), np.float64(0.37), np.array(0.37), sigma, sigma.numpy()):
            torch.testing.assert_close(network(x, same), expected, rtol=0, atol=10 * torch.finfo(dtype).eps)
        several = torch.linspace(0.1, 3, 7, dtype=dtype)
        alone = torch.cat([network(row[None], noise) for row, noise in zip(x, several, strict=True)])
        torch.testing.assert_close(network(x, several), alone, rtol=0, atol=100 * torch.finfo(dtype).eps)
        assert torch.equal(network(x, several.repeat_interleave(2)[::2]), network(x, several))
        assert torch.equal(network(x, sigma[:1].expand(7)), network(x, sigma))

    def test_one_point_with_a_noise_of_its_own(self):
        network, x = conditional(seed=3), points(1, 2)
        torch.testing.assert_close(network(x, torch.tensor([0.4])), network(x, 0.4), rtol=0, atol=1e-6)

    def test_times_the_noise_it_is_of_order_one_at_every_noise(self):
        p_variance, network = 1.0, NoiseConditionalNetwork(2, generator=seeded(4))
        sizes = []
        for sigma in np.logspace(-4, 2, 25):
            x = math.sqrt(p_variance + sigma**2) * points(500, 2)
            sizes.append((sigma * network(x, sigma)).square().mean().sqrt().item())
        # Of the same size from end to end, as the mean of the noise is; without the division six orders would differ.
        assert 0.02 < min(sizes) < max(sizes) < 1
        assert max(sizes) < 5 * min(sizes)

    def test_its_first_weights_are_those_of_the_score_network_with_as_many_inputs(self):
        before = torch.get_rng_state()
        first, again, other = (weights(conditional(seed=s)) for s in (5, 5, 6))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)
        fans = [9, 9, 300, 300, 300, 300]
        for parameter, fan in zip(conditional(2, 300, 2, seed=7).parameters(), fans, strict=True):
            bound = fan**-0.5
            values = parameter.detach().flatten().double().numpy()
            assert np.abs(values).max() <= bound * (1 + 1e-7)
            assert scipy.stats.kstest(values, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > FIVE_SIGMA

    def test_follows_the_global_seed_without_a_generator(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (weights(NoiseConditionalNetwork(2, width=8)) for _ in range(2))
            torch.manual_seed(0)
            assert torch.equal(weights(NoiseConditionalNetwork(2, width=8)), first)
        assert not torch.equal(first, second)

    @pytest.mark.parametrize("sigma", [0.2, torch.linspace(0.1, 2, 3, dtype=torch.float64)])
    def test_is_smooth_in_its_points(self, sigma):
        network = conditional(width=8, seed=8).double()
        x = points(3, 2, torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: network(x, sigma), (x,))
        assert torch.autograd.gradgradcheck(lambda x: network(x, sigma), (x,))
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x, sigma), x)
        own = torch.eye(3, dtype=torch.bool)[:, None, :, None].expand_as(jacobian)
        assert (jacobian[~own] == 0).all()
        assert (jacobian[own] != 0).all()

    def test_the_noise_is_a_constant(self):
        network, sigma = conditional(), torch.ones(3, requires_grad=True)
        for noise in (sigma, sigma[0]):
            network(points(3, 2), noise).sum().backward()
        assert sigma.grad is None

    def test_gradients_reach_every_parameter(self):
        network = conditional().double()
        network(points(5, 2, torch.float64), torch.linspace(0.1, 2, 5)).square().sum().backward()
        assert all((parameter.grad != 0).any() for parameter in network.parameters())

    def test_in_float64_it_is_the_same_field(self):
        network, x, sigma = conditional(seed=10), points(7, 2), torch.linspace(0.1, 3, 7)
        single = network(x, sigma).detach()
        double = network.to(torch.float64)(x.double(), sigma).detach()
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_in_half_precision_and_autocast_it_is_the_same_to_their_accuracy(self, dtype):
        network, x, sigma = conditional(seed=11), points(50, 2), torch.linspace(0.5, 3, 50)
        expected = network(x, sigma)
        with torch.autocast("cpu", dtype=dtype):
            torch.testing.assert_close(network(x, sigma), expected, rtol=0, atol=8 * torch.finfo(dtype).eps)
        found = network.to(dtype)(x.to(dtype), sigma)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=16 * torch.finfo(dtype).eps)

    def test_is_computed_on_the_device_of_its_points(self):
        network, x, sigma = conditional(), points(3, 2), torch.ones(3)
        expected = network(x, 0.5), network(x, sigma)
        with torch.device("meta"):  # the default of whatever is made without saying where
            assert torch.equal(network(x, 0.5), expected[0])
            assert torch.equal(network(x, sigma), expected[1])

    def test_its_state_is_loaded_into_another(self):
        first, second = (conditional(seed=s) for s in (11, 12))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(points(4, 2), 0.3), second(points(4, 2), 0.3))

    def test_computes_on_one_thread_where_it_is_small_and_leaves_the_users(self):
        before, seen = torch.get_num_threads(), []
        network = conditional()
        network.layers[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
        large = NoiseConditionalNetwork(2, width=512, generator=seeded(1))
        large.layers[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
        try:
            torch.set_num_threads(2)
            network(points(3, 2), 0.5)
            large(points(2000, 2), 0.5)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert seen == [1, 2]

    @pytest.mark.parametrize(
        ("x", "error"),
        [
            (torch.zeros(3, 1), ValueError),
            (torch.zeros(3, 2, dtype=torch.float64), TypeError),
            (np.zeros((3, 2), dtype=np.float32), TypeError),
        ],
    )
    @pytest.mark.parametrize("sigma", [1.0, torch.ones(3)])
    def test_bad_points_are_refused_by_name(self, x, error, sigma):
        with pytest.raises(error, match=r"^x must"):
            conditional()(x, sigma)

    @pytest.mark.parametrize(
        ("sigma", "error"),
        [
            (0, ValueError),
            (-1.0, ValueError),
            (math.nan, ValueError),
            (1e39, ValueError),
            (1e-46, ValueError),
            ("1", TypeError),
            (None, TypeError),
            (torch.ones(2), ValueError),
            (torch.ones(1), ValueError),
            (torch.ones(3, 1), ValueError),
            (torch.tensor([1.0, 1.0, 0.0]), ValueError),
            (torch.tensor([1.0, 1.0, -1.0]), ValueError),
            (torch.tensor([1.0, 1.0, math.nan]), ValueError),
            (torch.tensor([1.0, 1.0, math.inf]), ValueError),
        ],
    )
    def test_a_bad_noise_is_refused_by_name(self, sigma, error):
        with pytest.raises(error, match=r"^sigma must"):
            conditional()(torch.zeros(3, 2), sigma)

    @pytest.mark.parametrize("name", ["dim", "width", "depth"])
    @pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError)])
    def test_bad_sizes_are_refused_by_name(self, name, value, error):
        with pytest.raises(error, match=f"{name} must"):
            NoiseConditionalNetwork(**{"dim": 2, name: value})

    def test_a_generator_of_another_kind_is_refused(self):
        with pytest.raises(TypeError, match="generator must"):
            NoiseConditionalNetwork(2, generator=0)


# The network of images.


def image_network(seed=1, n_labels=3, side=4, std=0.6, moved=True, **sizes):
    """A small one; what starts at zero is moved, unless told."""
    mean = torch.linspace(-0.5, 0.7, side**2)
    network = ImageNetwork(mean, std, channels=4, n_labels=n_labels, generator=seeded(seed), **sizes)
    if moved:
        with torch.no_grad():
            for parameter in network.last.parameters():
                parameter.normal_(0, 0.3, generator=seeded(seed + 100))
    return network


def inner(network, x, sigma, label=None):
    """F, solved for in the formula of the field."""
    spread = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1).hypot(network.std)
    sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1)
    return (
        (network(x, sigma.flatten().expand(len(x)), label) + (x - network.mean) / spread**2)
        * sigma
        * spread
        / network.std
    )


class TestImageNetwork:
    @pytest.mark.parametrize("n", [0, 1, 5])
    @pytest.mark.parametrize("side", [2, 4, 6])
    def test_one_row_in_is_one_row_out(self, side, n):
        network = image_network(side=side)
        assert isinstance(network, torch.nn.Module)
        assert network.dim == side**2
        x = points(n, side**2)
        for sigma in (0.3, torch.full((n,), 0.3)):
            for label in (None, torch.zeros(n, dtype=torch.int64)):
                out = network(x, sigma, label)
                assert (out.shape, out.dtype) == ((n, side**2), torch.float32)
                assert out.requires_grad

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_starts_as_the_score_of_a_round_gaussian(self, dtype):
        network, x = image_network(moved=False).to(dtype), 3 * points(6, 16, dtype)
        p = GaussianMixture(network.mean[None], network.std.item())
        for sigma in (1e-3, 0.3, 50.0):
            for label in (None, torch.tensor([0, 1, 2, -1, 0, 1])):
                found = network(x, sigma, label)
                atol = 20 * torch.finfo(dtype).eps * found.abs().max().item()
                torch.testing.assert_close(found, p.smoothed_score(x, sigma), rtol=0, atol=atol)

    def test_its_weight_makes_the_loss_the_plain_squared_error_of_what_it_learns(self):
        # The field −z/σ at x' + σz is that of another F, solved for as inner() does: ½‖F − that‖² by hand.
        network, x = image_network().double(), points(40, 16, torch.float64)
        seen = []

        def spied(x, sigma):
            seen.append((x, sigma))
            return network(x, sigma)

        loss = denoising_over_scales(spied, x, [8.0, 0.02], weight=network.weight, generator=seeded(2))
        ((noisy, sigma),) = seen
        z = (noisy - x.repeat(2, 1)) / sigma[:, None]
        spread = sigma[:, None].hypot(network.std)
        wanted = ((noisy - network.mean) / spread**2 - z / sigma[:, None]) * sigma[:, None] * spread / network.std
        error = 0.5 * (inner(network, noisy, sigma) - wanted).square().sum(1).mean()
        torch.testing.assert_close(loss, error, rtol=1e-9, atol=0)
        # What it learns is of the order of one at every noise, for data of mean m and deviation τ.
        clean = network.mean + network.std * points(4000, 16, torch.float64)
        for level in (1e-3, 0.3, 30.0):
            z = torch.randn(4000, 16, generator=seeded(3), dtype=torch.float64)
            noisy, spread = clean + level * z, math.hypot(level, network.std)
            wanted = ((noisy - network.mean) / spread**2 - z / level) * level * spread / network.std
            assert wanted.std().item() == pytest.approx(1, abs=0.02)

    @pytest.mark.parametrize("std", [0.5, 2.0])
    def test_its_weight_is_its_formula_in_the_dtype_of_the_noise(self, std):
        network, sigma = image_network(std=std), torch.tensor([0.02, 0.5, 8.0], dtype=torch.float64)
        weight = network.weight(sigma)
        torch.testing.assert_close(weight, sigma**2 * (1 + sigma**2 / std**2), rtol=1e-15, atol=0)
        assert weight.dtype == torch.float64

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_noise_for_all_is_the_same_for_each_and_a_row_is_its_own(self, dtype):
        network, x, label = image_network().to(dtype), points(5, 16, dtype), torch.tensor([0, 2, -1, 1, 0])
        several = torch.linspace(0.1, 3, 5, dtype=dtype)
        together = network(x, several, label)
        for i in range(5):
            alone = network(x[i : i + 1], several[i].item(), label[i : i + 1])
            atol = 200 * torch.finfo(dtype).eps * together.abs().max().item()
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=atol)
        expected, sigma = network(x, 0.37), torch.full((5,), 0.37, dtype=dtype)
        for same in (torch.tensor(0.37, dtype=dtype), np.float64(0.37), np.array(0.37), sigma, sigma.numpy()):
            torch.testing.assert_close(network(x, same), expected, rtol=0, atol=100 * torch.finfo(dtype).eps)

    def test_no_label_is_minus_one_and_each_label_counts(self):
        network, x = image_network(), points(5, 16)
        none = network(x, 0.4)
        assert torch.equal(network(x, 0.4, torch.full((5,), -1)), none)
        told = [network(x, 0.4, torch.full((5,), k)) for k in range(3)]
        for one, other in itertools.combinations([none, *told], 2):
            assert (one - other).abs().max() > 1e-4
        for dtype in (torch.int32, torch.uint8):
            assert torch.equal(network(x, 0.4, torch.full((5,), 2, dtype=dtype)), told[2])
        mixed = network(x, 0.4, torch.tensor([2, -1, 0, 1, 2]))
        torch.testing.assert_close(mixed[1], none[1], rtol=0, atol=1e-5)
        torch.testing.assert_close(mixed[3], told[1][3], rtol=0, atol=1e-5)

    def test_every_pixel_hears_of_every_other_and_of_no_other_image(self):
        network, x = image_network(side=8).double(), points(2, 64, torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x, 0.5), x)
        assert (jacobian[0, :, 0] != 0).all()
        assert (jacobian[0, :, 1] == 0).all()

    def test_pixels_lie_in_rows_of_the_image(self):
        # With all but the first and the last filters at zero it sees three by three pixels: those around.
        network = image_network(side=4).double()
        with torch.no_grad():
            for part in (*network.before, *network.after, network.down, *network.inside, network.up):
                for parameter in part.parameters():
                    parameter.zero_()
        x, sigma = points(1, 16, torch.float64), 0.5
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x, sigma), x)[0, :, 0]
        row, column = torch.arange(16) // 4, torch.arange(16) % 4
        far = torch.maximum((row - row[:, None]).abs(), (column - column[:, None]).abs())
        assert torch.equal(jacobian != 0, far <= 2)  # through two layers of filters

    def test_its_first_weights_are_decided_by_the_generator_alone(self):
        before = torch.get_rng_state()
        first, again, other = (weights(image_network(seed=s, moved=False)) for s in (5, 5, 6))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, second = (weights(ImageNetwork(torch.zeros(16), 1.0)) for _ in range(2))
            torch.manual_seed(0)
            assert torch.equal(weights(ImageNetwork(torch.zeros(16), 1.0)), first)
        assert not torch.equal(first, second)

    def test_begins_uniform_within_one_over_the_root_of_the_numbers_that_each_output_is_made_of(self):
        network = ImageNetwork(torch.zeros(64), 0.5, channels=16, n_labels=10, generator=seeded(7))
        parts = {
            network.condition: 17, network.first: 9, network.down: 16 * 4, network.up: 32,
            network.before[0]: 16 * 9, network.before[1]: 64, network.after[2]: 16 * 9,
            network.inside[0]: 32 * 16, network.inside[1]: 64, network.inside[2]: 256,
        }  # fmt: skip
        for part, fan in parts.items():
            bound = fan**-0.5
            values = torch.cat([part.weight.detach().flatten(), part.bias.detach()]).double().numpy()
            assert np.abs(values).max() <= bound * (1 + 1e-7)
            assert scipy.stats.kstest(values, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > FIVE_SIGMA
        assert all((parameter == 0).all() for parameter in network.last.parameters())
        assert network.first.out_channels == 16
        assert ImageNetwork(torch.zeros(16), 1.0).first.out_channels == 16

    def test_gradients_reach_every_parameter_and_not_the_noise(self):
        network, sigma = image_network().double(), torch.linspace(0.1, 2, 5).double().requires_grad_()
        x, label = points(5, 16, torch.float64).requires_grad_(), torch.tensor([0, 1, 2, -1, 0])
        network(x, sigma, label).square().sum().backward()
        assert all((parameter.grad != 0).any() for parameter in network.parameters())
        assert (x.grad != 0).all()
        assert sigma.grad is None

    def test_is_smooth_in_its_points(self):
        network, x = image_network(side=2).double(), points(2, 4, torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: network(x, 0.4), (x,))

    def test_in_float64_it_is_the_same_field(self):
        network, x, sigma = image_network(), points(7, 16), torch.linspace(0.1, 3, 7)
        single = network(x, sigma).detach()
        double = network.to(torch.float64)(x.double(), sigma).detach()
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), single, rtol=0, atol=1e-5 * single.abs().max().item())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_in_half_precision_and_autocast_it_is_the_same_to_their_accuracy(self, dtype):
        network, x, sigma = image_network(), points(50, 16), torch.linspace(0.5, 3, 50)
        expected = network(x, sigma)
        with torch.autocast("cpu", dtype=dtype):
            torch.testing.assert_close(network(x, sigma), expected, rtol=0, atol=16 * torch.finfo(dtype).eps)
        found = network.to(dtype)(x.to(dtype), sigma)
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=32 * torch.finfo(dtype).eps)

    def test_equal_images_give_equal_fields_however_they_lie_and_wherever_numbers_are_made(self):
        network, x, label = image_network(), points(6, 16), torch.tensor([0, 1, 2, -1, 0, 1])
        expected = network(x, 0.4, label)
        for laid in (x.T.contiguous().T, x.repeat_interleave(2, 0)[::2], torch.cat([x, x], 1)[:, :16]):
            assert torch.equal(network(laid, 0.4, label), expected)
        with torch.device("meta"):  # the default of whatever is made without saying where
            assert torch.equal(network(x, 0.4, label), expected)
        assert torch.equal(x, points(6, 16))
        assert label.tolist() == [0, 1, 2, -1, 0, 1]

    def test_its_state_is_loaded_into_another_with_the_law_it_starts_from(self):
        first, second = image_network(seed=11), image_network(seed=12, std=2.0)
        with torch.no_grad():
            second.mean.zero_()
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(points(4, 16), 0.3), second(points(4, 16), 0.3))
        assert torch.equal(first.weight(torch.ones(1)), second.weight(torch.ones(1)))

    def test_keeps_a_mean_of_its_own(self):
        mean = torch.zeros(16)
        network = ImageNetwork(mean, 1.0, generator=seeded(13))
        mean += 1
        assert network.mean.abs().max() == 0
        assert "mean" not in dict(network.named_parameters())
        leaf = torch.zeros(16, dtype=torch.float64, requires_grad=True)
        made = ImageNetwork(leaf, np.float64(1.0), generator=seeded(13))
        assert (made.mean.requires_grad, made.mean.dtype) == (False, torch.float32)

    def test_learns(self):
        # Stripes along rows, whose score a round Gaussian has not.
        generator = seeded(14)
        x = torch.randn(500, 4, 1, generator=generator).expand(-1, -1, 4).reshape(500, 16)
        network = ImageNetwork(x.mean(0), x.std().item(), channels=4, generator=generator)
        loss = functools.partial(denoising_over_scales, sigmas=[4.0, 0.1], weight=network.weight)
        losses = train(network, loss, 120, data=x, batch_size=32, lr=5e-3, generator=generator)
        assert losses[-20:].mean() < 0.75 * losses[:5].mean()

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"x": torch.zeros(3, 15)}, ValueError, r"x must have shape \(n, 16\)"),
            ({"x": torch.zeros(3, 16).double()}, TypeError, "x must be torch.float32, as the network is"),
            ({"x": np.zeros((3, 16))}, TypeError, r"x must be a torch\.Tensor"),
            ({"sigma": 0}, ValueError, "sigma must be positive"),
            ({"sigma": "1"}, TypeError, "sigma must be"),
            ({"sigma": torch.ones(2)}, ValueError, r"sigma must be a number or have shape \(3,\)"),
            ({"sigma": torch.tensor([1.0, 0.0, 1.0])}, ValueError, "sigma must be positive"),
            ({"label": [0, 1, 2]}, TypeError, "label must be a tensor of whole numbers, got list"),
            ({"label": torch.ones(3)}, TypeError, "label must be a tensor of whole numbers, got torch.float32"),
            ({"label": torch.ones(3) > 0}, TypeError, "label must be a tensor of whole numbers, got torch.bool"),
            ({"label": torch.tensor([0, 1])}, ValueError, r"label must have shape \(3,\), got \(2,\)"),
            ({"label": torch.tensor(1)}, ValueError, r"label must have shape"),
            ({"label": torch.tensor([0, 1, 3])}, ValueError, "label must lie from -1 to 2, got 3"),
            ({"label": torch.tensor([0, 1, -2])}, ValueError, "label must lie from -1 to 2, got -2"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, change, error, message):
        with pytest.raises(error, match=f"^{message}"):
            image_network()(**({"x": torch.zeros(3, 16), "sigma": 1.0} | change))

    def test_a_label_where_there_is_none_is_refused(self):
        network = image_network(n_labels=0)
        with pytest.raises(ValueError, match=r"^label must lie from -1 to -1, got 0"):
            network(torch.zeros(1, 16), 1.0, torch.tensor([0]))
        assert torch.equal(network(torch.zeros(1, 16), 1.0, torch.tensor([-1])), network(torch.zeros(1, 16), 1.0))

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (
                {"mean": torch.zeros(15)},
                ValueError,
                r"mean must be an image of even side, \(side²,\), got shape \(15,\)",
            ),
            ({"mean": torch.zeros(9)}, ValueError, "mean must be an image of even side"),
            ({"mean": torch.zeros(0)}, ValueError, "mean must be an image of even side"),
            ({"mean": torch.zeros(4, 4)}, ValueError, "mean must be an image of even side"),
            ({"mean": torch.zeros(())}, ValueError, "mean must be an image of even side"),
            ({"mean": torch.full((16,), math.nan)}, ValueError, "mean must be finite"),
            ({"mean": "mean"}, TypeError, "mean must be a tensor or numbers"),
            ({"std": 0}, ValueError, "std must be positive"),
            ({"std": 1e39}, ValueError, "std must be a number that torch.float32 can hold"),
            ({"std": "1"}, TypeError, "std must be a number"),
            ({"channels": 0}, ValueError, "channels must be at least 1"),
            ({"channels": 4.0}, TypeError, "channels must be a whole number"),
            ({"n_labels": -1}, ValueError, "n_labels must be at least 0"),
            ({"generator": 0}, TypeError, "generator must be"),
        ],
    )
    def test_a_bad_network_is_refused_by_name(self, change, error, message):
        with pytest.raises(error, match=f"^{message}"):
            ImageNetwork(**({"mean": torch.zeros(16), "std": 1.0} | change))
