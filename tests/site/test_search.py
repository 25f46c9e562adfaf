"""The search: a result leads to its place and marks the words there, from disk and over http; no TeX is shown."""

import json

import pytest
from browser import anchors, errors, faint_texts, open_page, set_screen, set_theme, wait
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from notes.site.plain import plain

# What is asked, and what must come first: the page, and the words of the result.
FIRST = {
    "Fisher divergence": ("glossary", "Term Fisher divergence"),
    "fisher_divergence": ("reference", "Function fisher_divergence"),
    "score_matched_bandwidth": ("reference", "Function score_matched_bandwidth"),
    "GaussianMixture": ("reference", "Class GaussianMixture"),
    "gaussian MIXTURES": ("glossary", "Term Gaussian mixture"),
    "gaussianmixture sample": ("reference", "Method GaussianMixture.sample"),
    "sigma": ("notation", "Symbol σ"),
    "τ": ("notation", "Symbol τ"),
    "Hyvarinen": ("bibliography", "Source [Hyv05] Aapo Hyvärinen."),
    "fokker-planck equation": ("glossary", "Term Fokker–Planck equation"),
    "bias of a finite step": ("langevin", "Theorem 2 Bias of a finite step"),
    "theorem 2": ("langevin", "Theorem 2 Bias"),
    "proof theorem 2": ("langevin", "Proof of Theorem 2 Bias"),
    "figure 3": ("langevin", "Figure 3 "),
    "noise coefficient samples": ("langevin", "Figure 3 Another noise coefficient samples another law"),
    "ten per cent": ("langevin", "Exercise 2 Ten per cent"),
    "without the noise": ("langevin", "Section Without the noise: an ascent"),
    "Noise off: the share of particles that end at a mode": ("langevin", "Claim Noise off: the share"),
    "Langevin dynamics": ("glossary", "Term Langevin dynamics"),
    "lngevin dynamisc": ("glossary", "Term Langevin dynamics"),
    "leggauss": ("langevin", "Page Langevin dynamics"),
}
ODD = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"',
    "'quoted'",
    ".*[(",
    "\\tau $x$",
    "%",
    "#a?b&c",
    "a" * 9999,
]
NOTHING = ["quokka", "langevin quokka", "   ", "☃"]


@pytest.fixture(scope="module")
def places(site):
    """The places of the index: page, place around, label, title, anchor, text, code."""
    index = json.loads((site / "search-index.js").read_text(encoding="utf-8").partition("= ")[2].rstrip(";\n"))
    return [(index["pages"][page], *rest) for page, *rest in index["places"]]


@pytest.fixture(params=["http", "disk"])
def at(request, server, site):
    """Where a page of the site is to be had."""
    return lambda page: server.url(f"site/{page}") if request.param == "http" else f"{site.as_uri()}/{page}"


def status(driver):
    return driver.find_element(By.ID, "search-status").text


def ask(driver, query):
    """What the search page shows of a query: what it says, and each result's page, words and excerpt."""
    return driver.execute_async_script(
        """const [query, done] = arguments;
        ready.then(() => {
          show(query);
          const hits = [...document.querySelectorAll("#search-results section li")];
          done([document.querySelector("#search-status").textContent, hits.map((hit) => [
            hit.firstChild.getAttribute("href"), hit.firstChild.textContent, hit.lastChild.textContent])]);
        });""",
        query,
    )


def marked(driver):
    """The words that are marked on a page, those that are seen."""
    return driver.execute_script(
        """return [...(CSS.highlights.get("search") ?? [])]
          .filter((range) => range.startContainer.parentElement.checkVisibility()).map((range) => range.toString())"""
    )


def on_screen(driver, selector):
    """Whether the head of an element stands on the screen, below the page's own header."""
    return driver.execute_script(
        """const { top } = document.querySelector(arguments[0]).getBoundingClientRect();
        return top > 20 && top < innerHeight - 40""",
        selector,
    )


def follow(driver, url, query, title):
    """Search for words from a page, by keyboard alone, and follow the result of that title."""
    open_page(driver, url)
    ActionChains(driver).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    field = driver.find_element(By.CSS_SELECTOR, "#pst-search-dialog input")
    wait(driver, field.is_displayed, "no field to search in")
    field.send_keys(query, Keys.ENTER)
    wait(driver, lambda: "search.html" in driver.current_url and "place" in status(driver), "nothing is found")
    (link,) = [a for a in driver.find_elements(By.CSS_SELECTOR, "#search-results a") if a.text.startswith(title)]
    driver.execute_script("arguments[0].focus()", link)
    link.send_keys(Keys.ENTER)
    wait(driver, lambda: "highlight=" in driver.current_url, "the result leads nowhere")
    wait(driver, lambda: marked(driver), "no word is marked")


def test_what_is_asked_for_comes_first(browser, at):
    open_page(browser, at("search.html"))
    for query, (page, words) in FIRST.items():
        (address, found, _), *_ = ask(browser, query)[1]
        assert address.startswith(f"book/{page}.html?highlight="), query
        assert found.startswith(words), query


def test_every_place_is_there_and_is_plain_text(site, places):
    kinds = {label.split()[0] for _, _, label, *_ in places}
    assert kinds >= {"Page", "Section", "Theorem", "Proof", "Figure", "Exercise", "Solution", "Term", "Symbol", "Claim"}
    assert kinds >= {"Function", "Class", "Method", "Source"}
    for page, _, label, title, anchor, text, code in places:
        assert anchors(site / page)[anchor] == 1 if anchor else label == "Page", (page, anchor)
        assert title, (page, anchor)
        assert not {*"\\$"} & {*label, *title, *text, *code}, (page, anchor)
        assert "  " not in text, (page, anchor)
    assert len({place[3] for place in places if place[2] == "Source"}) == sum(place[2] == "Source" for place in places)


def test_excerpts_show_the_words(browser, server):
    open_page(browser, server.url("site/search.html"))
    for query in ["temperature", "sqrt step", "hessian", "log p", "Hyvarinen"]:
        said, hits = ask(browser, query)
        assert said.startswith(f"{len(hits)} places on")
        assert all(1 < len(excerpt) < 500 for _, words, excerpt in hits if not words.startswith("Source"))
        assert not {*"\\$"} & {*"".join(words + excerpt for _, words, excerpt in hits)}
    marks = browser.execute_script(
        "return [...document.querySelectorAll('#search-results mark')].map(m => m.textContent)"
    )
    assert {mark.lower() for mark in marks} >= {"hyvärinen"}


def test_what_is_not_there_is_said_and_words_are_offered(browser, server):
    open_page(browser, server.url("site/search.html"))
    for query in NOTHING[:2]:
        assert ask(browser, query) == [f"No place has “{query}”.", []]
    (offer,) = browser.find_elements(By.CSS_SELECTOR, "#search-results a")
    assert offer.text.startswith("langevin (")
    offer.click()
    wait(browser, lambda: "for “langevin”" in status(browser), "the offer leads nowhere")
    for query in NOTHING[2:]:
        assert ask(browser, query)[1] == []
    assert browser.find_element(By.LINK_TEXT, "index").get_attribute("href").endswith("genindex.html")
    assert ask(browser, "samplrs")[0].startswith("No place has “samplrs”. ")


def test_odd_questions_do_no_harm(browser, at):
    open_page(browser, at("search.html"))
    for query in ODD:
        ask(browser, query)
        assert browser.execute_script("return document.querySelectorAll('main :is(script, img)').length") == 0
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), query
    field = browser.find_element(By.CSS_SELECTOR, "main input")
    field.send_keys("<b> 100% & more", Keys.ENTER)
    wait(browser, lambda: "q=%3Cb" in browser.current_url, "the address does not keep what is asked")
    browser.refresh()
    assert browser.find_element(By.CSS_SELECTOR, "main input").get_property("value") == "<b> 100% & more"
    assert errors(browser) == []


def test_typing_searches_and_leaves_one_entry_in_the_history(browser, server):
    open_page(browser, server.url("site/search.html"))
    entries = browser.execute_script("return history.length")
    field = browser.switch_to.active_element
    field.send_keys("wat", "ershed")
    wait(browser, lambda: "for “watershed”" in status(browser), "typing finds nothing")
    assert browser.find_element(By.ID, "search-status").get_attribute("role") == "status"
    assert browser.execute_script("return history.length") == entries
    field.send_keys(Keys.TAB, Keys.ENTER)
    wait(browser, lambda: "#term-watershed" in browser.current_url, "the first result is not the next stop")
    browser.back()
    wait(browser, lambda: "for “watershed”" in status(browser), "what was asked is lost on the way back")


@pytest.mark.parametrize(
    ("query", "title", "place", "words"),
    [
        ("hyvärinen", "Source", "div.citation:target", {"Hyvärinen"}),
        ("sigma", "Symbol σ", "tr:target", {"sigma"}),
        ("generator", "Term generator", "dt:target", {"generator"}),
        ("proof finite step", "Proof of Theorem 2", "details:target", {"step"}),
        ("ten per cent", "Solution to Exercise 2 ", ".solution:target", {"Ten", "per", "cent"}),
        ("finite step costs", "Section What a finite step costs", "section:target > h2", {"finite", "step", "costs"}),
        ("another noise coefficient", "Figure 3", "figure:target", {"Another", "noise", "coefficient"}),
    ],
)
def test_a_result_leads_to_its_place_marks_the_words_and_unfolds(browser, at, query, title, place, words):
    follow(browser, at("book/performance.html"), query, title)
    wait(browser, lambda: on_screen(browser, place), f"{place} is not on the screen")
    assert words <= {*marked(browser)}
    assert browser.execute_script(
        """const target = document.querySelector(arguments[0]), place = target.closest("dt")?.parentElement ?? target;
        return [...CSS.highlights.get("search")].map((range) => range.startContainer.parentElement)
          .some((element) => element.checkVisibility() && place.contains(element))""",
        place,
    )


def test_code_that_is_folded_is_unfolded_and_a_far_mark_is_scrolled_to(browser, at):
    follow(browser, at("book/performance.html"), "BIAS_STEPS", "Section What a finite step costs")
    assert {*marked(browser)} == {"BIAS_STEPS"}
    middle = """const { top, bottom } = [...CSS.highlights.get("search")][0].getBoundingClientRect();
      return top > 0 && bottom < innerHeight"""
    wait(browser, lambda: browser.execute_script(middle), "the mark is not on the screen")


def test_marks_are_in_the_words_alone_and_go(browser, server):
    page = server.url("site/book/langevin.html")
    open_page(browser, page)
    before = browser.execute_script("return document.querySelector('article').innerHTML.length")
    open_page(browser, f"{page}?highlight=step+x+tau#what-a-finite-step-costs")
    wait(browser, lambda: {"step", "tau"} <= {*marked(browser)}, "no word is marked")
    assert browser.execute_script(
        """return [...CSS.highlights.get("search")]
          .every((range) => !range.startContainer.parentElement.closest(".math, .headerlink"))"""
    )
    bar = browser.find_element(By.CSS_SELECTOR, ".search-marks")
    assert "marks" in bar.find_element(By.CSS_SELECTOR, "[role=status]").text
    entries, box = browser.execute_script("return history.length"), bar.find_element(By.TAG_NAME, "button").rect
    assert box["height"] >= 24
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    wait(browser, lambda: not marked(browser), "Escape leaves the marks")
    assert browser.current_url == f"{page}#what-a-finite-step-costs"
    assert browser.execute_script("return history.length") == entries
    assert browser.execute_script("return document.querySelector('article').innerHTML.length") == before
    browser.refresh()
    wait(browser, lambda: browser.execute_script("return document.readyState === 'complete'"), "no page")
    assert not marked(browser)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_search_is_seen_on_a_phone_in_both_themes(browser, server, theme):
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url("site/search.html?q=score+matching"))
    wait(browser, lambda: "for “score matching”" in status(browser), "nothing is found")
    set_theme(browser, theme)
    assert faint_texts(browser, "#search-results *, #search-status") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    links = browser.find_elements(By.CSS_SELECTOR, "#search-results section > ul a, #search-results summary")
    assert min(link.rect["height"] for link in links if link.is_displayed()) >= 24
    browser.find_element(By.CSS_SELECTOR, "#search-results summary").click()
    assert browser.find_element(By.CSS_SELECTOR, "#search-results details li a").is_displayed()
    open_page(browser, server.url("site/book/langevin.html?highlight=temperature"))
    set_theme(browser, theme)
    wait(browser, lambda: marked(browser), "no word is marked")
    assert faint_texts(browser, ".search-marks *") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_nothing_of_the_search_is_loaded_where_it_is_not_used(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts and path.name != "index.html"]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert ("search-index.js" in text) == ("_static/search.js" in text) == (path.name == "search.html"), path
        assert not [
            name
            for name in ("searchindex.js", "searchtools.js", "language_data.js", "sphinx_highlight")
            if name in text
        ]
    assert not [*site.rglob("searchindex.js"), *site.rglob("searchtools.js"), *site.rglob("sphinx_highlight.js")]


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"x_{t+1} = x_t + \tau\, \nabla_x \log p(x_t) + \sqrt{2\tau}\, z_t", "xₜ₊₁ = xₜ + τ ∇ₓ log p(xₜ) + √(2τ) zₜ"),
        (r"\frac{\sigma^2}{1 - \tau / (2\sigma^2)} ,", "σ²/(1 − τ / (2σ²)),"),
        (r"\tfrac12\, \mathbb{E} \lVert s_\theta \rVert^2", "½ E ‖s_θ‖²"),
        (r"\mathrm{KL}(p \,\|\, q) \le e^{-2\alpha t}", "KL(p ‖ q) ≤ e^(−2α t)"),
        (r"\begin{aligned} a &= b \\ &\quad + \hat c' \end{aligned}", "a = b + ĉ′"),
        (r"A^\top v \in \mathbb{R}^d, \text{ where } [-3, 3]", "Aᵀ v ∈ R^d, where [−3, 3]"),
        (r"\operatorname{tr} M_{ij} \bigl( \bar x \bigr)", "tr Mᵢⱼ (x̄)"),
        (r"\unknown{a} + 50\,\%", "a + 50 %"),
        (r"{a", "a"),
        ("", ""),
    ],
)
def test_a_formula_is_read_as_plain_text(tex, text):
    assert plain(tex) == text
