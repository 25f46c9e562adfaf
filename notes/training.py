"""One loop that trains any model by any objective."""

import math
import os
import warnings

import torch
from tqdm.auto import tqdm

from notes import _arguments as check


@torch.enable_grad()
def train(model, loss, n_steps, *, data, batch_size=512, lr=5e-3, generator=None, callback=None):
    r"""Train a model by stochastic gradient descent on an objective: Adam, its rate falling to zero along a cosine.

    .. math:: \text{rate}(k) = \text{lr} \cdot \tfrac12 \Bigl(1 + \cos \frac{\pi k}{\text{n\_steps}}\Bigr)

    for k = 0, 1, … Ctrl-C ends it early, with a warning, the model as far as it got and the losses so far.

    Parameters
    ----------
    model : a torch.nn.Module, trained in place.
    loss : called in each step as ``loss(model, x, generator=generator)`` with a batch x (batch_size, d); returns a
        0-dim tensor. An objective without chance in it takes ``generator`` and ignores it.
    n_steps : steps, each on a fresh batch.
    data : (M, d), finite, of which rows are drawn with replacement; or anything with ``sample(n, generator)``.
    batch_size, lr : rows of a batch; the rate of the first step.
    generator : of the batches, passed on to the loss. With one, equal arguments give equal weights; None is torch's
        default one.
    callback : called after each step as ``callback(step, loss)``, step from 1, loss a number.

    Returns
    -------
    (n_steps,) : the loss on each step's batch, before the step.

    Raises
    ------
    ValueError, TypeError : bad input, by name.
    FloatingPointError : a loss or a gradient that is not finite, with the step; the model then has the weights with
        which the last finite loss was computed.

    Sources: Kingma & Ba (2015), arXiv 1412.6980; Loshchilov & Hutter (2017), arXiv 1608.03983, for the cosine.

    Example
    -------
    >>> from functools import partial
    >>> import torch
    >>> from notes.networks import ScoreNetwork
    >>> from notes.score_matching import denoising
    >>> from notes.training import train
    >>> generator = torch.Generator().manual_seed(0)
    >>> data = torch.randn(1_000, 1, generator=generator)
    >>> model = ScoreNetwork(1, width=16, generator=generator)
    >>> loss = partial(denoising, sigma=0.5)
    >>> losses = train(model, loss, 200, data=data, generator=generator)
    >>> (losses[-50:].mean() < losses[:50].mean()).item()
    True
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model must have parameters to train, got none that requires a gradient")
    check.function("loss", loss)
    if callback is not None:
        check.function("callback", callback)
    n_steps, batch_size = check.count("n_steps", n_steps), check.count("batch_size", batch_size)
    lr = check.representable("lr", check.positive("lr", lr), parameters[0])
    check.on_device(generator, parameters[0].device)
    batch = _batches(data, batch_size, generator)
    adam = torch.optim.Adam(parameters, lr=lr, fused=True)
    losses = []
    kept = [tensor.clone() for tensor in _state(model)]
    # In a notebook and a terminal only; and not where tqdm is switched off, as in a build of the book.
    quiet = True if os.environ.get("TQDM_DISABLE") else None
    progress = tqdm(range(1, n_steps + 1), desc="training", unit="step", leave=False, disable=quiet)
    try:
        for step in progress:
            value = loss(model, batch(), generator=generator)
            number = _number(value)
            if not math.isfinite(number):
                _copy(kept, _state(model))
                raise FloatingPointError(f"the loss became {number} {_where(step, n_steps, lr)}")
            losses.append(number)
            _copy(_state(model), kept)
            adam.param_groups[0]["lr"] = 0.5 * lr * (1 + math.cos(math.pi * (step - 1) / n_steps))
            adam.zero_grad()
            value.backward()
            size = torch.nn.utils.clip_grad_norm_(parameters, math.inf)  # clips nothing, and tells the norm
            if not torch.isfinite(size):
                raise FloatingPointError(f"the gradient became {size:g} {_where(step, n_steps, lr)}")
            adam.step()
            if callback is not None:
                callback(step, number)
    except KeyboardInterrupt:
        warnings.warn(f"training was interrupted after {len(losses)} of {n_steps} steps", stacklevel=3)
    finally:
        progress.close()
    return torch.tensor(losses, dtype=parameters[0].dtype)


def _batches(data, batch_size, generator):
    """A function that draws a batch."""
    if hasattr(data, "sample"):
        return lambda: data.sample(batch_size, generator)
    check.finite("data", check.points("data", data))
    if len(data) == 0:
        raise ValueError(f"data must have at least one row, got shape {tuple(data.shape)}")
    return lambda: data[torch.randint(len(data), (batch_size,), generator=generator, device=data.device)]


def _number(value):
    if not isinstance(value, torch.Tensor) or value.ndim > 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(f"loss must return a 0-dim tensor, got {got}")
    if not value.requires_grad:
        raise ValueError("loss must depend on the model's parameters, got one without a gradient")
    return value.item()


def _where(step, n_steps, lr):
    return (
        f"at step {step} of {n_steps} with lr={lr:g}; the model has the weights of the last finite loss. "
        "A smaller lr helps where the loss grew before"
    )


def _state(model):
    return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]


def _copy(source, target):
    for old, new in zip(source, target, strict=True):
        new.copy_(old)
