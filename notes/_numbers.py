"""What every public function refuses: bad numbers, by the argument's name. Without PyTorch, so it loads at once."""

import math
import numbers
from typing import Any


def number(name: str, value: Any) -> float:
    """A real number, or a 0-dim tensor or array of one, as a float; NaN and infinity pass."""
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__} {value!r}")
    return float(value)


def real(name: str, value: Any) -> float:
    """A finite number as a float."""
    value = number(name, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return value


def positive(name: str, value: Any) -> float:
    value = real(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value


def non_negative(name: str, value: Any) -> float:
    value = real(name, value)
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return value


def count(name: str, value: Any, least: int = 1) -> int:
    """A whole number, or a 0-dim tensor or array of one, that is at least ``least``."""
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {type(value).__name__} {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _plain(value):
    """The number in a 0-dim tensor or array; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value
