"""One loop that trains any model by any objective."""

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from notes import _arguments as check
from notes._progress import progress
from notes._threads import one_thread, work_of

__all__ = ["train"]


class _Adam(torch.optim.Adam):
    """PyTorch's own, less the guards for its compiler: their import takes longer than many a training."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def train(
    model: torch.nn.Module,
    loss: Callable[..., Tensor],
    n_steps: int,
    *,
    data: Any,
    batch_size: int = 512,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
    callback: Callable[[int, float], Any] | None = None,
) -> Tensor:
    r"""Train a model by stochastic gradient descent on an objective: Adam, its rate falling to zero along a cosine.

    .. math:: \text{rate}(k) = \text{lr} \cdot \tfrac12 \Bigl(1 + \cos \frac{\pi k}{\text{n\_steps}}\Bigr)

    for k = 0, 1, … Ctrl-C ends it early, with a warning, the model as far as it got and the losses so far. The
    parameters' ``grad`` is theirs again afterwards; the mode of the model, training or evaluation, is the caller's.

    ``generator`` decides the batches and what the loss draws with it, such as noise. Chance in the model itself, such
    as dropout, follows PyTorch's global seed: ``torch.manual_seed`` before the call makes that the same again.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place: what of its parameters requires a gradient, all of that in float32 or float64. In lower
        precision small steps are lost; ``torch.autocast`` around the call computes in it all the same.
    loss : callable
        Called in each step as ``loss(model, x, generator=generator)`` with a batch x (batch_size, d); returns a 0-dim
        tensor. Each objective of :mod:`notes.score_matching` is one, or a ``partial`` of it.
    n_steps : int
        Steps, each on a fresh batch.
    data : (M, d) Tensor or anything with ``sample(n, generator)``
        Finite rows, drawn with replacement; or what draws a batch. Constants: no gradient flows to them.
    batch_size : int
        Rows of a batch.
    lr : float
        The rate of the first step.
    generator : torch.Generator, optional
        Of the batches, passed on to the loss. With one, equal arguments give equal weights; None is torch's default
        one.
    callback : callable, optional
        Called after each step as ``callback(step, loss)``, step from 1, loss a number.

    Returns
    -------
    (n_steps,) Tensor
        The loss on each step's batch, before the step.

    Raises
    ------
    ValueError
        Bad input, by name; a loss that does not depend on the parameters.
    TypeError
        Input of another kind, by name.
    FloatingPointError
        A loss or a gradient that is not finite, with the step; the model then has the weights and buffers of the last
        update.

    References
    ----------
    Kingma & Ba (2015), https://arxiv.org/abs/1412.6980; Loshchilov & Hutter (2017), https://arxiv.org/abs/1608.03983,
    for the cosine.

    Examples
    --------
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
    parameters = _parameters(model)
    check.function("loss", loss)
    if callback is not None:
        check.function("callback", callback)
    n_steps, batch_size = check.count("n_steps", n_steps), check.count("batch_size", batch_size)
    lr = check.representable("lr", check.positive("lr", lr), parameters[0])
    check.on_device(generator, parameters[0].device)
    batch = _batches(data, batch_size, generator)
    before = [parameter.grad for parameter in parameters]
    buffered = any(True for _ in model.buffers())
    losses = []
    steps = progress(range(1, n_steps + 1), "training")
    try:
        with torch.inference_mode(False), torch.enable_grad():
            adam = _Adam(parameters, lr=lr, fused=True)
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps)
            for step in steps:
                buffers = [buffer.clone() for buffer in model.buffers()] if buffered else []
                where = (
                    f"at step {step} of {n_steps} with lr={lr:g}; the model has the weights of the last update. "
                    "A smaller lr helps where the loss grew before"
                )
                try:
                    losses.append(_step(model, loss, batch(), generator, parameters, adam, where))
                except BaseException:  # with the weights of the last update go its buffers
                    for buffer, kept in zip(model.buffers(), buffers, strict=False):
                        buffer.data.copy_(kept)
                    raise
                cosine.step()
                if callback is not None:
                    callback(step, losses[-1])
    except KeyboardInterrupt:
        warnings.warn(f"training was interrupted after {len(losses)} of {n_steps} steps", stacklevel=2)
    finally:
        steps.close()
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
    return torch.tensor(losses, dtype=parameters[0].dtype)


def _step(model, loss, x, generator, parameters, adam, where):
    """One update of the parameters. Returns the loss before it."""
    torch.clear_autocast_cache()  # or autocast computes with the weights of the first step
    value = loss(model, x, generator=generator)
    number = _number(value)
    if not math.isfinite(number):
        raise FloatingPointError(f"the loss became {number} {where}")
    for parameter in parameters:
        parameter.grad = None
    with one_thread(work_of(model, len(x))):
        value.backward(inputs=parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        raise ValueError("loss must depend on the model's parameters, got one without a gradient in them")
    with one_thread(sum(gradient.numel() for gradient in gradients)):
        size = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).sum()
        if not torch.isfinite(size):
            raise FloatingPointError(f"the gradient became {size:g} {where}")
        adam.step()
    return number


def _parameters(model):
    """What is trained of a model."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("model must have parameters to train, got none that requires a gradient")
    for parameter in parameters:
        if parameter.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"model must have its parameters in float32 or float64 to train, got {parameter.dtype}")
        if parameter.is_inference():
            raise ValueError("model must be made outside torch.inference_mode to train, got parameters made in it")
    return parameters


def _batches(data, batch_size, generator):
    """A function that draws a batch: constants, whose layout in memory is always the same."""
    if hasattr(data, "sample"):

        def draw():
            return check.points("what data.sample returns", data.sample(batch_size, generator))

    else:
        check.finite("data", check.points("data", data))
        if len(data) == 0:
            raise ValueError(f"data must have at least one row, got shape {tuple(data.shape)}")

        def draw():
            return data[torch.randint(len(data), (batch_size,), generator=generator, device=data.device)]

    return lambda: draw().detach().clone(memory_format=torch.contiguous_format)


def _number(value):
    if not isinstance(value, Tensor) or value.ndim > 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"loss must return a 0-dim tensor, got {got}")
    if not value.requires_grad:
        raise ValueError("loss must depend on the model's parameters, got one without a gradient")
    return value.item()
