"""A statement of the book, measured where it stands: shown to the reader, and enforced."""

import dataclasses
import html
import math
from typing import SupportsFloat

from notes import _numbers as check
from notes._extras import needs
from notes._mime import CLAIM as MIME

with needs("figures"):
    from IPython.display import display

__all__ = ["claim", "Claim"]


def claim(
    statement: str,
    measured: SupportsFloat,
    expected: SupportsFloat,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    error: SupportsFloat | None = None,
) -> None:
    r"""Show that a measurement agrees with what is expected of it, and raise when it does not.

    .. math:: \lvert m - e \rvert \le \text{atol} + \text{rtol} \cdot \lvert e \rvert

    is what holds, with m for ``measured`` and e for ``expected``.

    Parameters
    ----------
    statement : str
        What is claimed, one plain sentence.
    measured, expected : float or 0-dim Tensor
        Both finite, and from different code.
    rtol, atol : float
        The tolerance, relative to ``expected`` and absolute; at least 5 standard errors of the measurement, and less
        than the distance to the nearest wrong answer.
    error : float, optional
        The standard error of ``measured``, where it is random; shown, and held to the line above.

    Raises
    ------
    AssertionError
        The claim does not hold, or a number is not finite.
    ValueError
        An empty statement, a negative tolerance, or one below 5 standard errors: it would fail by chance.

    Examples
    --------
    >>> from notes.claims import claim
    >>> claim("The half of 3", 3 / 2, 1.5)
    ✓ The half of 3: measured 1.5, expected 1.5, tolerance none: exact
    >>> claim("π", 22 / 7, 3.14159, rtol=1e-4)
    Traceback (most recent call last):
    AssertionError: π: measured 3.143, expected 3.142, tolerance 0.01 %
    """
    if not isinstance(statement, str) or not statement.strip():
        raise ValueError(f"statement must be a sentence, got {statement!r}")
    rtol, atol = check.non_negative("rtol", rtol), check.non_negative("atol", atol)
    measured, expected = check.number("measured", measured), check.number("expected", expected)
    for name, number in [("measured", measured), ("expected", expected)]:
        if not math.isfinite(number):
            raise AssertionError(f"{statement}: {name} is {number}")
    error = None if error is None else check.non_negative("error", error)
    made = Claim(statement, measured, expected, rtol, atol, error)
    if error is not None and error * 5 > made.width * (1 + 1e-9):
        raise ValueError(f"{statement}: a tolerance of {made.width:.2g} is below 5 standard errors of {error:.2g}")
    if not made.holds:
        digits = 4
        while _text(measured, digits) == _text(expected, digits):
            digits += 1  # the failure shows where the two differ
        raise AssertionError(made.line(digits))
    bundle = {"text/plain": "✓ " + made.line(), "text/html": made.html(), MIME: dataclasses.asdict(made)}
    display(bundle, raw=True)


_TICK = '<span aria-hidden="true">✓</span>'
_FORMS = {  # the line needs no style sheet, so that JupyterLab shows it as the site does
    "line": '<div class="claim"{anchor}>{tick} {statement}: measured <b>{measured}</b>, expected <b>{expected}</b> '
    "<small>(tolerance {tolerance})</small></div>",
    "row": '<tr{anchor}><td><a href="{uri}">{statement}</a></td><td>{measured}</td><td>{expected}</td>'
    "<td>{tolerance}</td></tr>",
    "quote": '<a class="claim-quote reference internal" href="{uri}">{statement} '
    "<small>(measured {measured}, expected {expected})</small></a>",
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim as it was measured: what a cell's output holds of it, in numbers. Only here are they made words."""

    statement: str
    measured: float
    expected: float
    rtol: float
    atol: float
    error: float | None

    @property
    def width(self) -> float:
        """How far from the expected number the measured one may be."""
        return self.atol + self.rtol * abs(self.expected)

    @property
    def holds(self) -> bool:
        return abs(self.measured - self.expected) <= self.width

    def words(self, digits: int = 4) -> dict[str, str]:
        """What of it is shown, part by part."""
        spread = f" ± {_text(self.error, 2)}" if self.error is not None else ""
        return {
            "statement": self.statement,
            "measured": _text(self.measured, digits) + spread,
            "expected": _text(self.expected, digits),
            "tolerance": _tolerance(self.rtol, self.atol),
        }

    def line(self, digits: int = 4) -> str:
        shown = self.words(digits)
        return "{statement}: measured {measured}, expected {expected}, tolerance {tolerance}".format(**shown)

    def html(self, form: str = "line", *, anchor: str = "", uri: str = "") -> str:
        """It as a line in a notebook or on a page, as a row of a table, or as a quote.

        It may have an anchor. The address ``uri`` is where it stands; that of a line, where it is listed.
        """
        shown = {name: html.escape(words) for name, words in {**self.words(), "uri": uri, "anchor": anchor}.items()}
        tick = f'<a href="{shown["uri"]}" aria-label="Among all claims">✓</a>' if uri else _TICK
        shown["anchor"] = f' id="{shown["anchor"]}"' if anchor else ""
        return _FORMS[form].format(**shown, tick=tick)


def _text(number, digits=4):
    text = f"{number:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    if exponent:
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"{mantissa}·10{power}"
    return text.replace("-", "−")


def _tolerance(rtol, atol):
    parts = [f"{_text(100 * rtol)} %"] * (rtol > 0) + [_text(atol)] * (atol > 0)
    return " + ".join(parts) or "none: exact"
