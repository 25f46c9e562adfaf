"""Sampling with a score: what the book computes with.

Nothing is re-exported: import from the module that does the work, such as
``from notes.mixtures import GaussianMixture``. Importing has no side effect.
"""

__version__ = "0.2.0"
