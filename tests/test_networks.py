"""The networks of x and of (x, σ): their shapes, their first weights, their smoothness."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.networks import NoiseConditionalNetwork, ScoreNetwork

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
