"""A claim shows what it measured, and stops the book where it does not hold."""

import html
import json
import math
import re

import numpy as np
import pytest
import torch
from conftest import displayed_by

from notes import claims
from notes.claims import claim

NAN, INF = math.nan, math.inf


@pytest.fixture
def shown(monkeypatch):
    """The bundles that were displayed."""
    return displayed_by(claims, monkeypatch)


@pytest.mark.parametrize(
    ("measured", "expected", "tolerance"),
    [
        (1.01, 1.0, {"rtol": 0.02}),
        (0.99, 1.0, {"rtol": 0.02}),
        (-1.01, -1.0, {"rtol": 0.02}),
        (0.3, 0.0, {"atol": 0.5}),
        (1.0, 1.0, {}),
        (0, 0, {"rtol": 0.1}),
        (torch.tensor(1.01), torch.tensor(1.0, dtype=torch.float64), {"rtol": 0.02}),
        (np.float64(1.01), np.float32(1.0), {"rtol": 0.02}),
        (1.01, 1, {"rtol": torch.tensor(0.02)}),
    ],
)
def test_what_holds_is_shown_once(shown, measured, expected, tolerance):
    assert claim("It holds", measured, expected, **tolerance) is None
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("measured", "expected", "tolerance"),
    [
        (1.03, 1.0, {"rtol": 0.02}),
        (0.97, 1.0, {"rtol": 0.02}),
        (-1.03, -1.0, {"rtol": 0.02}),
        (1.0, -1.0, {"rtol": 0.5}),
        (0.6, 0.0, {"atol": 0.5}),
        (1e-12, 0.0, {"rtol": 0.1}),
        (math.nextafter(1.0, 2), 1.0, {}),
    ],
)
def test_what_does_not_hold_raises_and_is_not_shown(shown, measured, expected, tolerance):
    with pytest.raises(AssertionError, match=r"It holds: measured .* expected .* tolerance"):
        claim("It holds", measured, expected, **tolerance)
    assert shown == []


def test_the_tolerance_is_the_sum_of_both_and_reaches_its_boundary(shown):
    # 0.5 + 0.25 · 8 = 2.5, all exact in binary.
    for expected, end, beyond in [(8.0, 10.5, INF), (8.0, 5.5, -INF), (-8.0, -10.5, -INF), (-8.0, -5.5, INF)]:
        claim("At the boundary", end, expected, rtol=0.25, atol=0.5)
        with pytest.raises(AssertionError):
            claim("Just beyond", math.nextafter(end, beyond), expected, rtol=0.25, atol=0.5)
    assert len(shown) == 4


def test_the_relative_tolerance_is_relative_to_what_is_expected():
    with pytest.raises(AssertionError):
        claim("Not to what is measured", 2.0, 1.0, rtol=0.75)


@pytest.mark.parametrize(
    ("measured", "expected"), [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (INF, INF), (1.0, -INF), (INF, 1.0)]
)
def test_numbers_that_are_not_finite_fail_whatever_the_tolerance(shown, measured, expected):
    with pytest.raises(AssertionError, match=r"It is finite: (measured|expected) is (nan|inf|-inf)"):
        claim("It is finite", measured, expected, rtol=1e9, atol=1e9)
    assert shown == []


def test_a_tolerance_below_five_standard_errors_is_refused(shown):
    claim("At five", 1.0, 1.0, atol=0.5, error=0.1)
    claim("At five in relation", 2.0, 2.0, rtol=0.25, error=0.1)
    claim("At five in sum", 2.0, 2.0, rtol=0.125, atol=0.25, error=0.1)
    assert len(shown) == 3
    for tolerance in ({"atol": 0.499}, {"rtol": 0.2495}, {}):
        with pytest.raises(ValueError, match=r"Below five.*5 standard errors"):
            claim("Below five", 2.0, 2.0, **tolerance, error=0.1)
    assert len(shown) == 3


def test_the_error_does_not_widen_the_tolerance():
    with pytest.raises(AssertionError):
        claim("Outside", 1.51, 1.0, atol=0.5, error=0.1)


def stored(bundle):
    """The claim that a build finds in a cell's output."""
    return claims.Claim(**json.loads(json.dumps(bundle[claims.MIME])))


def words(bundle):
    return stored(bundle).words()


def test_everything_is_shown_in_each_format(shown):
    claim("The variance is 1.053", 1.04912, 1.0526, rtol=0.02, atol=0.001, error=0.0031)
    (bundle,) = shown
    assert set(bundle) == {"text/plain", "text/html", claims.MIME}
    for text in (bundle["text/plain"], html.unescape(bundle["text/html"])):
        for part in ("✓", "The variance is 1.053", "1.049", "± 0.0031", "tolerance 2 % + 0.001"):
            assert part in text
    # Rounding to four digits: 1.0526 is 1.053.
    assert "expected 1.053" in bundle["text/plain"]
    data = json.loads(json.dumps(bundle[claims.MIME]))
    assert data == {
        "statement": "The variance is 1.053",
        "measured": 1.04912,
        "expected": 1.0526,
        "rtol": 0.02,
        "atol": 0.001,
        "error": 0.0031,
    }


def test_the_line_says_what_the_numbers_are(shown):
    claim("A sentence", 1.5, 1.25, atol=0.5)
    assert shown[0]["text/plain"] == "✓ A sentence: measured 1.5, expected 1.25, tolerance 0.5"


def test_an_exact_claim_says_so(shown):
    claim("Equal", 2, 2)
    assert "exact" in words(shown[0])["tolerance"]


def test_numbers_are_set_for_readers(shown):
    claim("Small", -1.79e-6, -1.79e-6, atol=1e-9)
    claim("Large", 3e12, 3e12, rtol=0.001)
    assert words(shown[0])["measured"] == "−1.79·10⁻⁶"
    assert words(shown[0])["tolerance"] == "1·10⁻⁹"
    assert words(shown[1])["expected"] == "3·10¹²"
    assert words(shown[1])["tolerance"] == "0.1 %"


def test_what_html_would_read_as_markup_is_escaped(shown):
    claim('If a < b & "c" > d, then <script>', 1, 1)
    (bundle,) = shown
    assert "If a &lt; b &amp; &quot;c&quot; &gt; d, then &lt;script&gt;" in bundle["text/html"]
    assert "<script>" not in bundle["text/html"]
    assert 'If a < b & "c" > d, then <script>' in bundle["text/plain"]
    assert bundle[claims.MIME]["statement"] == 'If a < b & "c" > d, then <script>'


def test_a_quote_links_to_its_place_with_both_numbers_and_escapes_the_statement(shown):
    claim("If {x} < 1 & y > 2", 1.5, 1.0, atol=1.0, error=0.1)
    quote = stored(shown[0]).html("quote", uri="chapter.html#claim-7")
    assert 'href="chapter.html#claim-7">If {x} &lt; 1 &amp; y &gt; 2 <small>' in quote
    assert "(measured 1.5 ± 0.1, expected 1)" in quote


def test_a_row_has_each_number_and_leads_to_its_place(shown):
    claim("A <b>", -1.5e-7, 1.0, atol=2.0)
    assert stored(shown[0]).html("row", anchor="row-1", uri="a.html#claim-1") == (
        '<tr id="row-1"><td><a href="a.html#claim-1">A &lt;b&gt;</a></td><td>−1.5·10⁻⁷</td><td>1</td><td>2</td></tr>'
    )


def test_on_the_site_a_claim_has_an_anchor_and_its_tick_leads_to_the_list(shown):
    claim("Two is two", 2, 2)
    made = stored(shown[0])
    rest = " Two is two: measured <b>2</b>, expected <b>2</b> <small>(tolerance none: exact)</small></div>"
    assert made.html() == '<div class="claim"><span aria-hidden="true">✓</span>' + rest
    tick = '<a href="all.html?a&amp;b#row-1" aria-label="Among all claims">✓</a>'
    assert made.html(anchor="claim-1", uri="all.html?a&b#row-1") == f'<div class="claim" id="claim-1">{tick}{rest}'


def test_the_data_travel_as_json():
    assert re.fullmatch(r"application/vnd\.[a-z.]+\+json", claims.MIME)  # Jupyter knows JSON by this ending


def test_numbers_have_four_digits_and_errors_two(shown):
    claim("Rounded", 1.234567, 1.234567, atol=0.1234567, error=0.01234567)
    data = words(shown[0])
    assert (data["measured"], data["expected"], data["tolerance"]) == ("1.235 ± 0.012", "1.235", "0.1235")


@pytest.mark.parametrize(
    ("measured", "expected", "said"),
    [
        (1.23456789, 1.23456799, "measured 1.2345679, expected 1.234568,"),
        (1.00012, 1.00024, "measured 1.0001, expected 1.0002,"),
    ],
)
def test_a_failure_has_as_many_digits_as_tell_the_numbers_apart(measured, expected, said):
    with pytest.raises(AssertionError, match=re.escape(said)):
        claim("Nearly", measured, expected, atol=1e-9)


def test_braces_in_a_statement_stay(shown):
    claim("The set {x} of {measured}", 1, 1)
    assert "The set {x} of {measured}" in shown[0]["text/plain"]
    assert "The set {x} of {measured}" in shown[0]["text/html"]


def test_the_html_of_stored_data_is_the_html_that_was_shown(shown):
    claim("Once stored <b>", 1.0, 1.1, rtol=0.2)
    assert stored(shown[0]).html() == shown[0]["text/html"]


def test_numbers_that_differ_by_more_than_the_tolerance_are_told_apart_in_the_message():
    with pytest.raises(AssertionError) as caught:
        claim("Nearly", 0.99996, 1.0, atol=1e-6)
    measured, expected = (
        str(caught.value).removeprefix("Nearly: measured ").split(", tolerance")[0].split(", expected ")
    )
    assert measured != expected


@pytest.mark.parametrize("statement", ["", "  ", None, 3, b"bytes"])
def test_a_claim_without_a_sentence_is_refused(statement):
    with pytest.raises((TypeError, ValueError), match="statement"):
        claim(statement, 1, 1)


@pytest.mark.parametrize("name", ["measured", "expected"])
@pytest.mark.parametrize("value", ["1", "one", None, True, 1 + 0j, [1.0], torch.ones(2), torch.ones(1), np.ones(1)])
def test_what_is_not_a_number_is_refused_by_name(shown, name, value):
    with pytest.raises(TypeError, match=f"^{name} must be a number, got {type(value).__name__} "):
        claim("A number", **{"measured": 1.0, "expected": 1.0, name: value})
    assert shown == []


@pytest.mark.parametrize("name", ["rtol", "atol", "error"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.1, ValueError),
        (NAN, ValueError),
        (INF, ValueError),
        (True, TypeError),
        ("0.1", TypeError),
        (torch.ones(2), TypeError),
    ],
)
def test_a_bad_tolerance_is_refused_by_name(shown, name, value, error):
    with pytest.raises(error, match=name):
        claim("A tolerance", 1.0, 1.0, **{"atol": 10.0, name: value})
    assert shown == []


def test_tolerances_are_given_by_name():
    with pytest.raises(TypeError):
        claim("By name", 1.0, 1.0, 0.02)
