"""Derivatives that two codes of one formula are compared by."""

import torch


def first_and_second(function, values):
    """The derivatives of a function of tensors in each of them, and those of a mixture of all these."""
    leaves = [value.clone().requires_grad_() for value in values]
    first = torch.autograd.grad(function(*leaves).sin().sum(), leaves, create_graph=True)
    return first + torch.autograd.grad(sum(value.cos().sum() for value in first), leaves)
