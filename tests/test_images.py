"""The digits, and what judges images: scikit-image, SciPy and closed forms."""

import math

import numpy as np
import pytest
import scipy.linalg
import skimage.metrics
import sklearn.datasets
import torch

from notes.images import copied, digits, frechet_distance, nearest_neighbour_test, psnr

DTYPES = [torch.float32, torch.float64]
HALVES = [torch.float16, torch.bfloat16]
NAN = math.nan


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def layouts(x):
    return [x.T.contiguous().T, x.repeat_interleave(2, 0)[::2], torch.cat([x, x], 1)[:, : x.shape[1]]]


class TestDigits:
    def test_are_scikit_learns_in_their_order_from_paper_to_ink(self):
        theirs, x = sklearn.datasets.load_digits(), digits()
        assert (x.x.dtype, x.label.dtype, x.block.dtype) == (torch.float32, torch.int64, torch.int64)
        assert torch.equal(x.x * 8 + 8, torch.from_numpy(theirs.data).float())
        assert torch.equal(x.label, torch.from_numpy(theirs.target))
        assert x.x[0].reshape(8, 8)[0, 3].item() == theirs.images[0][0, 3] / 8 - 1

    def test_a_sitting_begins_where_the_labels_start_over(self):
        # A form begins with 0 to 9 three times over, one without its first 0: the later ones follow on a 9.
        _, label, block = digits()
        runs = [i for i in range(len(label) - 8) if label[i : i + 9].tolist() == list(range(1, 10))]
        starts = [i - (label[i - 1] == 0).long().item() for i in runs]
        starts = [i for i in starts if i == 0 or label[i - 1] != 9]
        assert block[starts].tolist() == list(range(14))
        assert (block.diff() != 0).nonzero()[:, 0].tolist() == [i - 1 for i in starts[1:]]
        assert block[0] == 0
        assert (block.diff() >= 0).all()
        assert max(np.diff([*starts, len(label)])) == 130  # a whole form

    def test_split_puts_each_digit_into_one_of_two_parts(self):
        data = digits()
        for held_out in ([0, 5, 9], [13], torch.tensor([3, 3, 7]), np.array([1, 2]), range(13)):
            rest, kept = data.split(held_out)
            named = {int(i) for i in held_out}
            assert {*kept.block.tolist()} == named
            assert {*rest.block.tolist()} == {*range(14)} - named
            for both, whole in zip(zip(rest, kept, strict=True), data, strict=True):
                order = torch.cat(
                    [(~torch.isin(data.block, kept.block)).nonzero(), torch.isin(data.block, kept.block).nonzero()]
                )
                assert torch.equal(torch.cat(both), whole[order[:, 0]])
        again, other = data.split([0, 1])[0].split([2])  # a part is split like the whole
        assert {*other.block.tolist()} == {2}
        assert {*again.block.tolist()} == {*range(3, 14)}

    def test_are_new_in_each_call(self):
        first, before = digits(), torch.get_rng_state()
        first.x.zero_(), first.label.zero_()
        assert digits().x.abs().max() == 1
        assert digits().label.max() == 9
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("held_out", [[], [14], [0, 14], [-1], [0.5], range(14), 3, [[1, 2]]])
    def test_a_bad_choice_of_sittings_is_refused(self, held_out):
        with pytest.raises(ValueError, match=r"^held_out must be some of the sittings \[0, 1, .*, 13\] and not all"):
            digits().split(held_out)

    def test_a_choice_of_another_kind_is_refused(self):
        with pytest.raises(TypeError, match=r"^held_out must be a tensor or numbers, got str"):
            digits().split("first")


class TestPsnr:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("peak", [2.0, 1.0, 255])
    def test_is_scikit_images(self, dtype, peak):
        clean, x = normal(5, 64).to(dtype), normal(5, 64, seed=1).to(dtype)
        theirs = skimage.metrics.peak_signal_noise_ratio(clean.numpy(), x.numpy(), data_range=peak)
        found = psnr(x, clean, peak)
        assert (found.shape, found.dtype) == ((), dtype)
        assert found.item() == pytest.approx(theirs, rel=1e-5 if dtype == torch.float32 else 1e-13)
        assert psnr(x, clean) == psnr(x, clean, 2.0) == psnr(clean, x)

    def test_is_10_for_each_factor_of_10_in_the_error_and_infinite_without_one(self):
        clean = normal(5, 64)
        for power in range(-3, 3):
            x = clean + 2 * 10 ** (-power / 2)
            assert psnr(x, clean).item() == pytest.approx(10 * power, abs=1e-9)
        assert psnr(clean, clean).item() == math.inf

    def test_takes_all_pixels_together(self):
        a, b = normal(7, 64), normal(7, 64, seed=1)
        assert psnr(a, b).item() == pytest.approx(psnr(a.reshape(1, -1), b.reshape(1, -1)).item(), rel=1e-14)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("power", [-30, -10, 10, 30])
    def test_has_no_unit(self, dtype, power):
        clean, x, unit = normal(5, 64).to(dtype), normal(5, 64, seed=1).to(dtype), 10.0**power
        assert psnr(x * unit, clean * unit, 2 * unit).item() == pytest.approx(psnr(x, clean).item(), rel=1e-5)

    @pytest.mark.parametrize("dtype", HALVES)
    def test_in_half_precision_is_that_in_float32(self, dtype):
        clean, x = (1e-3 * normal(5, 64)).to(dtype), (1e-3 * normal(5, 64, seed=1)).to(dtype)
        assert psnr(x, clean).dtype == torch.float32
        assert psnr(x, clean) == psnr(x.float(), clean.float())

    def test_has_its_derivative(self):
        clean = normal(2, 3)
        assert torch.autograd.gradcheck(lambda x: psnr(x, clean), (normal(2, 3, seed=1).requires_grad_(),))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((torch.zeros(3), torch.zeros(3)), ValueError, "x must have shape"),
            ((torch.zeros(3, 2), [0.0]), TypeError, r"clean must be a torch\.Tensor"),
            ((torch.zeros(3, 2), torch.zeros(1, 2)), ValueError, r"clean must have the shape of x, \(3, 2\), got \(1,"),
            ((torch.zeros(0, 2), torch.zeros(0, 2)), ValueError, "x must have at least one row"),
            ((torch.zeros(3, 2), torch.zeros(3, 2), 0), ValueError, "peak must be positive"),
            ((torch.zeros(3, 2), torch.zeros(3, 2), "2"), TypeError, "peak must be a number"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, arguments, error, message):
        with pytest.raises(error, match=f"^{message}"):
            psnr(*arguments)


def by_sqrtm(a, b):
    """The definition, by SciPy's root of C_a C_b, in NumPy."""
    a, b = a.double().numpy(), b.double().numpy()
    of_a, of_b = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    root = scipy.linalg.sqrtm(of_a @ of_b)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a + of_b - 2 * root).real


class TestFrechet:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(("n", "m", "dim"), [(30, 50, 1), (200, 100, 3), (300, 300, 12)])
    def test_is_its_definition_by_scipy(self, n, m, dim, dtype):
        a = (normal(n, dim) @ normal(dim, dim, seed=1)).to(dtype)
        b = (1 + normal(m, dim, seed=2) @ normal(dim, dim, seed=3)).to(dtype)
        found = frechet_distance(a, b)
        assert (found.shape, found.dtype) == ((), torch.float64)
        assert found.item() == pytest.approx(by_sqrtm(a, b), rel=1e-9)
        assert frechet_distance(b, a).item() == pytest.approx(found.item(), rel=1e-12)

    def test_of_points_whose_moments_are_exact_is_the_closed_form(self):
        # ± s_i √((n−1)/2) on each axis: mean 0, covariance diag(s²). Roots commute: Σ (s_i − t_i)².
        s, t = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.0, 0.5]).double()
        axes = torch.cat([torch.eye(3), -torch.eye(3)]).double() * math.sqrt(5 / 2)
        shift = torch.tensor([3.0, 4.0, 0.0]).double()
        found = frechet_distance(axes * s, axes * t + shift)
        assert found.item() == pytest.approx(25 + 4 + 4, rel=1e-14)

    @pytest.mark.parametrize("n", [5, 40, 200])
    def test_of_a_sample_from_itself_is_zero_also_where_points_are_fewer_than_pixels(self, n):
        a = normal(n, 64) @ normal(64, 64, seed=1)
        size = a.var(0).sum().item()
        assert abs(frechet_distance(a, a.flip(0)).item()) <= 1e-12 * size
        # In the subspace of two samples of 5 nothing but their few numbers counts.
        turned = torch.linalg.qr(normal(64, 64, seed=2))[0]
        b = normal(n, 64, seed=3)
        assert frechet_distance(a @ turned, b @ turned).item() == pytest.approx(
            frechet_distance(a, b).item(), rel=1e-11
        )

    def test_of_fewer_points_than_pixels_is_that_without_the_pixels_that_are_empty(self):
        a, b = normal(5, 3), normal(4, 3, seed=1)
        blank = torch.zeros(5, 20, dtype=torch.float64)
        found = frechet_distance(torch.cat([a, blank], 1), torch.cat([b, blank[:4]], 1)).item()
        assert found == pytest.approx(by_sqrtm(a, b), rel=1e-9)

    @pytest.mark.parametrize("power", [-100, -10, 10, 100])
    def test_is_in_squared_units_and_has_no_origin(self, power):
        a, b, unit = normal(30, 4), 1 + normal(40, 4, seed=1), 10.0**power
        expected = frechet_distance(a, b).item()
        assert frechet_distance(a * unit, b * unit).item() == pytest.approx(expected * unit**2, rel=1e-12)
        assert frechet_distance(a + 1000, b + 1000).item() == pytest.approx(expected, rel=1e-11)

    def test_squares_that_float64_does_not_hold_are_refused(self):
        with pytest.raises(ValueError, match=r"^a and b must have squares that float64 holds, got 1e\+200"):
            frechet_distance(torch.tensor([[1e200], [0.0]], dtype=torch.float64), torch.zeros(2, 1).double())

    def test_of_two_samples_of_one_gaussian_falls_as_one_over_their_number(self):
        # Of second order in deviations of moments, whose squares fall as 1/n: with 4 times as many, a quarter.
        def mean(n):
            return np.mean(
                [frechet_distance(normal(n, 3, seed=s), normal(n, 3, seed=1000 + s)).item() for s in range(60)]
            )

        assert 3 < mean(200) / mean(800) < 5


class TestCopied:
    def test_is_its_definition(self):
        data, x = normal(50, 3), normal(40, 3, seed=1)
        x = torch.cat([x, data[:10] + 0.01 * normal(10, 3, seed=2), data[10:13]])
        for ratio in (1 / 3, 0.5, 0.9):
            away = np.sort(np.linalg.norm(x.numpy()[:, None] - data.numpy(), axis=2), axis=1)
            assert copied(x, data, ratio).tolist() == (away[:, 0] < ratio * away[:, 1]).tolist()
        assert torch.equal(copied(x, data), copied(x, data, 1 / 3))
        assert copied(x, data)[40:].all()
        assert not copied(x, data)[:40].all()

    def test_a_datum_that_is_there_twice_counts_once(self):
        data = torch.tensor([[0.0], [0.0], [0.0], [3.0]])
        assert copied(torch.tensor([[0.0], [0.1], [1.0], [3.0]]), data).tolist() == [True, True, False, True]

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("power", [-18, 18])
    def test_has_no_unit_and_no_origin(self, dtype, power):
        data, x = (64 * normal(50, 3)).round().to(dtype) / 64, (64 * normal(400, 3, seed=1)).round().to(dtype) / 64
        expected, unit = copied(x, data), 2.0 ** (3 * power)
        assert 5 < expected.sum() < 200
        assert torch.equal(copied(x * unit, data * unit), expected)
        assert torch.equal(copied(x + 1024, data + 1024), expected)

    def test_no_points_have_no_copies_among_them_refused(self):
        with pytest.raises(ValueError, match=r"^x must have at least 1 row, got shape \(0, 2\)"):
            copied(torch.zeros(0, 2), torch.zeros(3, 2))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((torch.zeros(3), torch.zeros(3, 2)), ValueError, "x must have shape"),
            ((torch.zeros(3, 2), [[0.0]]), TypeError, r"data must be a torch\.Tensor"),
            ((torch.zeros(3, 2), torch.zeros(3, 2) / 0), ValueError, "data must be finite"),
            (
                (torch.zeros(3, 2), torch.zeros(3, 1)),
                ValueError,
                r"data must have 2 columns, as x has, got shape \(3, 1",
            ),
            ((torch.zeros(3, 2), torch.ones(3, 2)), ValueError, "data must have at least two different rows, got 1"),
            ((torch.zeros(3, 2), torch.eye(2), 1.0), ValueError, "ratio must lie between 0 and 1, got 1"),
            ((torch.zeros(3, 2), torch.eye(2), 0), ValueError, "ratio must lie between 0 and 1, got 0"),
            ((torch.zeros(3, 2), torch.eye(2), "1/3"), TypeError, "ratio must be a number"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, arguments, error, message):
        with pytest.raises(error, match=f"^{message}"):
            copied(*arguments)


class TestNearestNeighbours:
    @pytest.mark.parametrize("dim", [1, 3, 20])  # by a tree and by force
    def test_is_its_definition(self, dim):
        a, b = normal(60, dim), 0.5 + normal(60, dim, seed=1)
        both, own = torch.cat([a, b]), torch.arange(120) < 60
        away = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
        expected = (own[away.argmin(1)] == own).double().mean().item()
        found = nearest_neighbour_test(a, b)
        assert type(found) is float
        assert found == pytest.approx(expected, abs=1e-12)
        assert nearest_neighbour_test(b, a) == found

    @pytest.mark.parametrize("dim", [1, 8])
    def test_of_two_samples_of_one_law_is_a_half(self, dim):
        # Each sign has the variance ¼, and its neighbours' are not independent of it: at most some 2 + 3ᵈ of them, so
        # the spread is measured on splits of one set of points.
        n, both = 400, normal(800, dim)
        splits = [both[torch.randperm(800, generator=seeded(s))] for s in range(40)]
        shares = np.array([nearest_neighbour_test(x[:n], x[n:]) for x in splits])
        assert abs(shares.mean() - 0.5 * (2 * n - 2) / (2 * n - 1)) <= 5 * shares.std(ddof=1) / math.sqrt(40)
        found = nearest_neighbour_test(normal(n, dim, seed=50), normal(n, dim, seed=51))
        assert abs(found - 0.5) <= 5 * shares.std(ddof=1)

    def test_of_far_samples_is_one_and_of_copies_zero(self):
        a = normal(50, 3)
        assert nearest_neighbour_test(a, a + 100) == 1
        assert nearest_neighbour_test(a, a + 1e-6) == 0

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("dim", [2, 20])
    def test_has_no_unit_and_no_origin_and_sees_no_layout(self, dtype, dim):
        a, b = ((64 * normal(60, dim, seed=s)).round().to(dtype) / 64 for s in (2, 3))
        expected = nearest_neighbour_test(a, b)
        for unit in (2.0**-60, 2.0**60, *([2.0**-600, 2.0**600] if dtype == torch.float64 else [])):
            assert nearest_neighbour_test(a * unit, b * unit) == expected
        assert nearest_neighbour_test(a + 1024, b + 1024) == expected
        shift = 2.0**30 if dtype == torch.float64 else 0
        assert nearest_neighbour_test(a + shift, b + shift) == expected
        for mine, theirs in zip(layouts(a), layouts(b), strict=True):
            assert nearest_neighbour_test(mine, theirs) == expected

    def test_points_that_are_all_equal_are_no_error(self):
        assert 0 <= nearest_neighbour_test(torch.ones(5, 2), torch.ones(5, 2)) <= 1


@pytest.mark.parametrize("measure", [frechet_distance, nearest_neighbour_test])
class TestTwoSamples:
    @pytest.mark.parametrize(
        ("a", "b", "error", "message"),
        [
            ([[0.0]], torch.zeros(3, 1), TypeError, r"a must be a torch\.Tensor"),
            (torch.zeros(3), torch.zeros(3, 1), ValueError, "a must have shape"),
            (torch.zeros(3, 1), torch.zeros(3, 1) / 0, ValueError, "b must be finite"),
            (torch.zeros(1, 1), torch.zeros(3, 1), ValueError, r"a must have at least 2 rows, got shape \(1, 1\)"),
            (torch.zeros(3, 1), torch.zeros(1, 1), ValueError, "b must have at least 2 rows"),
            (torch.zeros(3, 1), torch.zeros(3, 2), ValueError, "b must have 1 columns, as a has, got shape"),
        ],
    )
    def test_bad_samples_are_refused_by_name(self, measure, a, b, error, message):
        with pytest.raises(error, match=f"^{message}"):
            measure(a, b)

    def test_nothing_is_changed(self, measure):
        a, b = normal(20, 3).requires_grad_(), normal(20, 3, seed=1)
        before = torch.get_rng_state()
        first = measure(a, b)
        assert measure(a, b) == first
        assert torch.equal(a, normal(20, 3))
        assert torch.equal(b, normal(20, 3, seed=1))
        assert torch.equal(torch.get_rng_state(), before)


def test_a_nearest_neighbour_test_of_unequal_numbers_is_refused():
    with pytest.raises(ValueError, match=r"^b must have as many rows as a, 3, got 4"):
        nearest_neighbour_test(torch.zeros(3, 1), torch.zeros(4, 1))
