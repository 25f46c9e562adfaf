"""Scenes of the playground: what its page opens with, and where the figures of the book lead.

A scene is a law in the plane and a walk on it, and its address opens it from elsewhere: so a figure that is made with
a law leads to the playground with that law in it.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import torch

from notes import _arguments as check
from notes.mixtures import GaussianMixture

__all__ = ["STARTS", "Scene", "opens"]

STARTS = ["white noise", "uniform", "one point", "p itself"]
_MOST = 100  # modes
_Figure = TypeVar("_Figure", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Scene:
    r"""A law in the plane, a start, and Langevin dynamics from there.

    .. math:: x \leftarrow x + \tau \nabla \log p_\sigma(x) + \sqrt{2 \tau T}\, z

    Parameters
    ----------
    law : GaussianMixture
        p, of at most 100 modes in the plane; one on the line is laid along the first axis of the plane.
    step_size : float
        τ > 0, in squared units of x.
    temperature : float
        T ≥ 0.
    sigma : float
        The noise σ ≥ 0 that smooths p, in units of x.
    start : str
        One of ``STARTS``; "one point" is the middle of the first mode.
    corrected : bool
        Whether Metropolis' correction accepts or refuses each step.

    Raises
    ------
    ValueError, TypeError
        Bad input, by name.

    Examples
    --------
    >>> from notes.mixtures import GaussianMixture
    >>> from notes.scenes import Scene
    >>> law = GaussianMixture([[2.0], [-2.0]], [0.5, 0.2], [0.6, 0.4])
    >>> Scene(law, step_size=0.05).address
    'modes=2,0,0.5,0.6;-2,0,0.2,0.4&tau=0.05&T=1&sigma=0&start=white+noise'
    """

    law: GaussianMixture
    step_size: float = dataclasses.field(default=0.01, kw_only=True)
    temperature: float = dataclasses.field(default=1.0, kw_only=True)
    sigma: float = dataclasses.field(default=0.0, kw_only=True)
    start: str = dataclasses.field(default="white noise", kw_only=True)
    corrected: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self):
        if not isinstance(self.law, GaussianMixture):
            raise TypeError(f"law must be a GaussianMixture, got {type(self.law).__name__}")
        if self.law.dim > 2 or len(self.law.weights) > _MOST:
            modes = f"{len(self.law.weights)} modes in {self.law.dim} dimensions"
            raise ValueError(f"law must have at most {_MOST} modes, on the line or in the plane, got {modes}")
        check.positive("step_size", self.step_size)
        check.non_negative("temperature", self.temperature)
        check.non_negative("sigma", self.sigma)
        if self.start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}, got {self.start!r}")

    @property
    def modes(self) -> list[tuple[float, float, float, float]]:
        """The modes as (x, y, s, w), place, standard deviation and weight."""
        law = self.law
        means = torch.nn.functional.pad(law.means, (0, 2 - law.dim))
        columns = [*means.T, law.stds.expand(len(law.weights)), law.weights]
        return [tuple(float(f"{value:.4g}") for value in mode) for mode in torch.stack(columns, 1).tolist()]

    @property
    def address(self) -> str:
        """The scene as it stands in the playground's address, behind the figure's name and a question mark."""
        settings = {"tau": self.step_size, "T": self.temperature, "sigma": self.sigma}
        values = {"modes": ";".join(",".join(f"{value:g}" for value in mode) for mode in self.modes)}
        values |= {name: f"{value:.4g}" for name, value in settings.items()}
        values |= {"start": self.start} | ({"corrected": "on"} if self.corrected else {})
        return urlencode(values, safe=",;")


def opens(scene: Callable[..., Scene]) -> Callable[[_Figure], _Figure]:
    """Decorator of a figure function: on the website the figure leads to the playground, with its law in it.

    Parameters
    ----------
    scene : callable
        The scene for values of the figure's controls: it takes, by name, those of its parameters that it depends on.

    Examples
    --------
    >>> from notes.mixtures import GaussianMixture
    >>> from notes.scenes import Scene, opens
    >>> @opens(lambda std: Scene(GaussianMixture([[0.0, 0.0]], std)))
    ... def figure(std=1.0, time=0): ...
    >>> figure.address(std=0.5, time=3)
    'modes=0,0,0.5,1&tau=0.01&T=1&sigma=0&start=white+noise'
    """
    names = inspect.signature(scene).parameters

    def with_address(figure: _Figure) -> _Figure:
        figure.address = lambda **values: scene(**{name: values[name] for name in names}).address
        return figure

    return with_address
