"""What a picture says, read off the artists that Matplotlib holds: places, lengths, heights, levels and colours."""

import inspect
import itertools
import threading
import time

import matplotlib
import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib import colors
from matplotlib.path import Path

from notes import plots
from notes.explore import png
from notes.mixtures import GaussianMixture
from notes.networks import ScoreNetwork

# Wider than high and with no middle at 0: rows for columns, or left for right, would show.
EXTENT = (-2.0, 4.0, -1.0, 2.0)
# A narrow peak on the left above, and a broad one on the right below.
PEAKS = GaussianMixture([[-0.5, 1.0], [2.2, 0.3]], [0.35, 0.6], [0.3, 0.7])
FRACTIONS = [0.03, 0.1, 0.25, 0.45, 0.65, 0.85, 1.001]  # of the highest density, as the levels of contours


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whirl(x):
    """A field with no symmetry, whose magnitude differs from place to place."""
    return torch.stack([0.5 + 0.8 * x[:, 1] - 0.1 * x[:, 0], 1.0 + 0.3 * x[:, 0] + x[:, 1]], 1)


@plots.styled
def in_plane(draw, *args, extent=EXTENT, **kwargs):
    """The axes of a plane with one thing drawn on it, laid out."""
    figure, ax = plots.canvas()
    plots.plane(ax, extent)
    draw(ax, *args, **kwargs)
    figure.draw_without_rendering()
    return ax


@plots.styled
def on_axes(draw, *args, **kwargs):
    figure, ax = plots.canvas()
    draw(ax, *args, **kwargs)
    figure.draw_without_rendering()
    return ax


def is_inside(path, point):
    """By the even–odd rule, so that a hole in a band is outside of it."""
    return sum(Path(polygon).contains_point(point) for polygon in path.to_polygons()) % 2 == 1


def bands_at(filled, point):
    """Which bands of a filled contour plot cover a point."""
    return [band for band, path in enumerate(filled.get_paths()) if is_inside(path, point)]


def luminance(rgba):
    return np.asarray(rgba)[..., :3] @ [0.2126, 0.7152, 0.0722]


def color_of(artist):
    return colors.to_rgba(artist.get_color())


class TestStyled:
    def test_draws_in_the_style_of_the_book(self):
        @plots.styled
        def settings():
            return dict(matplotlib.rcParams)

        inside = settings()
        assert inside["figure.dpi"] == 180
        assert inside["font.size"] == 11.5
        assert inside["figure.constrained_layout.use"] is True
        assert inside["axes.spines.top"] is inside["axes.spines.right"] is False

    @pytest.mark.parametrize("raises", [False, True])
    def test_leaves_every_global_setting_alone(self, raises):
        @plots.styled
        def draw():
            matplotlib.rcParams["lines.linewidth"] = 77.0
            if raises:
                raise ArithmeticError("in the figure")

        with matplotlib.rc_context({"font.size": 23.0, "lines.linewidth": 5.0}):
            before = dict(matplotlib.rcParams)
            for _ in range(2):
                if raises:
                    with pytest.raises(ArithmeticError, match="in the figure"):
                        draw()
                else:
                    draw()
                assert dict(matplotlib.rcParams) == before

    def test_what_one_figure_sets_does_not_reach_the_next(self):
        found = []

        @plots.styled
        def draw():
            found.append(matplotlib.rcParams["font.size"])
            matplotlib.rcParams["font.size"] = 30.0

        draw(), draw()
        assert found == [11.5, 11.5]

    def test_threads_that_draw_leave_every_global_setting_alone_and_none_draws_in_anothers(self):
        before, began, found = dict(matplotlib.rcParams), threading.Event(), []

        @plots.styled
        def first():
            matplotlib.rcParams["font.size"] = 30.0
            other.start()
            began.wait(0.2)  # in vain where one thread draws at a time

        @plots.styled
        def second():
            began.set()
            found.append(matplotlib.rcParams["font.size"])
            time.sleep(0.2)

        other = threading.Thread(target=second)
        first()
        other.join()
        assert dict(matplotlib.rcParams) == before
        assert found == [11.5]

    def test_a_figure_may_draw_another(self):
        inner = plots.styled(lambda: matplotlib.rcParams["font.size"])

        @plots.styled
        def outer():
            matplotlib.rcParams["font.size"] = 30.0
            return inner(), matplotlib.rcParams["font.size"]

        assert outer() == (11.5, 30.0)

    def test_is_the_same_function_to_its_caller(self):
        def bias(step_size=0.5, *, seed=3):
            """Says what is drawn."""
            return step_size, seed

        drawn = plots.styled(bias)
        # explore reads the defaults of a figure off its signature, and its name for messages.
        assert inspect.signature(drawn) == inspect.signature(bias)
        assert (drawn.__name__, drawn.__doc__) == ("bias", "Says what is drawn.")
        assert drawn() == (0.5, 3)
        assert drawn(0.1, seed=4) == (0.1, 4)

    def test_the_same_values_give_the_same_pixels_whatever_the_reader_has_set(self):
        x = PEAKS.sample(40, seeded(0))

        @plots.styled
        def picture():
            figure, (ax, line) = plots.canvas(2, 1, height=5)
            plots.plane(ax, EXTENT)
            plots.contours(ax, PEAKS, EXTENT, 40)
            plots.arrows(ax, PEAKS.score, EXTENT, 9)
            plots.trails(ax, torch.stack([x, x + 0.1]), plots.colours_by_start(x))
            plots.particles(ax, x, plots.colours_by_start(x))
            plots.histogram(line, x[:, 0], np.linspace(-3, 4, 21))
            plots.arrow(line, (0, 0.1), (1, 0.2), plots.CONTRAST)
            plots.label(line, 0, 0.3, "a label")
            line.set(xlabel="$x_1$", title="title")
            return figure

        first = png(picture())
        assert png(picture()) == first
        with matplotlib.style.context("dark_background"):
            assert png(picture()) == first


class TestCanvas:
    def test_is_six_inches_wide_and_as_high_as_asked(self):
        for figure, height in [(plots.canvas()[0], 3.6), (plots.canvas(2, 1, height=5.5)[0], 5.5)]:
            assert figure.get_size_inches().tolist() == [6, height]

    @plots.styled
    def test_is_laid_out_so_that_nothing_overlaps(self):
        figure, _ = plots.canvas()
        assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
        assert figure.dpi == 180

    def test_rows_are_above_each_other_and_columns_side_by_side(self):
        _, (top, bottom) = plots.canvas(2, 1)
        assert top.get_position().y0 > bottom.get_position().y1
        _, (left, right) = plots.canvas(1, 2)
        assert left.get_position().x1 < right.get_position().x0
        _, ax = plots.canvas()
        assert isinstance(ax, matplotlib.axes.Axes)
        assert plots.canvas(2, 3)[1].shape == (2, 3)

    def test_hands_the_rest_to_the_axes(self):
        _, (top, bottom) = plots.canvas(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0})
        top.set_xlim(-7, 9)
        assert bottom.get_xlim() == (-7, 9)
        assert top.get_position().height == pytest.approx(3 * bottom.get_position().height)

    def test_is_not_known_to_pyplot(self):
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        figure, _ = plots.canvas()
        assert plt.get_fignums() == before
        assert figure.canvas.manager is None


class TestPlane:
    @pytest.mark.parametrize("extent", [EXTENT, (0.0, 1.0, -8.0, 4.0)])
    def test_shows_the_extent_with_one_unit_as_long_across_as_up(self, extent):
        ax = in_plane(lambda ax: None, extent=extent)
        assert (*ax.get_xlim(), *ax.get_ylim()) == extent
        across, up = ax.transData.transform([(1, 0), (0, 1)]) - ax.transData.transform((0, 0))
        assert across.tolist() == pytest.approx([up[1], 0], abs=1e-9)
        assert across[0] > 0
        box = ax.get_window_extent()
        assert box.width / box.height == pytest.approx((extent[1] - extent[0]) / (extent[3] - extent[2]))

    def test_has_no_furniture(self):
        ax = in_plane(lambda ax: None)
        assert ax.get_xticks().size == ax.get_yticks().size == 0
        assert len(ax.spines) == 4
        assert not any(spine.get_visible() for spine in ax.spines.values())


class TestLattice:
    def test_by_hand(self):
        x, shape = plots.lattice((0.0, 3.0, 10.0, 12.0), 3)
        assert shape == (2, 3)
        expected = [[0, 10], [1.5, 10], [3, 10], [0, 12], [1.5, 12], [3, 12]]
        torch.testing.assert_close(x, torch.tensor(expected, dtype=x.dtype))

    @pytest.mark.parametrize("n", [2, 7, 40])
    @pytest.mark.parametrize("extent", [EXTENT, (0.0, 1.0, -4.0, 0.0), (-1.0, 1.0, -1.0, 1.0), (5.0, 9.0, 0.0, 0.1)])
    def test_spans_the_extent_evenly(self, extent, n):
        left, right, bottom, top = extent
        x, (ny, nx) = plots.lattice(extent, n)
        assert nx == n
        assert ny == max(2, round(n * (top - bottom) / (right - left)))
        assert x.shape == (ny * n, 2)
        across, up = x[:, 0].reshape(ny, n).numpy(), x[:, 1].reshape(ny, n).numpy()
        np.testing.assert_allclose(across, np.tile(np.linspace(left, right, n), (ny, 1)), atol=1e-5)
        np.testing.assert_allclose(up, np.tile(np.linspace(bottom, top, ny)[:, None], (1, n)), atol=1e-5)
        assert x[0].tolist() == pytest.approx([left, bottom])
        assert x[-1].tolist() == pytest.approx([right, top])


class TestContours:
    N = 140

    @pytest.fixture
    def drawn(self):
        """The filled bands and the lines."""
        filled, lines = in_plane(plots.contours, PEAKS, EXTENT, self.N).collections
        assert (filled.filled, lines.filled) == (True, False)
        return filled, lines

    def bound(self):
        """The most by which p may leave a chord of one spacing h: h²/8 · max |p''|. A Gaussian's is p(0)/σ²."""
        heights = PEAKS.weights / (2 * np.pi * PEAKS.stds**2)
        spacing = 1.1 * (EXTENT[1] - EXTENT[0]) / (self.N - 1)
        return (spacing**2 / 8 * (heights / PEAKS.stds**2).sum()).item()

    def test_levels_are_fractions_of_the_highest_density(self, drawn):
        filled, lines = drawn
        fine, _ = plots.lattice(EXTENT, 1000)
        highest = PEAKS.log_prob(fine).exp().max().item()
        # The lattice's nearest point is at most half a diagonal from the peak: below it by the errors of two chords.
        assert filled.levels == pytest.approx(highest * np.array(FRACTIONS), abs=2 * self.bound())
        assert lines.levels.tolist() == filled.levels[:-1].tolist()
        assert filled.levels / filled.levels[-1] == pytest.approx(np.array(FRACTIONS) / FRACTIONS[-1], rel=1e-6)

    def test_the_density_on_a_line_is_its_level(self, drawn):
        lines = drawn[1]
        assert self.bound() < lines.levels[0] / 4
        for level, path in zip(lines.levels, lines.get_paths(), strict=True):
            assert len(path.vertices) > 30
            p = PEAKS.log_prob(torch.from_numpy(path.vertices)).exp().numpy()
            assert np.abs(p - level).max() <= self.bound()

    def test_the_lines_enclose_the_peaks(self, drawn):
        lines = drawn[1]
        for path in lines.get_paths():
            assert is_inside(path, (-0.5, 1.0))
            assert not is_inside(path, (-1.8, -0.8))
        # The broad peak has 0.7/0.3 · (0.35/0.6)² = 0.79 of the height of the narrow one.
        assert [is_inside(path, (2.2, 0.3)) for path in lines.get_paths()] == [True] * 5 + [False]

    def test_a_point_lies_in_the_band_of_its_density(self, drawn):
        filled = drawn[0]
        x = torch.rand(300, 2, generator=seeded(1)) * torch.tensor([6.0, 3.0]) + torch.tensor([-2.0, -1.0])
        p = PEAKS.log_prob(x).exp().numpy()
        clear = np.abs(p[:, None] - filled.levels).min(1) > 2 * self.bound()
        assert clear.sum() > 100
        for point, band in zip(x[clear].numpy(), np.digitize(p[clear], filled.levels) - 1, strict=True):
            assert bands_at(filled, point) == ([int(band)] if band >= 0 else [])
        assert bands_at(filled, (-0.5, 1.0)) == [5]

    def test_the_denser_the_darker(self, drawn):
        filled = drawn[0]
        shade = luminance(filled.get_facecolor())
        assert len(shade) == 6
        assert (np.diff(shade) < -0.02).all()
        # The outermost is near the paper; on the darkest, particles and arrows must be seen.
        assert shade[0] > 0.95
        assert shade[-1] > 0.6
        assert filled.get_zorder() < 3

    def test_a_density_in_float64_is_drawn_too(self):
        density = GaussianMixture(torch.tensor([[1.0, 0.5]], dtype=torch.float64), 0.5)
        assert len(in_plane(plots.contours, density, EXTENT, 20).collections) == 2

    def test_is_fine_enough_unless_told(self):
        lines = in_plane(plots.contours, PEAKS, EXTENT).collections[1]
        p = PEAKS.log_prob(torch.from_numpy(lines.get_paths()[2].vertices)).exp().numpy()
        assert np.abs(p - lines.levels[2]).max() <= self.bound()


class TestShades:
    LEVELS = (-3.0, -1.0, 0.0, 2.0, 5.0)

    @staticmethod
    def slope(x):
        return 2 * x[:, 0] - 1.5 * x[:, 1]

    @pytest.fixture
    def drawn(self):
        return in_plane(plots.shades, self.slope, EXTENT, self.LEVELS).collections

    def test_a_point_lies_in_the_band_of_its_value(self, drawn):
        filled = drawn[0]
        x = torch.rand(300, 2, generator=seeded(2)) * torch.tensor([6.0, 3.0]) + torch.tensor([-2.0, -1.0])
        for point, band in zip(x.numpy(), np.digitize(self.slope(x).numpy(), self.LEVELS), strict=True):
            assert bands_at(filled, point) == [band]

    def test_the_higher_the_darker_and_below_the_levels_white(self, drawn):
        shade = luminance(drawn[0].get_facecolor())
        assert len(shade) == len(self.LEVELS) + 1
        assert shade[0] == pytest.approx(1)
        assert (np.diff(shade) < -0.02).all()
        assert shade[-1] > 0.4

    def test_the_lines_lie_at_the_levels(self, drawn):
        lines = drawn[1]
        assert lines.levels.tolist() == list(self.LEVELS)
        for level, path in zip(self.LEVELS, lines.get_paths(), strict=True):
            # The value is linear, and so exact on a chord, up to float32.
            values = self.slope(torch.from_numpy(path.vertices))
            np.testing.assert_allclose(values, level, atol=1e-5)
            ends = path.vertices[np.argsort(path.vertices[:, 1])][[0, -1]]
            to_border = np.abs(np.stack([ends - (-2, -1), ends - (4, 2)])).min((0, 2))
            np.testing.assert_allclose(to_border, 0, atol=1e-5)
        # Levels below 0 would be dashed.
        assert all(style[1] is None for style in lines.get_linestyle())
        assert luminance(lines.get_edgecolor()).min() == pytest.approx(1)

    def test_is_fine_enough_unless_told(self):
        def hill(x):
            return 1 - x.square().sum(1)

        lines = in_plane(plots.shades, hill, EXTENT, [0.0, 0.5]).collections[1]
        spacing = 6 / 159
        for level, path in zip([0, 0.5], lines.get_paths(), strict=True):
            # h²/8 · |f''|, and 3 % more where the rows are further apart.
            np.testing.assert_allclose(hill(torch.from_numpy(path.vertices)), level, atol=1.03 * spacing**2 / 4)
        coarse = in_plane(plots.shades, hill, EXTENT, [0.0, 0.5], 20).collections[1]
        assert len(coarse.get_paths()[0].vertices) < len(lines.get_paths()[0].vertices) / 4


class TestArrows:
    N = 7

    def drawn(self, field=whirl, n=N, **kwargs):
        (quiver,) = in_plane(plots.arrows, field, EXTENT, n, **kwargs).collections
        return quiver

    def shafts(self, quiver):
        """Where each arrow begins and ends in units of the axes, off its polygon as drawn: the tip has one corner."""
        data = quiver.axes.transData
        places = data.transform(quiver.get_offsets())
        vectors = np.stack([quiver.U, quiver.V], 1)
        ends = []
        for path, place, vector in zip(quiver.get_paths(), places, vectors, strict=True):
            corners = np.unique(quiver.get_transform().transform(path.vertices).round(6), axis=0)
            along = corners @ (vector / np.linalg.norm(vector))
            tail, tip = corners[along < along.min() + 1e-3], corners[along > along.max() - 1e-3]
            assert (len(tail), len(tip)) == (2, 1)
            ends.append(data.inverted().transform([place + tail.mean(0), place + tip[0]]))
        return np.array(ends)

    def test_are_centred_on_a_lattice_inside_the_extent(self):
        quiver = self.drawn()
        places = np.asarray(quiver.get_offsets())
        across, up = (np.unique(places[:, i].round(5)) for i in (0, 1))
        assert len(across) == self.N
        assert len(places) == len(across) * len(up)
        spacing = 6 / self.N
        np.testing.assert_allclose(across, -2 + spacing * (np.arange(self.N) + 0.5), atol=1e-4)
        np.testing.assert_allclose([up[0], up[-1]], [-1 + spacing / 2, 2 - spacing / 2], atol=1e-5)
        np.testing.assert_allclose(np.diff(up), np.diff(up)[0], atol=1e-4)
        np.testing.assert_allclose(self.shafts(quiver).mean(1), places, atol=1e-4)

    def test_point_along_the_field_as_long_as_the_root_of_its_magnitude(self):
        quiver = self.drawn()
        v = whirl(torch.from_numpy(np.asarray(quiver.get_offsets()))).numpy()
        magnitude = np.linalg.norm(v, axis=1)
        assert magnitude.max() / magnitude.min() > 4
        tail, tip = self.shafts(quiver).swapaxes(0, 1)
        longest = np.linalg.norm(tip - tail, axis=1).max()
        expected = longest * v / np.sqrt(magnitude * magnitude.max())[:, None]
        np.testing.assert_allclose(tip - tail, expected, atol=1e-4)

    @pytest.mark.parametrize("n", [7, 17])
    def test_the_longest_fills_nine_tenths_of_the_spacing_so_that_none_meets_another_or_the_border(self, n):
        # A constant field: every arrow is the longest, and meets those before and behind it first.
        for across in (True, False):
            quiver = self.drawn(
                lambda x, across=across: torch.tensor([[1.0, 0.0] if across else [0.0, 1.0]] * len(x)), n
            )
            ends = self.shafts(quiver)
            np.testing.assert_allclose(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), 0.9 * 6 / n, rtol=1e-3)
            places = np.asarray(quiver.get_offsets())
            assert 0.9 * 6 / n < min(np.diff(np.unique(places[:, i].round(5))).min() for i in (0, 1))
            assert (ends.min((0, 1)) > (-2, -1)).all()
            assert (ends.max((0, 1)) < (4, 2)).all()

    def test_are_seventeen_across_unless_told(self):
        (quiver,) = in_plane(plots.arrows, whirl, EXTENT).collections
        assert len(np.unique(np.asarray(quiver.get_offsets())[:, 0].round(5))) == 17
        assert colors.same_color(quiver.get_facecolor()[0], plots.FAINT)
        assert colors.same_color(self.drawn(color="red").get_facecolor()[0], "red")

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_lengths_are_relative_to_the_longest(self, factor):
        quiver, other = self.drawn(), self.drawn(lambda x: factor * whirl(x))
        np.testing.assert_allclose(other.U / other.scale, quiver.U / quiver.scale, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(other.V / other.scale, quiver.V / quiver.scale, rtol=1e-4, atol=1e-6)

    def test_a_field_of_zeros_has_arrows_of_no_length(self):
        quiver = self.drawn(torch.zeros_like)
        assert len(quiver.U) == len(quiver.get_offsets()) > 0
        assert not np.ma.getmaskarray(quiver.U).any()
        assert quiver.U.tolist() == quiver.V.tolist() == [0.0] * len(quiver.U)

    def test_one_zero_leaves_the_others_as_they_are(self):
        middle = torch.tensor([1.0, 0.5])
        quiver = self.drawn(lambda x: (x - middle) * ((x - middle).abs().sum(1, keepdim=True) > 1e-3))
        lengths = np.hypot(quiver.U, quiver.V)
        assert not np.ma.getmaskarray(quiver.U).any()
        distance = np.linalg.norm(np.asarray(quiver.get_offsets()) - [1, 0.5], axis=1)
        np.testing.assert_allclose(lengths, np.sqrt(distance / distance.max()), atol=1e-3)

    def test_a_network_is_drawn_and_left_as_it_was(self):
        network = ScoreNetwork(2, width=8, depth=1, generator=seeded(3))
        quiver = self.drawn(network)
        v = network(torch.from_numpy(np.asarray(quiver.get_offsets())).float())
        assert v.requires_grad
        cosine = torch.nn.functional.cosine_similarity(v.double(), torch.from_numpy(np.stack([quiver.U, quiver.V], 1)))
        torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-5)
        assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
        assert torch.is_grad_enabled()

    def test_a_field_in_float64_is_drawn_too(self):
        quiver, other = self.drawn(), self.drawn(lambda x: whirl(x.double()))
        np.testing.assert_allclose(quiver.U, other.U, atol=1e-5)


class TestColoursByStart:
    @staticmethod
    def circle(angles, radius=1.0):
        return radius * torch.stack([torch.cos(angles), torch.sin(angles)], 1)

    def test_depend_on_the_direction_from_the_middle_alone(self):
        # In opposite pairs, of any distance, so that the middle stays.
        half = self.circle(torch.tensor([0.2, 0.9, 1.7, 2.8], dtype=torch.float64))
        radius = torch.tensor([[0.1], [3.0], [1.0], [20.0]], dtype=torch.float64)
        near, far = torch.cat([half, -half]), torch.cat([half * radius, -half * radius])
        expected = plots.colours_by_start(near)
        assert expected.shape == (8, 4)
        for moved in (far, 50 * far, near + torch.tensor([7.0, -3.0], dtype=torch.float64)):
            np.testing.assert_allclose(plots.colours_by_start(moved), expected, atol=0.02)

    def test_go_once_round_without_a_jump(self):
        n = 720
        wheel = plots.colours_by_start(self.circle(2 * torch.pi * torch.arange(n, dtype=torch.float64) / n))
        # Five even stretches of 256 stored colours: 5 · 255/256 / 720 a step at most, and one stored colour more.
        step = np.abs(wheel - np.roll(wheel, 1, axis=0)).max()
        assert step < 5 / n + 5 / 256
        assert (wheel[:, 3] == 1).all()
        # Starts a twelfth of a turn apart, or more, differ.
        twelfths = wheel[:: n // 12, :3]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(twelfths, 2)) > 0.1

    def test_the_wheel_begins_on_the_right_and_turns_as_angles_do(self):
        right, up, *_ = plots.colours_by_start(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
        assert colors.to_hex(right) == "#0072b2"
        # A quarter of a turn is a quarter of the way from green to yellow.
        expected = 0.75 * np.array(colors.to_rgb("#00A07A")) + 0.25 * np.array(colors.to_rgb("#E0A100"))
        np.testing.assert_allclose(up[:3], expected, atol=0.02)

    def test_one_start_has_a_colour(self):
        colour = plots.colours_by_start(torch.tensor([[3.0, -2.0]]))
        assert colour.shape == (1, 4)
        assert np.isfinite(colour).all()


class TestParticlesAndTrails:
    X = PEAKS.sample(6, seeded(4))

    def test_particles_are_dots_where_they_are(self):
        (dots,) = in_plane(plots.particles, self.X, plots.CONTRAST).collections
        np.testing.assert_array_equal(dots.get_offsets(), self.X)
        assert dots.get_sizes().tolist() == [9]
        assert len(dots.get_facecolor()) == 1
        assert dots.get_facecolor()[0].tolist() == [*colors.to_rgb(plots.CONTRAST), 0.9]

    def test_particles_have_one_colour_each_and_a_size(self):
        given = plots.colours_by_start(self.X)
        (dots,) = in_plane(plots.particles, self.X, given, size=30).collections
        np.testing.assert_array_equal(dots.get_facecolor()[:, :3], given[:, :3])
        assert dots.get_sizes().tolist() == [30]

    def test_particles_lie_over_their_trails_and_over_the_field(self):
        def everything(ax):
            plots.particles(ax, self.X, plots.CONTRAST)
            plots.trails(ax, torch.stack([self.X, self.X + 0.1]), plots.FAINT)
            plots.contours(ax, PEAKS, EXTENT, 20)
            plots.arrows(ax, PEAKS.score, EXTENT)
            ax.plot([0, 1], [0, 1])

        dots, *others = in_plane(everything).get_children()[:6]
        assert all(dots.get_zorder() > other.get_zorder() for other in others)

    @pytest.mark.parametrize("n_states", [2, 5])
    def test_each_particle_has_one_trail_through_its_states(self, n_states):
        path = torch.randn(n_states, 3, 2, generator=seeded(5))
        given = plots.colours_by_start(path[0])
        (trails,) = in_plane(plots.trails, path, given).collections
        segments = trails.get_segments()
        assert len(segments) == 3
        for i, segment in enumerate(segments):
            np.testing.assert_array_equal(segment, path[:, i])
        np.testing.assert_array_equal(trails.get_edgecolor()[:, :3], given[:, :3])
        # Faint against the dot at its end.
        assert (trails.get_edgecolor()[:, 3] == 0.4).all()

    @pytest.mark.parametrize("n_states", [0, 1])
    def test_one_state_leaves_no_trail(self, n_states):
        ax = in_plane(plots.trails, torch.zeros(n_states, 3, 2), plots.FAINT)
        assert not ax.collections
        assert not ax.lines

    def test_one_colour_is_for_all_trails(self):
        (trails,) = in_plane(plots.trails, torch.randn(2, 4, 2, generator=seeded(6)), "red").collections
        assert len(trails.get_segments()) == 4
        assert trails.get_edgecolor().tolist() == [[1, 0, 0, 0.4]]


class TestHistogram:
    EDGES = np.linspace(-1.0, 2.0, 13)
    X = torch.randn(4000, generator=seeded(7), dtype=torch.float64)

    def drawn(self, *args, **kwargs):
        filled, line = on_axes(plots.histogram, *args, **kwargs).patches
        assert (filled.get_fill(), line.get_fill()) == (True, False)
        for drawn in (filled, line):
            assert drawn.get_data().edges.tolist() == list(args[1])
            assert drawn.get_data().baseline == 0
        assert filled.get_data().values.tolist() == line.get_data().values.tolist()
        return filled, line

    def test_by_hand(self):
        x = torch.tensor([0.1, 0.2, 0.3, 0.7, -5.0, 9.0, 9.0, 9.0])
        values = self.drawn(x, np.array([0.0, 0.5, 1.0, 1.5]))[0].get_data().values
        # 3 and 1 of 8 particles over bins half a unit wide.
        assert values.tolist() == [0.75, 0.25, 0.0]

    def test_is_a_density_over_all_particles_not_those_inside(self):
        values = self.drawn(self.X, self.EDGES)[0].get_data().values
        counts, _ = np.histogram(self.X.numpy(), self.EDGES)
        np.testing.assert_allclose(values, counts / 4000 / 0.25, rtol=1e-6)
        inside = ((self.X > -1) & (self.X < 2)).double().mean().item()
        assert 0.7 < inside < 0.9
        assert (values * np.diff(self.EDGES)).sum() == pytest.approx(inside, rel=1e-6)

    def test_meets_the_law_that_the_particles_have(self):
        values = self.drawn(self.X, self.EDGES)[0].get_data().values
        mass = np.diff(scipy.stats.norm.cdf(self.EDGES))
        np.testing.assert_array_less(np.abs(values * 0.25 - mass), 5 * np.sqrt(mass * (1 - mass) / 4000))

    def test_no_particle_inside_is_a_density_of_zero(self):
        assert not self.drawn(torch.full((5,), 99.0), self.EDGES)[0].get_data().values.any()

    def test_particles_on_the_ends_are_inside(self):
        values = self.drawn(torch.tensor([-1.0, 2.0, 2.0, 3.0]), np.linspace(-1.0, 2.0, 4))[0].get_data().values
        assert values.tolist() == [0.25, 0.0, 0.5]

    def test_is_in_the_colour_asked_and_one_may_look_through_it(self):
        filled, line = self.drawn(self.X, self.EDGES)
        assert filled.get_facecolor() == (*colors.to_rgb(plots.ESTIMATE), 0.45)
        assert colors.same_color(line.get_edgecolor(), plots.ESTIMATE)
        assert line.get_linewidth() == 1
        filled, line = self.drawn(self.X, self.EDGES, plots.CONTRAST, alpha=0.2)
        assert filled.get_facecolor() == (*colors.to_rgb(plots.CONTRAST), 0.2)
        assert colors.same_color(line.get_edgecolor(), plots.CONTRAST)


class TestCurve:
    GRID = torch.linspace(-3, 4, 57)

    def test_is_the_density_over_the_grid(self):
        density = GaussianMixture([[-1.0], [2.0]], [0.5, 1.5], [0.25, 0.75])
        (line,) = on_axes(plots.curve, density, self.GRID).lines
        assert line.get_xdata().tolist() == self.GRID.tolist()
        x = self.GRID.double().numpy()
        expected = 0.25 * scipy.stats.norm.pdf(x, -1, 0.5) + 0.75 * scipy.stats.norm.pdf(x, 2, 1.5)
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5, atol=1e-8)

    def test_fits_the_histogram_of_its_own_particles(self):
        def both(ax):
            plots.histogram(ax, density.sample(20_000, seeded(8))[:, 0], np.linspace(-3, 4, 29))
            plots.curve(ax, density, torch.linspace(-2.875, 3.875, 28))

        density = GaussianMixture([[0.5]], 1.0)
        ax = on_axes(both)
        heights, line = ax.patches[0].get_data().values, ax.lines[0].get_ydata()
        # Five standard errors, and h²/24 · max |p''| for a mean over a bin in place of its middle.
        np.testing.assert_array_less(np.abs(heights - line), 5 * np.sqrt(line / 0.25 / 20_000) + 0.25**2 / 24 * 0.4)

    def test_is_the_truth_unless_told(self):
        density = GaussianMixture([[0.0]], 1.0)
        (line,) = on_axes(plots.curve, density, self.GRID).lines
        assert color_of(line) == colors.to_rgba(plots.TRUTH)
        (line,) = on_axes(plots.curve, density, self.GRID, plots.CONTRAST, linestyle="--", linewidth=3).lines
        assert color_of(line) == colors.to_rgba(plots.CONTRAST)
        assert (line.get_linestyle(), line.get_linewidth()) == ("--", 3)


class TestArrow:
    START, END = (0.5, 1.5), (3.0, -0.5)

    def drawn(self, *args, **kwargs):
        (note,) = in_plane(plots.arrow, *args, **kwargs).texts
        return note

    def test_leads_from_start_to_end(self):
        note = self.drawn(self.START, self.END, plots.CONTRAST)
        assert (note.xyann, note.xy) == (self.START, self.END)
        assert note.get_text() == ""
        start, end = note.axes.transData.transform([self.START, self.END])
        path = note.arrow_patch.get_path()
        corners = path.vertices[path.codes != Path.CLOSEPOLY]
        along = (corners - start) @ (end - start) / np.linalg.norm(end - start)
        length, point = np.linalg.norm(end - start), note.figure.dpi / 72
        # The shaft begins at the start; the head's tip is held back by what its line, of 2 points, adds to it.
        assert along.min() == pytest.approx(0, abs=1e-6)
        assert length - 6 * point < along.max() < length + 1e-6
        wide = np.abs((corners - start) @ [end[1] - start[1], start[0] - end[0]]) / length
        assert along[wide > 2 * point].min() > length / 2

    @pytest.mark.parametrize("end", [(0.5, 1.5), (0.5, 1.5 + 1e-9), np.array([0.5, 1.5])])
    def test_none_is_drawn_from_a_point_to_itself(self, end):
        ax = in_plane(plots.arrow, self.START, end, plots.CONTRAST)
        assert not ax.texts
        assert not ax.patches

    @pytest.mark.parametrize("end", [(0.5, 1.6), (0.6, 1.5), (0.5, 1.4), (0.4, 1.5)])
    def test_a_short_one_is_drawn_in_each_direction(self, end):
        assert self.drawn(self.START, end, plots.CONTRAST).xy == end

    def test_is_drawn_beyond_the_axes_too(self):
        assert self.drawn((1, 0), (1, 9), plots.TRUTH).get_annotation_clip() is False

    def test_has_the_colour_asked_and_a_style_that_can_be_overridden(self):
        patch = self.drawn(self.START, self.END, plots.ESTIMATE).arrow_patch
        for part in (patch.get_edgecolor(), patch.get_facecolor()):
            assert colors.same_color(part, plots.ESTIMATE)
        assert patch.get_linewidth() == 2
        patch = self.drawn(self.START, self.END, plots.ESTIMATE, linewidth=0.5, linestyle="--").arrow_patch
        assert (patch.get_linewidth(), patch.get_linestyle()) == (0.5, "--")
        note = self.drawn(self.START, self.END, plots.ESTIMATE, shrinkA=20, arrowstyle="-")
        start = note.axes.transData.transform(self.START)
        nearest = np.linalg.norm(note.arrow_patch.get_path().vertices - start, axis=1).min()
        assert nearest == pytest.approx(20 * note.figure.dpi / 72, rel=0.01)


class TestLabel:
    def drawn(self, *args, **kwargs):
        (text,) = on_axes(plots.label, *args, **kwargs).texts
        return text

    def test_stands_above_its_place_and_in_the_middle_of_it(self):
        text = self.drawn(0.3, 0.6, "data\nmove")
        assert text.get_text() == "data\nmove"
        box, (x, y) = text.get_window_extent(), text.axes.transData.transform((0.3, 0.6))
        assert (box.x0 + box.x1) / 2 == pytest.approx(x, abs=1)
        assert box.y0 == pytest.approx(y, abs=1)
        assert color_of(text) == colors.to_rgba(plots.TRUTH)

    def test_its_defaults_can_be_overridden(self):
        text = self.drawn(0.3, 0.6, "θ", plots.ESTIMATE, ha="left", va="top", fontsize=14, rotation=90)
        assert (text.get_ha(), text.get_va(), text.get_fontsize(), text.get_rotation()) == ("left", "top", 14, 90)
        assert color_of(text) == colors.to_rgba(plots.ESTIMATE)
        text = self.drawn(0.3, 0.6, "θ", ha="right")
        assert (text.get_ha(), text.get_va()) == ("right", "bottom")

    def test_its_lines_are_set_a_little_apart(self):
        tight, default, loose = (
            self.drawn(0.3, 0.6, "data\nmove", **kwargs).get_window_extent().height
            for kwargs in ({"linespacing": 1.0}, {}, {"linespacing": 2.0})
        )
        assert tight < default < loose


class TestPictures:
    def drawn(self, images, **kwargs):
        ax = on_axes(plots.pictures, images, **kwargs)
        (sheet,) = ax.images
        return ax, sheet

    @pytest.mark.parametrize("side", [1, 2, 8, 16])
    def test_each_pixel_lies_in_its_image_in_its_row_and_column(self, side):
        images = torch.rand(2, 3, side**2, generator=seeded(60))
        _, sheet = self.drawn(images)
        pixels, gap = np.asarray(sheet.get_array().filled(np.nan)), max(1, side // 8)
        assert pixels.shape == (2 * side + gap, 3 * side + 2 * gap)
        seen = np.zeros(pixels.shape, dtype=bool)
        for row, column in itertools.product(range(2), range(3)):
            at = slice(row * (side + gap), None), slice(column * (side + gap), None)
            tile = pixels[at][:side, :side]
            np.testing.assert_array_equal(tile, images[row, column].reshape(side, side).double())
            seen[at][:side, :side] = True
        assert np.isnan(pixels[~seen]).all()
        _, squares = self.drawn(images.reshape(2, 3, side, side))
        np.testing.assert_array_equal(squares.get_array().filled(np.nan), pixels)

    def test_paper_is_white_and_ink_is_dark_between_the_limits(self):
        images = torch.tensor([[[-1.0, 1.0, 0.0, 5.0]]])
        _, sheet = self.drawn(images)
        paper, ink, grey, more = (luminance(sheet.to_rgba(np.array([[v]]))[0, 0]) for v in (-1.0, 1.0, 0.0, 5.0))
        assert paper == pytest.approx(1)
        assert ink == more < 0.01 < grey < 0.8
        assert sheet.get_clim() == (-1, 1)
        _, other = self.drawn(images, limits=(0.0, 5.0))
        assert other.get_clim() == (0, 5)
        # Between images there is nothing.
        assert sheet.cmap(np.ma.masked_invalid([np.nan]))[0, 3] == 0
        assert sheet.get_interpolation() == "nearest"

    def test_words_stand_beside_the_middle_of_their_row_and_below_that_of_their_column(self):
        ax, _ = self.drawn(torch.zeros(2, 3, 64), rows=["noisy", "denoised"], below=["1", "2", "4"])
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["noisy", "denoised"]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]
        assert list(ax.get_yticks()) == [3.5, 12.5]
        assert list(ax.get_xticks()) == [3.5, 12.5, 21.5]
        assert ax.yaxis_inverted()  # rows go down
        assert not any(spine.get_visible() for spine in ax.spines.values())
        bare, _ = self.drawn(torch.zeros(2, 3, 64))
        assert len(bare.get_xticks()) == len(bare.get_yticks()) == 0

    def test_images_that_are_differentiated_or_in_half_precision_are_drawn_and_stay_as_they_are(self):
        images = torch.rand(1, 2, 4, generator=seeded(61)).requires_grad_()
        before = images.detach().clone()
        for given in (images, images.half()):
            self.drawn(given)
        assert torch.equal(images, before)

    @pytest.mark.parametrize(
        "shape",
        [(), (3,), (2, 4), (1, 2, 3), (1, 2, 2, 3), (1, 2, 3, 2), (1, 1, 2, 2, 1), (0, 2, 4), (2, 0, 4), (1, 1, 0)],
    )
    def test_what_is_no_square_image_is_refused(self, shape):
        with pytest.raises(ValueError, match=r"^images must be square, \(r, c, d\) or \(r, c, side, side\), got shape"):
            self.drawn(torch.zeros(shape))


# How the colours look to those without one kind of cone: Machado, Oliveira & Fernandes 2009, on linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color, sight):
    """CIELAB of a colour as seen: distances of 10 and more are seen at a glance."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / to_xyz.sum(1), 0.00886))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_the_roles_are_told_apart_by_the_colour_blind(sight):
    seen = [lab(color, sight) for color in (plots.TRUTH, plots.ESTIMATE, plots.CONTRAST, plots.FAINT, "white")]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20
