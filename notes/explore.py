"""One figure, two places: a function of its controls becomes a live widget, or a figure of the website."""

import base64
import dataclasses
import functools
import html
import inspect
import io
import itertools
import math
import numbers
import os
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

from notes import _numbers as check
from notes._extras import needs
from notes._mime import FIGURE as MIME

with needs("figures"):
    import ipywidgets
    from IPython.display import display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

__all__ = ["play", "explore", "default_and_neighbours", "png", "webp"]

SITE_VARIABLE = "NOTES_SITE"  # set by a build of the site while it executes the chapters
MOST_FRAMES = 120  # of one figure on the website: some 5 MB, and twenty seconds of the build


@dataclasses.dataclass(frozen=True)
class play:
    """A slider with a play button, over start, start + step, … up to and including stop.

    Parameters
    ----------
    start, stop : float
        The first value and the last.
    step : float
        Positive, and a whole number of them leads from one to the other.
    label : callable, optional
        From a value to its words, as they stand beside the slider; without it the number itself.
    starts : bool
        Whether, on the website, it plays once by itself when its picture is in view.

    Raises
    ------
    TypeError, ValueError
        What is no number; a step that does not lead from start to stop; a label that is no function, or returns no
        words.

    Examples
    --------
    >>> from notes.explore import play
    >>> play(0, 1, 0.25).values
    [0, 0.25, 0.5, 0.75, 1]
    >>> play(0, 1, 0.5, label="{:.0%}".format).labels
    ['0%', '50%', '100%']
    """

    start: float
    stop: float
    step: float = 1
    label: Callable[[float], str] | None = dataclasses.field(default=None, kw_only=True)
    starts: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self):
        for name in ("start", "stop", "step"):
            check.real(f"{name} of play", getattr(self, name))
        if not (self.label is None or callable(self.label)):
            kind = type(self.label).__name__
            raise TypeError(f"label of play must be a function from a value to its words, got {kind} {self.label!r}")
        if not isinstance(self.starts, bool):
            raise TypeError(f"starts of play must be True or False, got {self.starts!r}")
        steps = (self.stop - self.start) / self.step if self.step > 0 else 0
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"play needs start < stop and a positive step that leads from one to the other, "
                f"got play({self.start}, {self.stop}, {self.step})"
            )

    @property
    def values(self) -> list[float]:
        n_steps = round((self.stop - self.start) / self.step)
        digits = 12 - math.floor(math.log10(self.step))  # so that 3 · 0.1 is the 0.3 that an author writes
        inner = [round(self.start + i * self.step, digits) for i in range(1, n_steps)]
        return [self.start, *inner, self.stop]

    @property
    def labels(self) -> list[str]:
        labels = [_label(value) if self.label is None else self.label(value) for value in self.values]
        for value, label in zip(self.values, labels, strict=True):
            if not isinstance(label, str):
                raise TypeError(f"label of play must return words, got {type(label).__name__} {label!r} for {value}")
        return labels


@dataclasses.dataclass(frozen=True)
class _Control:
    name: str
    kind: str  # range, choice, play or checkbox
    labels: list
    values: list
    default: int
    starts: bool = False

    @property
    def title(self):
        return " ".join(map(_letter, self.name.split("_")))

    @property
    def interval(self):
        """Milliseconds from one frame of a play to the next: 15 a second, and less often where there are few frames."""
        return round(1000 / min(15, max(4, len(self.values) / 2)))

    @property
    def moves(self):
        """The values that one move leads to from the default: another choice, or the next stop on either side."""
        others = [at for at in range(len(self.values)) if at != self.default]
        return others if self.kind == "choice" else [at for at in others if abs(at - self.default) == 1]

    def for_site(self):
        described = {key: getattr(self, key) for key in ("name", "title", "kind", "labels", "default")}
        return described | ({"interval": self.interval, "starts": self.starts} if self.kind == "play" else {})


def explore(figure: Callable[..., Figure], /, *, alt: str, **controls: Any) -> None:
    """Show ``figure(**values)`` under controls for its parameters, live in a notebook and on the website.

    The default frame is drawn at once and outside any callback, so that a figure that raises fails its cell.

    Parameters
    ----------
    figure : callable
        A pure function that returns a Matplotlib Figure; the defaults of its parameters are the first state.
    alt : str
        What is seen in the default state, for those who do not see it.
    **controls : list, dict, bool or play
        By parameter, after ``ipywidgets.interact``:

        * a list of numbers is a slider over them, any other list a row of buttons that are all seen;
        * a dict is a row of buttons with its keys' names; where its values are numbers that rise or fall and some key
          holds a digit, as in ``{"1 step": 1, "10³ steps": 1000}``, they are the stops of a slider;
        * a bool is a checkbox;
        * ``play(start, stop, step)`` is a slider with a play button.

    Raises
    ------
    TypeError, ValueError
        A control that the figure has no parameter for, that is of another kind, that has fewer than two values, or
        whose values lack the figure's default; in a build of the site also one that changes nothing.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from notes.explore import explore
    >>> def line(slope=1.0):
    ...     figure = Figure()
    ...     figure.subplots().plot([0, 1], [0, slope])
    ...     return figure
    >>> explore(line, slope=[0.5, 1.0, 2.0], alt="A rising line")
    A rising line
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("alt must say what is seen in the figure's default state")
    controls = _controls(figure, controls)
    draw = _drawn_once(figure, controls)
    default = tuple(c.default for c in controls)
    first = draw(default)
    if os.environ.get(SITE_VARIABLE):
        display(_for_site(figure, controls, draw, default, alt), raw=True)
    else:
        display(_Live(controls, draw, default, alt).bundle(first), raw=True)


def default_and_neighbours(figure: Callable[..., Figure], controls: dict[str, Any]) -> list[bytes]:
    """The frames of a figure's default state and of those that are one move of a control away."""
    controls = _controls(figure, controls)
    draw = _drawn_once(figure, controls)
    return [draw(tuple(c.default for c in controls)), *(draw(state) for _, state in _neighbours(controls))]


def _drawn_once(figure, controls):
    """Draws the frame of a state, a tuple of indices."""

    @functools.cache
    def draw(state):
        return png(figure(**{c.name: c.values[i] for c, i in zip(controls, state, strict=True)}))

    return draw


def _neighbours(controls):
    """The states that are one move of a control away from the defaults, each with that control."""
    default = tuple(c.default for c in controls)
    for position, control in enumerate(controls):
        for at in control.moves:
            yield control, (*default[:position], at, *default[position + 1 :])


def png(figure: Figure) -> bytes:
    """A Matplotlib Figure as the bytes of an 8-bit palette PNG: the same figure, the same bytes."""
    if not isinstance(figure, Figure):
        raise TypeError(f"a figure function must return a matplotlib Figure, got {type(figure).__name__}")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer("RGBA", canvas.get_width_height(physical=True), canvas.buffer_rgba()).convert("RGB")
    paper = picture.getpixel((0, 0))
    if "matplotlib.pyplot" in sys.modules:  # a figure that pyplot made would be shown a second time at the cell's end
        sys.modules["matplotlib.pyplot"].close(figure)
    picture = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # The palette's nearest to the paper is a shade off: the corner's own colour takes its place.
    palette, at = picture.getpalette(), 3 * picture.getpixel((0, 0))
    palette[at : at + 3] = paper
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def webp(frame: bytes) -> bytes:
    """The pixels of a PNG as a lossless WebP, four fifths of its bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(frame)).convert("RGB").save(buffer, "webp", lossless=True, method=4)
    return buffer.getvalue()


def _controls(figure, controls):
    if not callable(figure):
        raise TypeError(f"figure must be a function that returns a Figure, got {type(figure).__name__}")
    if not controls:
        raise ValueError("explore needs at least one control: a figure of this book moves")
    parameters = inspect.signature(figure).parameters
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in controls and parameter.kind not in (2, 4):
            raise TypeError(f"{_name(figure)} needs a value for {name!r}: give it a default or a control")
    return [_control(figure, parameters, name, given) for name, given in controls.items()]


def _name(figure):
    return getattr(figure, "__name__", repr(figure))


def _function(figure):
    """The function behind partial ones."""
    while isinstance(figure, functools.partial):
        figure = figure.func
    return figure


def _where(figure):
    """The module of a figure function and its name there."""
    figure = _function(figure)
    return [getattr(figure, "__module__", ""), getattr(figure, "__qualname__", "")]


def _control(figure, parameters, name, given):
    if name not in parameters:
        raise TypeError(f"{_name(figure)} has no parameter {name!r}; it has {', '.join(parameters) or 'none'}")
    if isinstance(given, bool):
        kind, labels, values = "checkbox", ["off", "on"], [False, True]
    elif isinstance(given, play):
        kind, labels, values = "play", given.labels, given.values
    elif isinstance(given, dict):
        labels, values = [str(label) for label in given], list(given.values())
        kind = "range" if _are_stops(labels, values) else "choice"
    elif isinstance(given, list):
        kind, labels, values = "range" if _are_numbers(given) else "choice", [_label(v) for v in given], given
    else:
        raise TypeError(f"control {name!r} must be a list, a dict, a bool or play(…), got {type(given).__name__}")
    if len(values) < 2:
        raise ValueError(f"control {name!r} needs at least two values, got {len(values)}: with fewer, nothing moves")
    if len(set(labels)) < len(labels):
        raise ValueError(f"control {name!r} has two values with one label: {', '.join(labels)}")
    control = _Control(name, kind, labels, values, 0, kind == "play" and given.starts)
    default = parameters[name].default
    if default is inspect.Parameter.empty:
        return dataclasses.replace(control, default=int(given) if kind == "checkbox" else 0)
    matches = [i for i, value in enumerate(values) if _same(value, default)]
    if not matches:
        raise ValueError(
            f"control {name!r} lacks the default of {_name(figure)}, {default!r}, among {', '.join(labels)}"
        )
    return dataclasses.replace(control, default=matches[0])


def _letter(word):
    """A Greek letter for its name, as the chapters write it; any other word as it is."""
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {word}")
    except KeyError:
        return word


def _are_numbers(values):
    return all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values)


def _are_stops(labels, values):
    """Whether a dict is a scale: numbers in order, of which the labels tell."""
    if not _are_numbers(values) or not any(character.isnumeric() for label in labels for character in label):
        return False
    steps = [after - before for before, after in itertools.pairwise(values)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def _same(value, default):
    try:
        return value is default or bool(value == default)
    except (RuntimeError, ValueError):  # arrays compare entry by entry: they are the same only where they are one
        return False


def _label(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}".replace("-", "−") if isinstance(value, numbers.Real) else str(value)


def _for_site(figure, controls, draw, default, alt):
    states = list(itertools.product(*(range(len(c.values)) for c in controls)))
    if len(states) > MOST_FRAMES:
        sizes = " × ".join(str(len(c.values)) for c in controls)
        raise ValueError(f"{sizes} = {len(states)} frames are too many for a web figure: at most {MOST_FRAMES}")
    for control, state in _neighbours(controls):
        if draw(state) == draw(default):
            moved = control.labels[state[controls.index(control)]]
            raise ValueError(
                f"control {control.name!r} is dead: from the defaults, {control.labels[control.default]!r} to "
                f"{moved!r} changes no pixel. Choose defaults at which every control shows"
            )
    frames = [base64.b64encode(webp(draw(state))).decode() for state in states]
    width, height = Image.open(io.BytesIO(draw(default))).size
    return {
        "text/plain": alt,
        "image/png": base64.b64encode(draw(default)).decode(),
        MIME: {
            "alt": alt,
            "width": width,
            "height": height,
            "function": _where(figure),
            "controls": [c.for_site() for c in controls],
            "opens": _addresses(figure, controls, states),
            "frames": frames,
        },
    }


def _addresses(figure, controls, states):
    """Where the figure leads from each state, if anywhere: the addresses, each once, and which of them by state."""
    defaults = {name: p.default for name, p in inspect.signature(figure).parameters.items()}
    address = getattr(_function(figure), "address", None)
    if not address:
        return None
    chosen = ({c.name: c.values[i] for c, i in zip(controls, state, strict=True)} for state in states)
    addresses = [address(**defaults | values) for values in chosen]
    each = list(dict.fromkeys(addresses))
    return {"addresses": each, "at": [each.index(address) for address in addresses]}


class _Live:
    """The figure in a live kernel. The front end holds back a slider's moves while one of them is at work here, and
    then sends the last: so drawing in the callback, in order, is what makes the latest request win."""

    def __init__(self, controls, draw, default, alt):
        self.controls, self.draw, self.alt = controls, draw, alt
        self.state = list(default)
        # Without a tooltip: on a widget that has no description the front end would throw, and show no picture.
        self.image = ipywidgets.Image(format="png", layout={"width": "100%", "max_width": "680px"})
        self.message = ipywidgets.HTML()
        rows = [self._row(position, control) for position, control in enumerate(controls)]
        self.box = ipywidgets.VBox([self.image, *rows, self.message])

    def bundle(self, first):
        """The widget, with the default frame for every reader that has no kernel to ask."""
        self.image.value = first
        return self.box._repr_mimebundle_() | {"image/png": base64.b64encode(first).decode(), "text/plain": self.alt}

    def _row(self, position, control):
        named, style = {"description": control.title, "tooltip": control.title}, {"description_width": "initial"}
        if control.kind == "checkbox":
            widget = ipywidgets.Checkbox(value=control.values[control.default], **named, indent=False)
            widget.observe(lambda change: self._move(position, int(change["new"])), "value")
            return widget
        options = {"options": control.labels, "index": control.default}
        if control.kind == "choice":
            style["button_width"] = "auto"  # wide enough for its name
            widget = ipywidgets.ToggleButtons(**options, **named, style=style)
        else:
            wide = {"width": "100%", "max_width": "480px"}
            widget = ipywidgets.SelectionSlider(**options, **named, style=style, layout=wide)
        widget.observe(lambda change: self._move(position, change["new"]), "index")
        if control.kind != "play":
            return widget
        button = ipywidgets.Play(
            min=0,
            max=len(control.values) - 1,
            value=control.default,
            interval=control.interval,
            tooltip=f"play {control.title}",
        )
        ipywidgets.jslink((button, "value"), (widget, "index"))
        return ipywidgets.HBox([button, widget])

    def _move(self, position, index):
        self.state[position] = index
        try:
            self.image.value = self.draw(tuple(self.state))
            self.message.value = ""
        except Exception as error:  # shown where the reader looks; the picture stays and the next move works
            chosen = ", ".join(f"{c.title} {c.labels[i]}" for c, i in zip(self.controls, self.state, strict=True))
            reason = html.escape(f"{type(error).__name__}: {error}")
            self.message.value = f"<b>No picture for {html.escape(chosen)}.</b> {reason}"
