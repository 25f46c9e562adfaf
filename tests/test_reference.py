"""The reference: every public name is in it, with an example that runs, and nothing that is not public."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from browser import faint_texts, open_page, set_screen, set_theme, soup
from selenium.webdriver.common.by import By

import notes

# The machinery of the book and its pictures are no part of it; of two modules a chapter needs only these names.
LEFT_OUT = {"build", "figures", "links", "policy", "site"}
ONLY = {"claims": {"claim"}, "explore": {"explore", "play"}}
MODULES = sorted(m.name for m in pkgutil.iter_modules(notes.__path__) if m.name[0] != "_" and m.name not in LEFT_OUT)
WIDEST = 74  # characters of an example: more would not fit beside the table of contents
PAGE = "site/book/reference.html"


def public(name):
    """The public functions, classes and methods of a module, by their full names."""
    module, found = importlib.import_module(f"notes.{name}"), {}
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__ and callable(value)
        if own and not key.startswith("_") and key in ONLY.get(name, {key}):
            found[f"{module.__name__}.{key}"] = value
            if inspect.isclass(value):
                methods = {k: getattr(v, "__func__", v) for k, v in vars(value).items() if not k.startswith("_")}
                methods = {k: v for k, v in methods.items() if inspect.isfunction(v)}
                found |= {f"{module.__name__}.{key}.{k}": v for k, v in methods.items()}
    return found


PUBLIC = {full: value for name in MODULES for full, value in public(name).items()}


def examples(full):
    """The examples of an entry, on their own: they import what they use."""
    docstring = inspect.cleandoc(PUBLIC[full].__doc__ or "")
    return doctest.DocTestParser().get_doctest(docstring, {}, full, None, 0)


def test_the_modules_are_those_of_the_package():
    wanted = {"mixtures", "langevin", "fokker_planck", "score_matching", "networks", "training", "diffusion", "plots"}
    assert wanted | {"full_covariance", "images", "inpainting"} <= {*MODULES}
    assert "notes.full_covariance.FullCovarianceMixture.fit" in PUBLIC
    assert "notes.mixtures.GaussianMixture.smoothed" in PUBLIC
    assert "notes.langevin.langevin" in PUBLIC


@pytest.mark.parametrize("full", PUBLIC)
def test_the_example_of_an_entry_runs_and_gives_what_it_says(full, monkeypatch):
    test = examples(full)
    assert test.examples, f"{full} has no example"
    lines = test.docstring.partition("\nExamples\n")[2].splitlines()
    assert max(map(len, lines)) <= WIDEST
    for name in ONLY:  # as IPython shows it where it has no pictures
        module = importlib.import_module(f"notes.{name}")
        monkeypatch.setattr(module, "display", lambda bundle, *, raw: print(bundle["text/plain"]))
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)


@pytest.mark.parametrize("full", PUBLIC)
def test_the_docstring_of_an_entry_has_the_agreed_layout(full):
    docstring = inspect.cleandoc(PUBLIC[full].__doc__)
    parts = ["Parameters", "Returns", "Raises", "References", "Examples"]
    places = [docstring.find(f"\n\n{part}\n---") for part in parts]
    there = [place for place in places if place >= 0]
    assert there == sorted(there)
    assert places[-1] > 0
    first = docstring.split("\n\n")[0]
    assert first.endswith((".", ")"))
    assert "\n" not in first


def test_the_page_has_every_public_name_and_nothing_else(server):
    page = soup(server.file(server.url(PAGE)))
    assert {dt["id"] for dt in page.select("dl.py > dt.sig")} == set(PUBLIC)
    for dt in page.select("dl.py > dt.sig"):
        assert dt.find_next_sibling("dd").select_one(":scope > .doctest")
    assert {name for name in MODULES if page.find(id=f"module-notes.{name}")} == set(MODULES)


def test_equations_and_signatures_fit_a_phone(browser, server):
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url(PAGE))
    wide = """return [...document.querySelectorAll("article mjx-math, article dt.sig, article dt.sig *")]
        .filter((e) => e.getBoundingClientRect().right > 390).map((e) => e.closest("dl.py").querySelector("dt").id)"""
    formulas = browser.find_elements(By.CSS_SELECTOR, "article div.math mjx-math")
    assert len(formulas) > 15
    assert browser.execute_script(wide) == []


def test_signatures_are_legible_in_both_themes(browser, server):
    open_page(browser, server.url(PAGE))
    for theme in ("light", "dark"):
        set_theme(browser, theme)
        assert faint_texts(browser, "dt.sig, dt.sig *, .field-list *, p.rubric, p.used-in, p.used-in a") == []
