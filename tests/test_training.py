"""The training loop: what it draws, what it steps, what it hands back, and how it stops."""

import copy
import io
import math
import subprocess
import sys
from functools import partial

import nbclient
import nbformat
import numpy as np
import pytest
import scipy.stats
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from notes.mixtures import GaussianMixture, rings, two_moons
from notes.networks import ScoreNetwork
from notes.score_matching import denoising, explicit, fisher_divergence, implicit, sliced
from notes.training import train

NAN, INF = math.nan, math.inf
FIVE_SIGMA = math.erfc(5 / math.sqrt(2))  # the chance of 5 standard errors: the p-value below which a law is refused


def seeded(seed):
    return torch.Generator().manual_seed(seed)


DATA = torch.randn(40, 2, generator=seeded(0))


def network(seed=1):
    return ScoreNetwork(2, width=8, depth=1, generator=seeded(seed))


def by_denoising(model, x, *, generator):
    return denoising(model, x, 0.5, generator=generator)


def weights(model):
    return torch.cat([value.detach().flatten().clone() for value in model.state_dict().values()])


class Line(torch.nn.Module):
    """One number θ; its loss is what the test makes of it."""

    def __init__(self, start=1.0, dtype=torch.float64):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(start, dtype=dtype))

    def forward(self, x):
        return self.theta * x


class At:
    """A loss that is θ² of a Line, or what ``made`` makes of it at one step; keeps the weights it was called with."""

    def __init__(self, step=None, made=None):
        self.step, self.made, self.seen = step, made, []

    def __call__(self, model, x, *, generator):
        self.seen.append(weights(model))
        value = sum(parameter.square().sum() for parameter in model.parameters())
        return self.made(value) if len(self.seen) == self.step else value


def interrupted(value):
    raise KeyboardInterrupt


def not_a_number(value):
    return value * NAN


def without_finite_gradient(value):
    value.register_hook(lambda gradient: gradient * NAN)
    return value * 1


class Source:
    """Data that are drawn; keeps what it was asked for."""

    def __init__(self):
        self.asked = []

    def sample(self, n, generator=None):
        self.asked.append((n, generator))
        return torch.randn(n, 3, generator=generator)


class TestReproducibility:
    @pytest.mark.parametrize("data", [DATA, rings()], ids=["tensor", "mixture"])
    def test_everything_is_decided_by_the_generator(self, data):
        runs = []
        with torch.random.fork_rng(devices=[]):
            for global_seed, seed in [(1, 5), (2, 5), (1, 6)]:
                torch.manual_seed(global_seed)
                before = torch.get_rng_state()
                model = network()
                losses = train(model, by_denoising, 20, data=data, batch_size=16, generator=seeded(seed))
                assert torch.equal(torch.get_rng_state(), before)
                runs.append((losses, weights(model)))
        (first, moved), (again, moved_again), (other, moved_otherwise) = runs
        assert torch.equal(first, again)
        assert torch.equal(moved, moved_again)
        assert not torch.equal(first, other)
        assert not torch.equal(moved, moved_otherwise)

    @pytest.mark.parametrize("data", [DATA, rings()], ids=["tensor", "mixture"])
    def test_without_a_generator_it_follows_the_global_seed(self, data):
        with torch.random.fork_rng(devices=[]):
            runs = []
            for seed in (1, 1, 2):
                torch.manual_seed(seed)
                runs.append(train(network(), by_denoising, 5, data=data, batch_size=16))
        assert torch.equal(runs[0], runs[1])
        assert not torch.equal(runs[0], runs[2])

    def test_what_the_model_was_before_does_not_linger(self):
        fresh, used = network(), network()
        used(DATA).sum().backward()  # a gradient that nobody took
        runs = [train(model, by_denoising, 5, data=DATA, generator=seeded(2)) for model in (fresh, used)]
        assert torch.equal(*runs)
        assert torch.equal(weights(fresh), weights(used))

    @pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
    @pytest.mark.parametrize("loss", [by_denoising, implicit])
    def test_it_trains_where_gradients_are_off(self, off, loss):
        runs = []
        for context in (torch.enable_grad, off):
            model = network()
            with context():
                losses = train(model, loss, 5, data=DATA.clone(), generator=seeded(2))
            runs.append((losses, weights(model)))
        assert torch.equal(runs[0][0], runs[1][0])
        assert torch.equal(runs[0][1], runs[1][1])
        assert torch.is_grad_enabled()

    @pytest.mark.parametrize("layout", [lambda x: x.T.contiguous().T, lambda x: torch.cat([x, x], 1)[:, :2]])
    def test_the_layout_of_the_data_does_not_matter(self, layout):
        class Sampled:
            def __init__(self, data):
                self.data = data

            def sample(self, n, generator=None):
                return self.data[:n]

        wide = ScoreNetwork(2, width=64, generator=seeded(1))
        start = copy.deepcopy(wide.state_dict())
        for held in (lambda data: data, Sampled):
            runs = []
            for data in (DATA, layout(DATA.clone().requires_grad_())):
                assert torch.equal(data, DATA)
                wide.load_state_dict(start)

                def loss(model, x, *, generator):
                    assert x.is_contiguous()
                    assert not x.requires_grad
                    return model(x).square().sum()

                train(wide, loss, 5, data=held(data), batch_size=30, generator=seeded(2))
                runs.append(weights(wide))
            assert torch.equal(*runs)

    def test_chance_in_the_model_follows_the_global_seed(self):
        # As the docstring says: the generator does not reach it.
        runs = []
        with torch.random.fork_rng(devices=[]):
            for seed in (0, 0, 1):
                torch.manual_seed(seed)
                model = torch.nn.Sequential(network(), torch.nn.Dropout(0.5))
                runs.append(train(model, by_denoising, 5, data=DATA, generator=seeded(2)))
        assert torch.equal(runs[0], runs[1])
        assert not torch.equal(runs[0], runs[2])


OBJECTIVES = {
    "explicit": partial(explicit, target_score=lambda x: -x),
    "denoising": by_denoising,
    "implicit": implicit,
    "sliced": sliced,
    "the user's": lambda model, x, generator: (model(x) + x).square().mean(),
}


class TestNothingBehindTheUsersBack:
    @pytest.mark.parametrize("loss", OBJECTIVES.values(), ids=OBJECTIVES)
    def test_data_are_constants(self, loss):
        leaf, scale = DATA.clone().requires_grad_(), torch.ones(2, requires_grad=True)

        class Sampled:
            drawn = torch.cat([DATA] * 20) * scale

            def sample(self, n, generator=None):
                return self.drawn[:n]

        for data in (leaf, leaf * scale, Sampled()):
            train(network(), loss, 3, data=data, generator=seeded(3))
        assert leaf.grad is scale.grad is None

    def test_gradients_go_to_the_model_alone_and_are_gone_afterwards(self):
        model, teacher = network(), network(2)
        model(DATA).sum().backward()  # a gradient of the user's own
        mine = [parameter.grad for parameter in model.parameters()]
        copies = [gradient.clone() for gradient in mine]
        train(model, partial(explicit, target_score=teacher), 3, data=DATA, generator=seeded(3))
        assert all(parameter.grad is None for parameter in teacher.parameters())
        for parameter, gradient, kept in zip(model.parameters(), mine, copies, strict=True):
            assert parameter.grad is gradient
            assert torch.equal(gradient, kept)

    def test_threads_are_the_users_in_what_is_the_users(self):
        theirs, ours = [], []

        class Own(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.theta = torch.nn.Parameter(torch.ones(2))

            def forward(self, x):
                theirs.append(torch.get_num_threads())
                out = self.theta * x
                out.register_hook(lambda gradient: theirs.append(torch.get_num_threads()))
                return out

        def teacher(x):
            theirs.append(torch.get_num_threads())
            return -x

        def stepped(adam, args, kwargs):
            ours.append(torch.get_num_threads())

        before = torch.get_num_threads()
        handle = register_optimizer_step_pre_hook(stepped)
        try:
            torch.set_num_threads(2)
            small, large = network(), ScoreNetwork(2, width=600, generator=seeded(1))
            small.layers[1].register_full_backward_hook(lambda *args: ours.append(torch.get_num_threads()))
            small.layers[1].register_forward_hook(lambda *args: ours.append(torch.get_num_threads()))
            large.layers[1].register_forward_hook(lambda *args: theirs.append(torch.get_num_threads()))
            for model in (Own(), small):
                callback = lambda step, value: theirs.append(torch.get_num_threads())  # noqa: E731
                train(model, partial(explicit, target_score=teacher), 3, data=DATA, callback=callback)
            large(torch.zeros(512, 2))
            for stop in (interrupted, not_a_number, without_finite_gradient):
                with (
                    pytest.warns(UserWarning, match="at|after")
                    if stop is interrupted
                    else pytest.raises(ArithmeticError)
                ):
                    train(network(), At(2, stop), 3, data=DATA)
                assert torch.get_num_threads() == 2
        finally:
            handle.remove()
            torch.set_num_threads(before)
        assert set(theirs) == {2}
        assert len(theirs) == 3 * 2 + 2 * 3 + 2 * 3 + 1
        assert set(ours) == {1}
        assert (
            len(ours) == 2 * 3 + 2 * 3 + 3
        )  # both models' steps, the small one's passes, and one step before each stop


class TestPrecision:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_is_refused_and_autocast_learns_as_single_does(self, dtype):
        with pytest.raises(TypeError, match=f"^model must have its parameters in float32 or float64 .* got {dtype}"):
            train(network().to(dtype), by_denoising, 1, data=DATA.to(dtype))
        data, losses = torch.randn(1000, 2, generator=seeded(4)), []
        for enabled in (False, True):
            model = ScoreNetwork(2, width=32, generator=seeded(5))
            with torch.autocast("cpu", dtype=dtype, enabled=enabled):
                losses.append(train(model, partial(denoising, sigma=0.5), 200, data=data, generator=seeded(6)))
        # With the weights of the first step, which autocast keeps, they would not fall.
        assert losses[0][-20:].mean() < 0.95 * losses[0][:5].mean()
        torch.testing.assert_close(losses[1], losses[0], rtol=8 * torch.finfo(dtype).eps, atol=0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_everything_is_in_the_default_dtype_unless_said(self, dtype):
        before = torch.get_default_dtype()
        try:
            torch.set_default_dtype(dtype)
            data, model = two_moons().sample(100, seeded(1)), ScoreNetwork(2, generator=seeded(2))
            losses = train(model, partial(denoising, sigma=0.1), 3, data=data, generator=seeded(3))
            assert data.dtype == model(data).dtype == losses.dtype == dtype
        finally:
            torch.set_default_dtype(before)

    def test_a_model_made_in_inference_mode_is_refused(self):
        with torch.inference_mode():
            model = network()
        with pytest.raises(ValueError, match=r"^model must be made outside torch\.inference_mode"):
            train(model, by_denoising, 1, data=DATA)


def test_the_first_training_of_a_process_does_not_wait_for_a_compiler():
    code = (
        "import sys, torch\n"
        "from notes.networks import ScoreNetwork\n"
        "from notes.score_matching import implicit\n"
        "from notes.training import train\n"
        "train(ScoreNetwork(2, width=4), implicit, 2, data=torch.zeros(4, 2))\n"
        "print(sorted({'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


class TestLearning:
    def test_a_network_learns_the_smoothed_score_of_a_ring(self):
        p, sigma = rings([2.0], 8, 0.1), 0.2
        truth = p.smoothed(sigma)
        model = ScoreNetwork(2, width=128, depth=3, generator=seeded(3))

        def loss(model, x, *, generator):
            return denoising(model, x, sigma, generator=generator)

        losses = train(model, loss, 2000, data=p, generator=seeded(4))
        with torch.no_grad():
            error = fisher_divergence(model, truth.score, truth.sample(20_000, seeded(5)), relative=True)
        assert error < 0.01
        assert losses[-100:].mean() < losses[:100].mean()

    objectives = {  # noqa: RUF012 - a table
        "explicit": lambda p: partial(explicit, target_score=p.score),
        "denoising": lambda p: partial(denoising, sigma=0.2),
        "denoising, a level a row": lambda p: (
            lambda model, x, generator: denoising(model, x, torch.full((len(x),), 0.2), generator=generator)
        ),
        "implicit": lambda p: implicit,
        "sliced": lambda p: sliced,
        "sliced twice": lambda p: partial(sliced, n_projections=2),
    }

    @pytest.mark.parametrize("name", objectives)
    def test_every_objective_leads_to_the_score(self, name):
        p = GaussianMixture([[-1.0, 0.0], [1.0, 0.5]], 0.8)
        truth = p.smoothed(0.2) if name.startswith("denoising") else p
        model = ScoreNetwork(2, width=32, depth=2, generator=seeded(6))
        x, loss = truth.sample(5000, seeded(7)), self.objectives[name](p)

        def judged():
            with torch.no_grad():
                error = fisher_divergence(model, truth.score, x, relative=True).item()
            return error, loss(model, p.sample(5000, seeded(8)), generator=seeded(9)).item()

        error, value = judged()
        train(model, loss, 200, data=p, batch_size=256, lr=1e-2, generator=seeded(10))
        assert judged()[0] < 0.1 < error
        assert judged()[1] < value

    def test_a_minimum_is_found_to_the_end(self):
        # The least of (θ − 3)²: with the rate falling to zero the last step hardly moves.
        model = Line(0.0)
        losses = train(model, lambda model, x, generator: (model.theta - 3).square(), 300, data=DATA, lr=0.1)
        assert model.theta.item() == pytest.approx(3, abs=1e-3)
        assert losses[-1] < 1e-6


class TestBatches:
    def test_rows_of_a_tensor_are_drawn_with_replacement_and_equally_often(self):
        data, batches = torch.arange(20.0)[:, None], []

        def loss(model, x, *, generator):
            batches.append(x)
            return model.theta.square()

        train(Line(), loss, 250, data=data, batch_size=64, generator=seeded(9))
        assert all(x.shape == (64, 1) for x in batches)
        counts = torch.cat(batches).flatten().long().bincount(minlength=20)
        assert len(counts) == 20
        assert scipy.stats.chisquare(counts.numpy()).pvalue > FIVE_SIGMA
        # With replacement a batch of 64 rows of 20 is drawn as any other: neighbours are equal in 1 of 20.
        equal = torch.stack([x[1:, 0] == x[:-1, 0] for x in batches]).double()
        assert abs(equal.mean().item() - 0.05) <= 5 * math.sqrt(0.05 * 0.95 / equal.numel())
        assert not torch.equal(batches[0], batches[1])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_every_row_of_a_batch_is_a_row_of_the_data(self, dtype):
        data, batches = DATA.to(dtype), []

        def loss(model, x, *, generator):
            batches.append(x)
            return model.theta.square()

        train(Line(), loss, 3, data=data, generator=seeded(10))
        for x in batches:
            assert x.shape == (512, 2)
            assert x.dtype == dtype
            assert (x[:, None] == data).all(2).any(1).all()

    def test_data_with_sample_are_asked_for_each_batch_with_the_generator(self):
        source, generator, batches = Source(), seeded(11), []

        def loss(model, x, *, generator):
            batches.append(x)
            return model.theta.square()

        train(Line(), loss, 4, data=source, batch_size=7, generator=generator)
        assert source.asked == [(7, generator)] * 4
        expected = seeded(11)
        assert all(torch.equal(x, torch.randn(7, 3, generator=expected)) for x in batches)

    @pytest.mark.parametrize("generator", [None, seeded(12)])
    def test_the_loss_has_model_and_batch_and_by_name_the_generator(self, generator):
        calls = []

        def loss(*args, **kwargs):
            calls.append((args, kwargs))
            return args[0].theta.square()

        model = Line()
        train(model, loss, 3, data=DATA, batch_size=5, generator=generator)
        assert len(calls) == 3
        for args, kwargs in calls:
            assert len(args) == 2
            assert args[0] is model
            assert args[1].shape == (5, 2)
            assert list(kwargs) == ["generator"]
            assert kwargs["generator"] is generator

    def test_the_data_stay_as_they_were(self):
        data = DATA.clone()
        train(network(), by_denoising, 3, data=data, generator=seeded(13))
        assert torch.equal(data, DATA)


class TestSteps:
    @pytest.mark.parametrize("lr", [1e-3, 0.2, None])
    @pytest.mark.parametrize("n_steps", [1, 2, 10])
    def test_the_rate_falls_along_a_cosine(self, n_steps, lr):
        # Under a constant gradient each of Adam's steps is the rate, up to its ε = 1e-8.
        model, seen = Line(), []

        def loss(model, x, *, generator):
            seen.append(model.theta.item())
            return 3 * model.theta

        train(model, loss, n_steps, data=DATA, **({} if lr is None else {"lr": lr}))
        steps = -np.diff([*seen, model.theta.item()])
        expected = [(lr or 5e-3) / 2 * (1 + math.cos(math.pi * k / n_steps)) for k in range(n_steps)]
        np.testing.assert_allclose(steps, expected, rtol=1e-7, atol=1e-14)

    def test_the_steps_are_pytorchs_adam_with_its_cosine_schedule(self):
        ours, theirs = network().double(), network().double()
        x = DATA.double()

        def loss(model, batch, *, generator):
            return (model(x) + x).square().sum(1).mean()  # of all the data: no batch

        losses = train(ours, loss, 30, data=DATA, lr=0.02)
        adam = torch.optim.Adam(theirs.parameters(), lr=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=30)
        expected = []
        for _ in range(30):
            adam.zero_grad()
            value = loss(theirs, None, generator=None)
            value.backward()
            expected.append(value.item())
            adam.step()
            schedule.step()
        torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)
        torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-9, atol=1e-12)

    def test_losses_are_those_before_each_step_and_the_callback_has_them_after_it(self):
        model, seen, calls = Line(), [], []

        def loss(model, x, *, generator):
            seen.append(model.theta.item())
            return model.theta.square()

        def callback(*args):
            calls.append((*args, model.theta.item()))

        losses = train(model, loss, 6, data=DATA, lr=0.1, callback=callback)
        assert losses.shape == (6,)
        assert not losses.requires_grad
        assert losses.dtype == torch.float64  # the model's
        assert losses.tolist() == [theta**2 for theta in seen]
        assert [step for step, _, _ in calls] == [1, 2, 3, 4, 5, 6]
        assert all(type(step) is int and type(value) is float for step, value, _ in calls)
        assert [value for _, value, _ in calls] == [theta**2 for theta in seen]
        # After step k the weights are those with which the loss of step k + 1 is computed.
        assert [theta for _, _, theta in calls] == [*seen[1:], model.theta.item()]
        assert len(set(seen)) == 6

    def test_what_the_callback_returns_does_not_matter(self):
        losses = train(Line(), At(), 3, data=DATA, callback=lambda step, value: True)
        assert len(losses) == 3

    def test_frozen_parameters_and_the_mode_of_the_model_stay(self):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)).eval()
        model[0].requires_grad_(False)
        before, other = weights(model[0]), weights(model[1])
        train(model, lambda model, x, generator: model(x).square().mean(), 5, data=DATA, generator=seeded(14))
        assert torch.equal(weights(model[0]), before)
        assert not torch.isclose(weights(model[1]), other).any()
        assert not model.training
        assert model[0].weight.grad is None
        assert not model[0].weight.requires_grad

    def test_a_parameter_that_the_loss_leaves_out_stays(self):
        model = Line()
        model.other = torch.nn.Parameter(torch.ones(2))
        train(model, lambda model, x, generator: model.theta.square(), 3, data=DATA)
        assert model.other.tolist() == [1, 1]
        assert model.theta.item() < 1


class TestInterruption:
    def test_in_the_loss_keeps_the_weights_and_the_losses_so_far(self):
        model, loss, after = Line(), At(4, interrupted), []
        with pytest.warns(UserWarning, match="interrupted after 3 of 10 steps"):
            losses = train(model, loss, 10, data=DATA, callback=lambda step, value: after.append(weights(model)))
        assert losses.shape == (3,)
        assert losses.tolist() == pytest.approx([seen.item() ** 2 for seen in loss.seen[:3]], rel=1e-7)
        assert weights(model) == after[-1]
        assert after[-1] != loss.seen[2]

    def test_in_the_callback_keeps_the_step_just_done(self):
        model, loss, after = Line(), At(), []

        def callback(step, value):
            after.append(weights(model))
            if step == 2:
                raise KeyboardInterrupt

        with pytest.warns(UserWarning, match="interrupted after 2 of 10 steps"):
            losses = train(model, loss, 10, data=DATA, callback=callback)
        assert losses.shape == (2,)
        assert weights(model) == after[-1]
        assert len(loss.seen) == 2

    def test_points_at_the_line_that_called(self):
        with pytest.warns(UserWarning, match="interrupted") as caught:
            train(Line(), At(2, interrupted), 5, data=DATA)
        assert caught[0].filename == __file__

    def test_before_the_first_step_changes_nothing(self):
        model = Line()
        with pytest.warns(UserWarning, match="interrupted after 0 of 10 steps"):
            losses = train(model, At(1, interrupted), 10, data=DATA)
        assert losses.shape == (0,)
        assert model.theta.item() == 1

    def test_other_exceptions_pass(self):
        def callback(step, value):
            raise ZeroDivisionError("mine")

        with pytest.raises(ZeroDivisionError, match="mine"):
            train(Line(), At(), 3, data=DATA, callback=callback)


class TestDivergence:
    @pytest.mark.parametrize("bad", [NAN, INF, -INF])
    @pytest.mark.parametrize("step", [2, 5, 8])
    def test_a_loss_that_is_not_finite_is_reported_with_step_and_rate(self, step, bad):
        model, loss, calls = Line(), At(step, lambda value: value + bad), []
        message = (
            rf"loss became {bad} at step {step} of 8 with lr=0\.25; .* weights of the last update.* A smaller lr helps"
        )
        with pytest.raises(FloatingPointError, match=message):
            train(model, loss, 8, data=DATA, lr=0.25, callback=lambda *args: calls.append(args))
        assert len(calls) == step - 1
        # The weights of the last update are those for which the loss was not finite.
        assert weights(model) == loss.seen[step - 1]
        assert weights(model) != loss.seen[step - 2]

    def test_a_loss_that_is_nan_at_once_leaves_the_first_weights(self):
        model, loss = Line(0.7), At(1, not_a_number)
        with pytest.raises(FloatingPointError, match="step 1 of 5"):
            train(model, loss, 5, data=DATA)
        assert model.theta.item() == 0.7
        assert len(loss.seen) == 1

    @pytest.mark.parametrize("step", [1, 3])
    def test_a_gradient_that_is_not_finite_is_found_before_it_spoils_the_weights(self, step):
        model, loss = network().double(), At(step, without_finite_gradient)
        with pytest.raises(FloatingPointError, match=f"gradient became nan at step {step} of 3 with lr=0.005"):
            train(model, loss, 3, data=DATA)
        assert len(loss.seen) == step
        assert torch.equal(weights(model), loss.seen[step - 1])
        if step > 1:
            assert not torch.equal(weights(model), loss.seen[step - 2])

    def test_buffers_are_put_back_where_forward_makes_them_anew_and_where_they_are_not_saved(self):
        class Counting(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.theta = torch.nn.Parameter(torch.ones(()))
                self.register_buffer("rebound", torch.zeros(()))
                self.register_buffer("unsaved", torch.zeros(()), persistent=False)

        def loss(model, x, *, generator):
            model.rebound = model.rebound + 1
            model.unsaved += 1
            value = model.theta.square()
            return not_a_number(value) if model.rebound == 3 else value

        model = Counting()
        with pytest.raises(FloatingPointError, match="step 3"):
            train(model, loss, 5, data=DATA)
        assert (model.rebound, model.unsaved) == (2, 2)

    def test_one_parameter_of_many_that_is_not_finite_is_found(self):
        model = Line()
        model.other = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))

        def loss(model, x, *, generator):
            poison = torch.zeros(5, dtype=torch.float64)
            poison[3] = NAN
            model.other.register_hook(lambda gradient: gradient + poison)
            return model.theta.square() + model.other.sum()

        with pytest.raises(FloatingPointError, match="gradient became nan at step 1"):
            train(model, loss, 1, data=DATA)
        assert model.other.tolist() == [1] * 5
        assert model.theta.item() == 1

    @pytest.mark.parametrize("spoilt", [not_a_number, without_finite_gradient, interrupted])
    def test_buffers_go_back_to_the_last_update_too(self, spoilt):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        before, after = [], []

        def loss(model, x, *, generator):
            before.append(weights(model))
            value = model(x).sum(1).square().mean()
            after.append(weights(model))
            return value if len(before) < 3 else spoilt(value)

        stops = (
            pytest.warns(UserWarning, match="after 2") if spoilt is interrupted else pytest.raises(FloatingPointError)
        )
        with stops:
            train(model, loss, 5, data=DATA, batch_size=16, generator=seeded(15))
        assert torch.equal(weights(model), before[2])
        assert not torch.equal(before[2], after[2])
        assert model[1].num_batches_tracked == 2

    @pytest.mark.parametrize("n_steps", [2, 100])
    def test_an_absurd_rate_is_no_silent_success(self, n_steps):
        with pytest.raises(FloatingPointError, match=r"at step 2 of .* with lr=1e\+30"):
            train(network(), by_denoising, n_steps, data=DATA, lr=1e30, generator=seeded(16))

    def test_a_rate_beyond_the_dtype_is_refused(self):
        model = network()
        first = weights(model)
        with pytest.raises(ValueError, match="lr must be a number that"):
            train(model, by_denoising, 1, data=DATA, lr=1e39, generator=seeded(16))
        assert torch.equal(weights(model), first)

    def test_data_that_are_drawn_and_not_finite_are_found_at_their_step(self):
        class Broken(Source):
            def sample(self, n, generator=None):
                return super().sample(n, generator)[:, :2] * (NAN if len(self.asked) > 2 else 1)

        with pytest.raises(ValueError, match="x must be finite"):
            train(network(), by_denoising, 5, data=Broken(), generator=seeded(17))


def plain(model, x, *, generator):
    return model(x).square().mean()


@pytest.mark.parametrize(
    ("arguments", "name", "error"),
    [
        ({"model": lambda x: -x}, "model", TypeError),
        ({"model": ScoreNetwork}, "model", TypeError),
        ({"model": torch.nn.Identity()}, "model", ValueError),
        ({"model": network().requires_grad_(False)}, "model", ValueError),
        ({"loss": None}, "loss", TypeError),
        ({"loss": lambda model, x, generator: model(x).square().mean()[None]}, "loss", TypeError),
        ({"loss": lambda model, x, generator: model(x).square().mean().item()}, "loss", TypeError),
        ({"loss": lambda model, x, generator: model(x).square().mean().detach()}, "loss", ValueError),
        ({"loss": lambda model, x, generator: x.sum()}, "loss", ValueError),
        ({"loss": lambda model, x, generator: x.sum() * torch.ones((), requires_grad=True)}, "loss", ValueError),
        ({"n_steps": 0}, "n_steps", ValueError),
        ({"batch_size": 0}, "batch_size", ValueError),
        ({"lr": 0.0}, "lr", ValueError),
        ({"data": torch.zeros(3)}, "data", ValueError),
        ({"data": torch.zeros(0, 2)}, "data", ValueError),
        ({"data": torch.tensor([[0.0, NAN]])}, "data", ValueError),
        ({"data": None}, "data", TypeError),
        ({"callback": 1}, "callback", TypeError),
        ({"generator": 0}, "generator", TypeError),
        ({"generator": 0, "data": rings()}, "generator", TypeError),
        ({"generator": 0, "data": Source()}, "generator", TypeError),
    ],
)
def test_bad_input_is_refused_by_name_and_leaves_the_model_alone(arguments, name, error):
    model = network()
    before = weights(model)
    arguments = {"model": model, "loss": plain, "n_steps": 3, "data": DATA, **arguments}
    with pytest.raises(error, match=rf"^{name} must"):
        train(arguments.pop("model"), arguments.pop("loss"), arguments.pop("n_steps"), **arguments)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (lambda x: -x, plain, "^model must be a torch.nn.Module, got function$"),
        (network(), lambda model, x, generator: 0.5, "^loss must return a 0-dim tensor, got float$"),
        (network(), lambda model, x, generator: model(x)[0], r"^loss must return a 0-dim tensor, got shape \(2,\)$"),
    ],
)
def test_what_is_of_another_kind_is_named(model, loss, message):
    with pytest.raises(TypeError, match=message):
        train(model, loss, 3, data=DATA)


def test_batches_are_drawn_on_the_device_of_the_data():
    model, plainly = network(), network()
    for trained in (model, plainly):
        with torch.device("meta" if trained is model else "cpu"):  # the default of what is made without saying where
            train(trained, plain, 3, data=DATA, generator=seeded(0))
    assert torch.equal(weights(model), weights(plainly))


def test_a_bad_call_is_refused_before_anything_is_drawn():
    source = Source()
    with pytest.raises(TypeError, match="callback"):
        train(Line(), At(), 3, data=source, callback=1)
    with pytest.raises(TypeError):
        train(Line(), At(), 3, source)
    assert source.asked == []


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class TestProgress:
    @pytest.fixture(autouse=True)
    def _switched_on(self, monkeypatch):
        monkeypatch.delenv("TQDM_DISABLE", raising=False)

    def test_nothing_is_printed_away_from_a_terminal(self, capfd):
        train(network(), by_denoising, 5, data=DATA, generator=seeded(18))
        out = capfd.readouterr()
        assert out.out == out.err == ""

    def test_a_bar_is_shown_in_a_terminal_and_taken_away(self, monkeypatch, capfd):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        train(network(), by_denoising, 5, data=DATA, generator=seeded(18))
        shown = terminal.getvalue()
        assert "training" in shown
        assert "/5" in shown
        assert "step" in shown
        # The last line is blanks, and the cursor is back where it was.
        assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""
        assert "\n" not in shown
        assert capfd.readouterr().out == ""

    @pytest.mark.parametrize(("stop", "error"), [(interrupted, UserWarning), (not_a_number, FloatingPointError)])
    def test_the_bar_is_taken_away_when_training_stops_early(self, monkeypatch, stop, error):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with pytest.warns(error) if error is UserWarning else pytest.raises(error):
            train(Line(), At(2, stop), 5, data=DATA)
        shown = terminal.getvalue()
        assert "training" in shown
        assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""

    def test_nothing_is_shown_in_a_terminal_where_tqdm_is_switched_off(self, monkeypatch):
        monkeypatch.setenv("TQDM_DISABLE", "1")
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        train(network(), by_denoising, 5, data=DATA, generator=seeded(18))
        assert terminal.getvalue() == ""

    def test_a_notebook_shows_a_widget_and_in_a_build_nothing(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("TQDM_DISABLE", "1")  # as in a build, before the kernel starts
        cells = [
            "import os, torch\n"
            "from notes.networks import ScoreNetwork\n"
            "from notes.training import train\n"
            "def run():\n"
            "    data = torch.zeros(4, 2)\n"
            "    train(ScoreNetwork(2), lambda model, x, generator: model(x).square().mean(), 3, data=data)",
            "run()",
            "del os.environ['TQDM_DISABLE']\nrun()",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        _, built, live = (cell.outputs for cell in notebook.cells)
        assert built == []
        assert [output.output_type for output in live] == ["display_data"]
        assert "application/vnd.jupyter.widget-view+json" in live[0].data
