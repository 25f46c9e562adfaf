"""Formulas as plain text, for the search and for bookmarks: ``\\sqrt{2\\tau}\\, z_t`` is √(2τ) zₜ."""

import re
import unicodedata

from notes._extras import needs

with needs("site"):
    from docutils.utils.math import tex2unichar as known

__all__ = ["plain"]

_TOKEN = re.compile(r"\\([a-zA-Z]+|.)|(\s+)|(.)", re.DOTALL)
_SYMBOLS = (
    {"|": "‖", "square": "□", "iint": "∬", "oint": "∮", "dots": "…", "cdots": "…", "ldots": "…", "varphi": "φ"}
    | {
        name: name
        for name in ["log", "ln", "exp", "sin", "cos", "tan", "arg", "min", "max", "sup", "inf", "det", "dim"]
    }
    | {"lVert": "‖\0", "rVert": "\0‖", "lvert": "|\0", "rvert": "\0|"}  # with no space within
    | {space: " " for space in [",", ";", ":", " ", "quad", "qquad", "\\", "thinspace", "limits", "nonumber", "notag"]}
    | {"!": "", "left": "", "right": "", "varepsilon": "ε", "epsilon": "ε", "mid": " | ", "top": "ᵀ", "intercal": "ᵀ"}
    | {size + side: "" for size in ["big", "Big", "bigg", "Bigg"] for side in ["", "l", "r", "m"]}
    | dict.fromkeys(["displaystyle", "textstyle", "scriptstyle"], "")
)
_FONTS = {"mathbb", "mathcal", "mathrm", "mathbf", "boldsymbol", "mathsf", "operatorname", "text", "textbf", "textit"}
_SPACED = {**known.mathrel, **known.mathbin}  # read with a space on either side
_SINGLE = {**known.mathalpha, **known.mathord, **known.mathop, **known.mathopen, **known.mathclose, **known.mathfence}
_RAISED = dict(zip("0123456789+-−=()niT⊤ᵀ", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱᵀᵀᵀ", strict=True))
_LOWERED = dict(zip("0123456789+-−=()aeijkmnoprtx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑᵢⱼₖₘₙₒₚᵣₜₓ", strict=True))
_BORNE = r"[²³¹\u2070-\u209c\u0300-\u036f′]*"
_FRACTIONS = {("1", "2"): "½", ("1", "3"): "⅓", ("1", "4"): "¼", ("2", "3"): "⅔", ("3", "4"): "¾"}


def plain(tex: str) -> str:
    """A formula in Unicode, its structure kept with signs: x_{t+1} as xₜ₊₁, \\frac{a+b}{2} as (a + b)/2.

    Nothing of TeX is left: of a command that is not known the arguments alone are.
    """
    tokens = [(command or "", space or "", sign or "") for command, space, sign in _TOKEN.findall(tex)]
    text = "".join(_until(tokens, ""))
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).replace("( ", "(").replace(" )", ")")
    return re.sub(r" ?\0 ?| (?=[,.;_^\u2070-\u209c])", "", text).strip()


def _until(tokens, closing):
    """The texts of what stands before a closing sign, which is taken too."""
    texts = []
    while tokens:
        if tokens[0][2] == closing != "":
            tokens.pop(0)
            break
        texts.append(_next(tokens, texts))
    return texts


def _argument(tokens):
    while tokens and tokens[0][1]:
        tokens.pop(0)
    return _next(tokens, []) if tokens else ""


def _next(tokens, before):
    """The text of the next command, group or sign."""
    command, space, sign = tokens.pop(0)
    if space:
        return " "
    if sign == "{":
        return "".join(_until(tokens, "}"))
    if sign in ("^", "_"):
        return _script(_argument(tokens), sign)
    if sign == "'":
        return "′"
    if sign in ("=", "<", ">", "+", "-"):
        sign = sign.replace("-", "−")
        return f" {sign} " if re.search(r"[^\s(\[{,|=<>+−≤≥←→⋅]\s*$", "".join(before)) else sign
    if sign:
        return " " if sign in "~&" else sign
    return _command(command, tokens)


def _command(name, tokens):
    if name in ("begin", "end"):
        _argument(tokens)
        return " "
    if name in _FONTS:
        return _argument(tokens)
    if name.endswith("frac"):
        above, below = _argument(tokens).strip(), _argument(tokens).strip()
        return _FRACTIONS.get((above, below)) or f"{_bracketed(above)}/{_bracketed(below)}"
    if name == "sqrt":
        return f"√{_bracketed(_argument(tokens))}"
    if name in known.mathaccent or name in ("widehat", "widetilde", "overline"):
        accent = known.mathaccent.get(name) or {"widehat": "\u0302", "widetilde": "\u0303", "overline": "\u0304"}[name]
        return _argument(tokens) + accent
    if name in _SYMBOLS:
        text = _SYMBOLS[name]
        return f" {text} " if text == name else text
    if name in _SPACED:
        return f" {_SPACED[name]} "
    return _SINGLE.get(name, "")


def _script(text, sign):
    letters, close = _RAISED if sign == "^" else _LOWERED, text.replace(" ", "")
    if close and all(letter in letters for letter in close):
        return "".join(letters[letter] for letter in close)
    return close if close in ("′", "∗") else f"{sign}{_bracketed(text)}"


def _bracketed(text):
    """A text as one thing beside a sign: a letter with what it bears, a word, a number, or in brackets."""
    text = text.strip()
    return text if text.isalpha() or re.fullmatch(rf"[^\W\d]{_BORNE}|\d+|\([^()]*\)", text) else f"({text})"
