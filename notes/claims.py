"""A statement of the book, measured where it stands: shown to the reader, and enforced."""

import html
import math

from notes import _numbers as check
from notes._extras import needs
from notes._mime import CLAIM as MIME

with needs("figures"):
    from IPython.display import display


def claim(statement, measured, expected, *, rtol=0.0, atol=0.0, error=None):
    r"""Show that a measurement agrees with what is expected of it, and raise when it does not.

    .. math:: \lvert m - e \rvert \le \text{atol} + \text{rtol} \cdot \lvert e \rvert

    is what holds, with m for ``measured`` and e for ``expected``.

    Parameters
    ----------
    statement : what is claimed, one plain sentence.
    measured, expected : numbers or 0-dim tensors, both finite.
    rtol, atol : the tolerance, relative to ``expected`` and absolute; at least 5 standard errors of the measurement.
    error : the standard error of ``measured``, where it is random; shown, and held to the line above.

    Raises
    ------
    AssertionError : the claim does not hold, or a number is not finite.
    ValueError : an empty statement, a negative tolerance, or one below 5 standard errors: it would fail by chance.

    Example
    -------
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
    tolerance = atol + rtol * abs(expected)
    if error is not None and check.non_negative("error", error) * 5 > tolerance * (1 + 1e-9):
        raise ValueError(
            f"{statement}: a tolerance of {tolerance:.2g} is below 5 standard errors of {float(error):.2g}"
        )
    fails = abs(measured - expected) > tolerance
    digits = 4
    while fails and _text(measured, digits) == _text(expected, digits):
        digits += 1  # a failure shows where the two differ
    data = {
        "statement": statement,
        "measured": _text(measured, digits) + (f" ± {_text(float(error), 2)}" if error is not None else ""),
        "expected": _text(expected, digits),
        "tolerance": _tolerance(rtol, atol),
    }
    line = "{statement}: measured {measured}, expected {expected}, tolerance {tolerance}".format(**data)
    if fails:
        raise AssertionError(line)
    display({"text/plain": "✓ " + line, "text/html": as_html(data), MIME: data}, raw=True)


def as_html(data, anchor=None, listed=None):
    """One quiet line; it needs no style sheet, so that JupyterLab shows it as the site does.

    On the site it has an anchor, and its tick leads to where it is listed.
    """
    data = {key: html.escape(value) for key, value in data.items()}
    place = f' id="{html.escape(anchor)}"' if anchor else ""
    tick = '<span aria-hidden="true">✓</span>'
    if listed:
        tick = f'<a href="{html.escape(listed)}" aria-label="Among all claims">✓</a>'
    return (
        f'<div class="claim"{place}>{tick} {data["statement"]}: measured <b>{data["measured"]}</b>, '
        f"expected <b>{data['expected']}</b> <small>(tolerance {data['tolerance']})</small></div>"
    )


def as_link(data, uri):
    """A claim quoted elsewhere: its statement and its numbers, as a link to where it was measured."""
    data = {key: html.escape(value) for key, value in {**data, "uri": uri}.items()}
    return (
        '<a class="claim-quote reference internal" href="{uri}">{statement} '
        "<small>(measured {measured}, expected {expected})</small></a>"
    ).format(**data)


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
