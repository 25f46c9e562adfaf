"""The figures of the chapter on noise scales."""

import functools
import math

import numpy as np
import torch
from matplotlib.figure import Figure

from notes import diffusion, plots, score_matching
from notes.figures.cast import EXTENT, LINE, MOONS, PLANE, arrow_field, line_axes, seeded, watershed
from notes.mixtures import GaussianMixture
from notes.networks import NoiseConditionalNetwork
from notes.training import train

__all__ = [
    "field",
    "weights",
    "ladder",
    "samplers",
    "paths",
    "likelihood",
]

ENDS = 4.0, 0.05  # of the ladder: the distance of the two modes, and a quarter of the narrower one


def trained(density: GaussianMixture, n_steps: int = 2_000, seed: int = 1) -> NoiseConditionalNetwork:
    """The field of two arguments that the chapter learns of LINE or PLANE, at all noise scales between the ENDS."""
    generator = seeded(seed)
    network = NoiseConditionalNetwork(density.dim, generator=generator)
    loss = functools.partial(score_matching.denoising_over_scales, sigmas=ENDS)
    train(network, loss, n_steps, data=density, generator=generator)
    return network.requires_grad_(False)


learned = functools.cache(trained)


# The field and its weight (fig-noise-field, fig-noise-weights).


# The ladder (fig-noise-ladder).


# Samplers side by side (fig-noise-samplers).


# Flow and diffusion on the line (fig-noise-paths).


# Likelihood (fig-noise-likelihood).
