"""What every public function says of a bad argument: its name, what was wanted, and what it got."""

import math

import numpy as np
import pytest
import torch

from notes import _arguments as check

X = torch.zeros(3, 2)


class Elsewhere(torch.Generator):
    device = torch.device("meta")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check.floating("x", "wide"), TypeError, "x must be a tensor or numbers, got str"),
        (
            lambda: check.floating("x", np.array([1], dtype=object)),
            TypeError,
            "x must be a tensor or numbers, got ndarray of object",
        ),
        (
            lambda: check.floating("x", [np.zeros(2), np.zeros(3)]),
            TypeError,
            "x must be a tensor or numbers, got list",
        ),
        (
            lambda: check.same_shape("x", X * 1j, X),
            TypeError,
            "x must return real numbers, got torch.complex64",
        ),
        (lambda: check.floating("x", [1j]), TypeError, "x must be real numbers, got torch.complex64"),
        (lambda: check.finite("x", X / 0), ValueError, "x must be finite, got NaN or infinity in it"),
        (
            lambda: check.points("x", np.zeros((3, 2))),
            TypeError,
            "x must be a torch.Tensor of shape (n, d), got ndarray",
        ),
        (lambda: check.points("x", X.int()), TypeError, "x must be floating point, got torch.int32"),
        (lambda: check.points("x", X[0]), ValueError, "x must have shape (n, d), one row a particle, got (2,)"),
        (lambda: check.points("x", X, 4), ValueError, "x must have shape (n, 4), one row a particle, got (3, 2)"),
        (
            lambda: check.even_grid("x", [0, 1]),
            ValueError,
            "x must be one-dimensional with at least 3 points, got shape (2,)",
        ),
        (lambda: check.even_grid("x", [0, 1, 3]), ValueError, "x must be increasing and evenly spaced"),
        (lambda: check.even_grid("x", [1, 1, 1]), ValueError, "x must be increasing and evenly spaced"),
        (lambda: check.even_grid("x", [0, 1, math.nan]), ValueError, "x must be finite, got NaN or infinity in it"),
        (lambda: check.function("x", 3), TypeError, "x must be a function, got int"),
        (lambda: check.places("x", "wide", 3), TypeError, "x must be whole numbers, got str"),
        (lambda: check.places("x", [1.0], 3), TypeError, "x must be whole numbers, got torch.float32"),
        (lambda: check.places("x", [True], 3), TypeError, "x must be whole numbers, got torch.bool"),
        (lambda: check.places("x", [1j], 3), TypeError, "x must be whole numbers, got torch.complex64"),
        (lambda: check.places("x", [], 3), ValueError, "x must be one or more different coordinates, got []"),
        (lambda: check.places("x", 1, 3), ValueError, "x must be one or more different coordinates, got 1"),
        (lambda: check.places("x", [[1]], 3), ValueError, "x must be one or more different coordinates, got [[1]]"),
        (lambda: check.places("x", [2, 2], 3), ValueError, "x must be one or more different coordinates, got [2, 2]"),
        (lambda: check.places("x", [0, 3], 3), ValueError, "x must lie from 0 to 2, got [0, 3]"),
        (lambda: check.places("x", [-1], 3), ValueError, "x must lie from 0 to 2, got [-1]"),
        (lambda: check.places("x", [-1]), ValueError, "x must lie from 0 to d − 1, got [-1]"),
        (lambda: check.places("x", [2, 0, 1], 3), ValueError, "x must leave a coordinate of 3 unknown, got [2, 0, 1]"),
        (lambda: check.labels("x", [1]), TypeError, "x must be a tensor of whole numbers, got list"),
        (lambda: check.labels("x", X), TypeError, "x must be a tensor of whole numbers, got torch.float32"),
        (lambda: check.labels("x", X == 0), TypeError, "x must be a tensor of whole numbers, got torch.bool"),
        (lambda: check.labels("x", X.long()), ValueError, "x must have shape (n,), got (3, 2)"),
        (
            lambda: check.representable("x", 1e-50, X),
            ValueError,
            "x must be a number that torch.float32 can hold, got 1e-50",
        ),
        (lambda: check.same_shape("x", 3, X), TypeError, "x must return a torch.Tensor, got int"),
        (
            lambda: check.same_shape("x", X[0], X),
            ValueError,
            "x must return the shape of its input (3, 2), got (2,)",
        ),
        (lambda: check.one_each("x", 3, X), TypeError, "x must return a torch.Tensor, got int"),
        (
            lambda: check.one_each("x", X, X),
            ValueError,
            "x must return one number a row, shape (3,), got (3, 2)",
        ),
        (
            lambda: check.one_each("x", X[:, 0] * 1j, X),
            TypeError,
            "x must return real numbers, got torch.complex64",
        ),
        (
            lambda: check.one_a_row("x", [1.0, 2.0], X),
            ValueError,
            "x must be a number or have shape (3,), got (2,)",
        ),
        (
            lambda: check.one_a_row("x", X[:, :1] + 1, X),
            ValueError,
            "x must be a number or have shape (3,), got (3, 1)",
        ),
        (lambda: check.one_a_row("x", [1.0, 0.0, 2.0], X), ValueError, "x must be positive, got 0.0"),
        (lambda: check.one_a_row("x", [1.0, 1e-50, 2.0], X), ValueError, "x must be positive, got 0.0"),
        (lambda: check.one_a_row("x", [1.0, -1.0, 2.0], X), ValueError, "x must be positive, got -1.0"),
        (
            lambda: check.one_a_row("x", [1.0, math.nan, 2.0], X),
            ValueError,
            "x must be finite, got NaN or infinity in it",
        ),
        (lambda: check.one_a_row("x", [1.0, 1e50, 2.0], X), ValueError, "x must be finite, got NaN or infinity in it"),
        (lambda: check.one_a_row("x", "wide", X), TypeError, "x must be a tensor or numbers, got str"),
        (
            lambda: check.on_device(3, "cpu"),
            TypeError,
            "generator must be a torch.Generator or None, got int",
        ),
        (
            lambda: check.on_device(Elsewhere(), "cpu"),
            ValueError,
            "generator lives on meta, its inputs on cpu: make it there",
        ),
        (lambda: check.real("x", "1"), TypeError, "x must be a number, got str '1'"),
        (lambda: check.real("x", math.nan), ValueError, "x must be finite, got nan"),
        (lambda: check.positive("x", 0), ValueError, "x must be positive, got 0.0"),
        (lambda: check.non_negative("x", -1), ValueError, "x must not be negative, got -1.0"),
        (lambda: check.count("x", 2.5), TypeError, "x must be a whole number, got float 2.5"),
        (lambda: check.count("x", True), TypeError, "x must be a whole number, got bool True"),
        (lambda: check.count("x", 1, least=2), ValueError, "x must be at least 2, got 1"),
    ],
)
def test_a_bad_argument_is_named_with_what_was_given(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [3, np.int32(3), np.array(3), torch.tensor(3)])
def test_a_whole_number_is_taken_in_any_form(value):
    assert check.count("n", value) == 3
    assert type(check.count("n", value)) is int
    assert check.real("x", value) == 3.0


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, lambda v: torch.tensor(v, dtype=torch.uint8)])
def test_places_are_taken_in_any_form_and_in_their_order(form):
    for dim in (4, 9, None):
        chosen = check.places("x", form([3, 0, 2]), dim)
        assert chosen.dtype == torch.int64
        assert chosen.tolist() == [3, 0, 2]
    assert check.places("x", range(8), 9).tolist() == list(range(8))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_labels_are_whole_numbers_of_any_width(dtype):
    for n in (0, 1, 5):
        label = torch.arange(n).to(dtype)
        assert check.labels("x", label) is label


def read_only(array):
    array.setflags(write=False)
    return array


NUMBERS = np.arange(6.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("like", [None, X, X.double()])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (NUMBERS[::-1].copy()[::-1], torch.float64),
        (NUMBERS.astype(">f8"), torch.float64),
        (NUMBERS.astype(">f4"), torch.float32),
        (NUMBERS.astype(np.float16), torch.float16),
        (read_only(NUMBERS.copy()), torch.float64),
        (np.repeat(NUMBERS, 2)[::2], torch.float64),
        (NUMBERS.astype(">i4"), None),
        (NUMBERS.astype(np.uint16), None),
        (list(NUMBERS), torch.float64),
        (list(torch.arange(6.0)), torch.float32),
        (range(6), None),
        (tuple(range(6)), None),
    ],
)
def test_numbers_are_taken_as_they_lie_in_memory(value, dtype, like):
    for default in (torch.float32, torch.float64):
        try:
            torch.set_default_dtype(default)
            tensor = check.floating("x", value, like=like)
        finally:
            torch.set_default_dtype(torch.float32)
        assert tensor.dtype == (like.dtype if like is not None else dtype or default)
        assert tensor.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.filterwarnings("error")
def test_rows_of_arrays_and_of_tensors_are_a_matrix():
    for rows in ([NUMBERS, NUMBERS[::-1]], [torch.arange(6.0), torch.arange(5.0, -1, -1)]):
        assert check.floating("x", rows).tolist() == [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]]
    assert check.floating("x", np.asfortranarray(np.stack([NUMBERS, -NUMBERS]))).is_contiguous()


def test_an_array_that_changes_later_changes_nothing():
    array = NUMBERS.copy()
    tensor = check.floating("x", array)
    array[:] = 0
    assert tensor.tolist() == NUMBERS.tolist()


def test_a_list_of_tensors_keeps_its_gradient():
    value = torch.ones((), requires_grad=True)
    assert check.floating("x", [value, 2 * value]).sum().backward() is None
    assert value.grad == 3


def test_a_grid_has_at_least_three_points():
    assert check.even_grid("grid", [0, 1, 2]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("unit", [1e-6, 1, 1e6])
def test_a_grid_is_even_to_one_in_ten_thousand_in_any_unit(unit):
    even = torch.arange(5, dtype=torch.float64)
    for off, is_even in [(0.9e-4, True), (1.1e-4, False)]:
        grid = even.clone()
        grid[-1] += off
        if is_even:
            assert torch.equal(check.even_grid("grid", unit * grid), unit * grid)
        else:
            with pytest.raises(ValueError, match="evenly spaced"):
                check.even_grid("grid", unit * grid)


def test_a_tensor_stays_where_it_is():
    with torch.device("meta"):  # the default of whatever is made without saying where
        assert check.floating("x", X).device == X.device
        assert check.floating("x", [1.0], like=X).device == X.device
        assert check.floating("x", [1.0]).device == torch.device("meta")


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda v: torch.tensor(v, requires_grad=True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_one_a_row_are_constants_in_the_dtype_of_the_points_side_by_side_in_memory(form, dtype):
    value = check.one_a_row("x", form([1.0, 0.5, 2.0]), X.to(dtype))
    assert value.dtype == dtype
    assert value.tolist() == [1.0, 0.5, 2.0]
    assert not value.requires_grad
    assert check.one_a_row("x", torch.ones(6)[::2], X).is_contiguous()
    assert check.one_a_row("x", torch.ones(1).expand(3), X).is_contiguous()
    assert check.one_a_row("x", [], X[:0]).shape == (0,)


def test_an_error_of_tensors_made_in_inference_mode_is_said_of_what_made_them():
    with torch.inference_mode():
        made = torch.ones(1)
    x = torch.ones(1, requires_grad=True)
    with (
        pytest.raises(
            ValueError, match=r"^f must be made outside torch\.inference_mode to have derivatives, got tensors"
        ),
        check.names_inference("f"),
    ):
        made * x
    with pytest.raises(RuntimeError, match=r"^another$"), check.names_inference("f"):
        raise RuntimeError("another")
