"""A bar for long work, in a notebook and a terminal only."""

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def progress(steps: Iterable[int], name: str, delay: float = 0) -> tqdm:
    """The steps, with a bar from ``delay`` seconds on; none where tqdm is switched off, as in a build of the book."""
    quiet = True if os.environ.get("TQDM_DISABLE") else None
    return tqdm(steps, desc=name, unit="step", leave=False, disable=quiet, delay=delay)
