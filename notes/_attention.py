"""The engine of a mixture of equal widths: its score as softmax attention, in blocks that stay in cache."""

import contextlib
import math
from collections.abc import Callable

import torch
from torch.nn.functional import pad

from notes._threads import one_thread

# No work array outgrows this many numbers, 0.5 MB in float32. No power of two: in rows of such a length the columns
# fall on one another in the cache, and a product takes five times as long.
BLOCK = 125_000

# From so many components on, PyTorch's fused attention is faster than blocks on a CPU, and needs no array of pairs: in
# few dimensions, and in many.
_MANY_THIN, _MANY = 512, 128

# Below so many dimensions, or components, columns are faster; they are so on one thread, for their blocks are small.
THIN = 16

# Of so many terms float32 still takes the sum.
MOST = 2**17

# Up to such a ‖μ‖²/σ² the rounding of a square expanded in float32 is small.
_NARROW = 2**9

# Logits are held in base two: some CPUs take powers of it several times faster.
_BINARY = math.log(2)


def attend(x: torch.Tensor, means: torch.Tensor, std: float, weights: torch.Tensor) -> torch.Tensor:
    r"""The score of K Gaussians of one std, as softmax attention: queries x, keys and values μ_k. (n, d) → (n, d).

    .. math:: \Bigl(\sum_k \operatorname{softmax}_k\Bigl(\frac{x \cdot \mu_k}{\sigma^2}
       - \frac{\|\mu_k\|^2}{2 \sigma^2} + \log w_k\Bigr) \mu_k - x\Bigr) \Big/ \sigma^2

    A square is expanded, and so in float32 only while what is rounded is small against what float32 resolves; in
    float64 and around the mean of the mixture otherwise, where its rounding is below that of the inputs. Far away ‖x‖
    does not matter: the score grows with it as its rounding does. Arrays are used again, so that it is not to be
    differentiated.
    """
    dtype, variance = x.dtype, std**2
    keys = means * (1 / (variance * _BINARY))
    squared = (means * keys).sum(1)
    if len(means) > MOST or not squared.max().item() * _BINARY < _NARROW:  # nor where it overflows
        x, means, weights = x.double(), means.double(), weights.double()
        centre = torch.mv(means.t(), weights)
        x, means = x - centre, means - centre
        keys = means * (1 / (variance * _BINARY))
        squared = (means * keys).sum(1)
    shift = torch.sub(weights.log2(), squared, alpha=0.5)
    thin = x.shape[1] < THIN
    fused = len(keys) >= (_MANY_THIN if thin else _MANY) and x.device.type == "cpu"
    columns = not fused and (thin or len(keys) < THIN)
    mean = (_fused if fused else _by_columns if columns else _by_rows)(keys, shift, means)
    rows = max(1, BLOCK // (x.shape[1] if fused else max(keys.shape)))
    out = -x
    with one_thread(0) if columns else contextlib.nullcontext():
        for pull, block in zip(out.split(rows), x.split(rows), strict=True) if len(x) > rows else [(out, x)]:
            pull.add_(mean(block))
        return out.div_(variance).to(dtype)


def powers(binary: torch.Tensor) -> torch.Tensor:
    """Two to the power of numbers that are at most 0, in their place; 0 where products would have too few digits.

    Those are computed with a hundred times more slowly, and count for nothing beside a 1.
    """
    least = -100.0 if binary.dtype == torch.float32 else -1000.0
    return torch.nn.functional.threshold_(binary, least, -torch.inf).exp2_()


def _by_columns(
    keys: torch.Tensor, shift: torch.Tensor, values: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The mean value of each query. Queries lie along memory, since a sum over a short stretch of it is slow."""
    shift, values = shift[:, None], values.t()

    def mean(queries: torch.Tensor) -> torch.Tensor:
        logits = torch.addmm(shift, keys, queries.t())
        share = powers(logits.sub_(logits.amax(0)))
        return torch.mm(values, share).div_(share.sum(0)).t()

    return mean


def _by_rows(keys: torch.Tensor, shift: torch.Tensor, values: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same with the components along memory, which spares many dimensions their transposition."""
    keys, shift = keys.t() * _BINARY, shift * _BINARY
    return lambda queries: torch.mm(torch.addmm(shift, queries, keys).softmax(1), values)


def _fused(keys: torch.Tensor, shift: torch.Tensor, values: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same in one pass of PyTorch's: the shift is one more coordinate of the keys."""
    dim = keys.shape[1]
    wider = max(0, 15 - dim) if keys.dtype == torch.float32 else 0  # thin products take longer
    key, value = pad(torch.cat([keys, shift[:, None]], 1), (0, wider)), pad(values, (0, 1 + wider))

    def mean(queries: torch.Tensor) -> torch.Tensor:
        query = pad(torch.cat([queries, queries.new_ones(len(queries), 1)], 1), (0, wider))
        heads = (points[None, None] for points in (query, key, value))  # a head of a batch: else nothing is fused
        return torch.nn.functional.scaled_dot_product_attention(*heads, scale=_BINARY)[0, 0, :, :dim]

    return mean
