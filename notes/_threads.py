"""One thread for small work: on a busy machine a second one is waited for longer than it saves."""

import math
from types import TracebackType
from typing import Any

import torch

# From so much work on, counted in exponentials of some half a nanosecond: a millisecond, which threads are worth.
_MUCH = 2**21


class one_thread:
    """A context in which the calling thread computes alone, where its work is small; above the limit nothing changes.

    PyTorch splits a step among threads and waits for the last of them. Where other programs keep the processors busy,
    a thread that is not running is waited for a thousand times longer than a small step takes. The rule knows sizes
    alone and never the load, so that equal inputs and an equal seed give equal results.

    The number of threads is each thread's own and is put back at the end, whatever ends the block. A thread that first
    uses PyTorch while another is inside starts from one thread, and keeps it.

    Parameters
    ----------
    work : float
        What a step computes, in units of some half a nanosecond: an exponential, or a few numbers added.

    Examples
    --------
    >>> import torch
    >>> from notes._threads import one_thread
    >>> with one_thread(1000):
    ...     torch.get_num_threads()
    1
    """

    def __init__(self, work: float) -> None:
        self._small = work < _MUCH

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._small and self._before > 1:
            try:
                torch.set_num_threads(1)
            except BaseException:  # Ctrl-C, which comes when it likes
                torch.set_num_threads(self._before)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._small and self._before > 1:
            torch.set_num_threads(self._before)


def work_of(model: Any, n: int) -> float:
    """What n points cost in a model of the package; infinity in any other, whose threads are the user's to choose."""
    return getattr(model, "_work", lambda n: math.inf)(n)
