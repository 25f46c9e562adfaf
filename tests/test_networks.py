"""The score network: its shapes, its first weights, its smoothness."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from notes.networks import ScoreNetwork

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
