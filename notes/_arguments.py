"""What every public function refuses: bad tensors, by the argument's name, before any work is done."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from notes._numbers import count, non_negative, positive, real  # noqa: F401 - one place to check any argument


def floating(name: str, value: Any, like: Tensor | None = None) -> Tensor:
    """A tensor, an array or numbers as a floating tensor, of the dtype and on the device of ``like`` where given.

    Otherwise floating tensors and arrays keep their dtype, and everything else gets PyTorch's default one.
    """
    try:
        readable = _readable(value)
        tensor = readable if isinstance(readable, Tensor) else torch.as_tensor(readable)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(value).__name__ + (f" of {value.dtype}" if hasattr(value, "dtype") else "")
        raise TypeError(f"{name} must be a tensor or numbers, got {kind}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, got {tensor.dtype}")
    if like is not None:  # from the value, not the tensor: Python's numbers are not to pass through float32
        return torch.as_tensor(readable, dtype=like.dtype, device=like.device)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def _readable(value):
    """What PyTorch takes without a word: arrays in C order, in this machine's bytes, in memory that may be written."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple) and any(hasattr(each, "dtype") for each in value):
        return torch.stack([torch.as_tensor(_readable(each)) for each in value])
    if hasattr(value, "__array__"):
        array = value.__array__()
        return array.astype(array.dtype.newbyteorder("="), order="C")
    return value


def finite(name: str, tensor: Tensor) -> Tensor:
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return tensor


def points(name: str, x: Any, dim: int | None = None) -> Tensor:
    """Positions: a floating tensor of shape (n, d), with d = ``dim`` where that is given."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (n, d), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {x.dtype}")
    wanted = f"(n, {dim})" if dim is not None else "(n, d)"
    if x.ndim != 2 or x.shape[1] == 0 or (dim is not None and x.shape[1] != dim):
        raise ValueError(f"{name} must have shape {wanted}, one row a particle, got {tuple(x.shape)}")
    return x


def even_grid(name: str, grid: Any) -> Tensor:
    """A one-dimensional, evenly spaced, increasing grid in float64."""
    grid = finite(name, floating(name, grid, like=torch.empty(0, dtype=torch.float64)))
    if grid.ndim != 1 or len(grid) < 3:
        raise ValueError(f"{name} must be one-dimensional with at least 3 points, got shape {tuple(grid.shape)}")
    gaps = grid.diff()
    if gaps.min() <= 0 or gaps.max() - gaps.min() > 1e-4 * gaps.mean():
        raise ValueError(f"{name} must be increasing and evenly spaced")
    return grid


def falling(name: str, sigmas: Any) -> list[float]:
    """A ladder of noise scales as numbers."""
    sigmas = floating(name, sigmas, like=torch.empty(0, dtype=torch.float64, device="cpu"))
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(f"{name} must be a ladder of at least two noise scales, got shape {tuple(sigmas.shape)}")
    sigmas = sigmas.tolist()
    for above, below in zip([math.inf, *sigmas[:-1]], sigmas, strict=True):
        if not (below > 0 and 0 < below * below < math.inf):
            raise ValueError(f"{name} must be positive and finite, and their squares too, got {below:g} among them")
        if not below < above:
            raise ValueError(f"{name} must fall from each rung to the next, got {above:g} and then {below:g}")
    return sigmas


def _is_whole(tensor):
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def labels(name: str, value: Any) -> Tensor:
    """Whole numbers, one a point: (n,)."""
    if not isinstance(value, Tensor) or not _is_whole(value):
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of whole numbers, got {kind}")
    if value.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {tuple(value.shape)}")
    return value


def places(name: str, value: Any, dim: int | None = None) -> Tensor:
    """Some of the coordinates of a point, each once, and not all of its d dimensions where d is known."""
    try:
        chosen = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be whole numbers, got {type(value).__name__}") from error
    if chosen.numel() and not _is_whole(chosen):
        raise TypeError(f"{name} must be whole numbers, got {chosen.dtype}")
    if chosen.ndim != 1 or len(chosen) == 0 or len(chosen.unique()) < len(chosen):
        raise ValueError(f"{name} must be one or more different coordinates, got {chosen.tolist()}")
    most = math.inf if dim is None else dim - 1
    if chosen.min() < 0 or chosen.max() > most:
        raise ValueError(f"{name} must lie from 0 to {'d − 1' if dim is None else most}, got {chosen.tolist()}")
    if len(chosen) > most:
        raise ValueError(f"{name} must leave a coordinate of {dim} unknown, got {chosen.tolist()}")
    return chosen.long()


def other_places(known: Tensor, dim: int) -> Tensor:
    """The coordinates of a point in d dimensions that are not among the known ones, in their order."""
    others = torch.ones(dim, dtype=torch.bool, device=known.device)
    others[known] = False
    return others.nonzero()[:, 0]


def function(name: str, value: Any) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {type(value).__name__}")


def representable(name: str, value: float, x: Tensor) -> float:
    """A number that the dtype of x can hold: it neither overflows there nor becomes zero."""
    held = x.new_tensor(value)
    if not torch.isfinite(held) or (held == 0) != (value == 0):
        raise ValueError(f"{name} must be a number that {x.dtype} can hold, got {value:g}")
    return value


def same_shape(name: str, value: Any, x: Tensor) -> Tensor:
    """The output of a vector field: one row for each row of x."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must return a torch.Tensor, got {type(value).__name__}")
    if value.shape != x.shape:
        raise ValueError(f"{name} must return the shape of its input {tuple(x.shape)}, got {tuple(value.shape)}")
    return _real(name, value)


def one_each(name: str, value: Any, x: Tensor) -> Tensor:
    """The output of a log-density: one number for each row of x."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must return a torch.Tensor, got {type(value).__name__}")
    if value.shape != x.shape[:1]:
        raise ValueError(f"{name} must return one number a row, shape {tuple(x.shape[:1])}, got {tuple(value.shape)}")
    return _real(name, value)


def _real(name, value):
    if value.is_complex():
        raise TypeError(f"{name} must return real numbers, got {value.dtype}")
    return value


def one_a_row(name: str, value: Any, x: Tensor) -> Tensor:
    """Positive numbers, one for each row of x, as constants in its dtype."""
    value = finite(name, floating(name, value, like=x)).detach().contiguous()
    if value.shape != x.shape[:1]:
        raise ValueError(f"{name} must be a number or have shape ({len(x)},), got {tuple(value.shape)}")
    if (value <= 0).any():
        raise ValueError(f"{name} must be positive, got {value.min().item()}")
    return value


def noise_std(name: str, value: Any, x: Tensor) -> float | Tensor:
    """A positive number that the dtype of x can hold, or one a row of x as a column."""
    if getattr(value, "ndim", 0) == 0:
        return representable(name, positive(name, value), x)
    return one_a_row(name, value, x)[:, None]


@contextlib.contextmanager
def names_inference(name: str) -> Iterator[None]:
    """What PyTorch says of tensors made in inference mode, said of the function named: its points are none."""
    try:
        yield
    except RuntimeError as error:
        if "Inference tensors" not in str(error):
            raise
        raise ValueError(
            f"{name} must be made outside torch.inference_mode to have derivatives, got tensors made in it"
        ) from error


def on_device(generator: torch.Generator | None, device: torch.device | str) -> None:
    """A generator draws on its own device: refuse one that lives elsewhere."""
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
    if generator.device.type != torch.device(device).type:
        raise ValueError(f"generator lives on {generator.device}, its inputs on {device}: make it there")
