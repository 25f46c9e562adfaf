"""What both kinds of Gaussian mixture share: their weights, and how they compute."""

import contextlib

import torch
from torch.autograd import forward_ad

from notes import _arguments as check


def shares(weights, means):
    """The weights of a mixture with these means (K, d), normalised and in their dtype; equal where None."""
    if weights is None:
        weights = means.new_ones(len(means))
    weights = check.floating("weights", weights, like=means)
    if weights.shape != means.shape[:1]:
        raise ValueError(f"weights must have shape ({len(means)},), got {tuple(weights.shape)}")
    check.finite("weights", weights)
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative, got {weights.min().item()}")
    if weights.max() == 0:
        raise ValueError("weights must not all be zero")
    share = weights.double() / weights.detach().max().double()  # large ones would overflow in their sum
    return (share / share.sum()).to(means.dtype)


def components(weights, n, generator):
    """Which component each of n draws is of: (n,)."""
    # In float64 each of ten million weights counts; from the right, so that none that is zero is met.
    upto = weights.detach().double().cumsum(0)
    at = torch.rand(n, generator=generator, dtype=torch.float64, device=weights.device) * upto[-1]
    return torch.searchsorted(upto, at, right=True)


def is_differentiated(tensor: torch.Tensor) -> bool:
    """Whether a derivative with respect to it may be asked for: backward, or forward."""
    return (tensor.requires_grad and torch.is_grad_enabled()) or forward_ad.unpack_dual(tensor).tangent is not None


def full_precision(device: torch.device) -> contextlib.AbstractContextManager:
    """A context without autocast."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
