"""The built site as a reader meets it, in a real browser with no network. Every page and every figure is tried."""

import base64
import itertools
import re
import time
from urllib.parse import quote, unquote, urlsplit

import pytest
from browser import (
    anchors,
    by_keyboard,
    by_mouse,
    by_touch,
    drag,
    errors,
    faint_texts,
    figures,
    is_slider,
    open_page,
    place,
    requests,
    set_screen,
    set_theme,
    soup,
    wait,
)
from conftest import ROOT
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sphinx_external_toc.parsing import parse_toc_yaml

from notes.explore import png
from notes.site.contents import Contents

PAGES = [f"site/{name}.html" for name in parse_toc_yaml(ROOT / "_toc.yml")]
CHAPTERS = [f"site/book/{chapter.path.stem}.html" for chapter in Contents(ROOT).chapters] + ["tiny/book/tiny.html"]
TINY = "tiny/book/tiny.html"
THEMES = ["light", "dark"]
MOVES = {"mouse": by_mouse, "finger": by_touch, "keys": by_keyboard}


@pytest.fixture
def tiny(browser, server):
    """The tiny book's figures on the screen: bars (odd characters, a checkbox) and walk (play, a slider)."""
    open_page(browser, server.url(TINY))
    return figures(browser)


def elsewhere(figure, at):
    """A state in which one control has moved, as far as it can."""
    state = figure.state()
    last = len(figure.labels[at]) - 1
    state[at] = 0 if state[at] > last / 2 else last
    return state


# Figures: what is shown is what was chosen


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("page", CHAPTERS)
def test_every_control_shows_the_picture_of_its_values(browser, server, page, move):
    open_page(browser, server.url(page))
    if move == "finger":
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    found = figures(browser)
    assert found
    for figure in found:
        for at in range(len(figure.inputs)):
            state = elsewhere(figure, at)
            MOVES[move](figure, at, state[at])
            figure.shows(state)


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_figure_first_shows_its_defaults(browser, server, page):
    open_page(browser, server.url(page))
    for figure in figures(browser):
        assert figure.shown() == figure.frame(figure.state())
        assert figure.image.get_attribute("alt") == figure.root.get_attribute("data-alt")


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_frame_is_a_file_and_every_control_changes_the_picture(browser, server, page):
    open_page(browser, server.url(page))
    folder = server.file(server.url(page)).parent
    for figure in figures(browser):
        states = list(itertools.product(*(range(len(labels)) for labels in figure.labels)))
        assert len(figure.frames) == len(states)
        assert all((folder / figure.root.get_attribute("data-folder") / name).exists() for name in figure.frames)
        default = figure.state()
        for at, labels in enumerate(figure.labels):
            for value in {default[at] - 1, default[at] + 1} & set(range(len(labels))):
                assert figure.frame([*default[:at], value, *default[at + 1 :]]) != figure.frame(default)


def test_the_picture_shown_is_the_one_that_the_figure_function_draws(tiny, pictures, server):
    bars, walk = tiny
    for figure, function, values, at, value in [
        (bars, pictures.bars, {"height": 2.0}, 0, 3),
        (bars, pictures.bars, {"height": 2.0, "tall": True}, 1, 1),
        (walk, pictures.walk, {"q": 7}, 0, 7),
        (walk, pictures.walk, {"q": 7, "temperature": 0.5}, 1, 0),
    ]:
        by_keyboard(figure, at, value)
        state = figure.state()
        figure.shows(state)
        assert server.file(figure.image.get_attribute("src")).read_bytes() == png(function(**values))


def test_the_last_of_many_fast_moves_wins_though_its_picture_comes_first(browser, server, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    slow = {walk.frame([step, 1]) for step in range(1, 11)}
    server.delay = lambda path: 0.4 * (path.rsplit("/", 1)[-1] in slow)  # the picture of 0 overtakes all others
    shown = "window.shown = []; new MutationObserver(() => shown.push(arguments[0].src.split('/').pop()))"
    browser.execute_script(f"{shown}.observe(arguments[0], {{attributeFilter: ['src']}})", walk.image)
    walk.scroll_to()
    slider = walk.inputs[0]
    stops = [place(browser, slider, value) for value in (*range(2, 11), *range(9, -1, -1))]
    drag(browser, *stops, hold=5)
    walk.shows([0, 1])
    time.sleep(0.6)  # until the overtaken ones are here too
    walk.shows([0, 1])
    sequence = browser.execute_script("return shown")
    assert sequence[-1] == walk.frame([0, 1])
    assert walk.frame([10, 1]) not in sequence


def test_a_picture_that_cannot_be_loaded_is_said_to_be_missing_and_the_next_move_works(browser, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*{walk.frame([3, 1])}"]})
    before = walk.shown()
    by_keyboard(walk, 0, 3)
    message = walk.root.find_element(By.CSS_SELECTOR, ".explore-message")
    wait(browser, lambda: "could not be loaded" in message.text, "no message")
    assert walk.shown() == before
    by_keyboard(walk, 0, 4)
    walk.shows([4, 1])
    assert message.text == ""
    errors(browser)  # the blocked request, which is what this test is about


@pytest.mark.parametrize("page", [page for page in CHAPTERS if page != TINY])
def test_the_code_of_a_figure_is_one_click_away_and_leads_back(server, page):
    path = server.file(server.url(page))
    for figure in soup(path).select(".explore"):
        target, _, name = figure.select_one("a.explore-code")["href"].partition("#")
        place = (path.parent / target).resolve()
        block = soup(place).find(id=name)
        assert f"def {name}(" in block.get_text()
        back, _, anchor = block.select_one("a.viewcode-back")["href"].partition("#")
        assert soup((place.parent / back).resolve()).select_one(f'.explore[id="{anchor}"] a.explore-code')


# Play


def plays(figure):
    return "Pause" in figure.play.get_attribute("aria-label")


def test_play_moves_on_until_it_is_pressed_again(browser, tiny):
    walk = tiny[1]
    walk.scroll_to()
    walk.play.click()
    wait(browser, lambda: walk.state()[0] >= 4, "play does not move the slider")
    assert plays(walk)
    walk.play.click()
    assert not plays(walk)
    state = walk.state()
    time.sleep(0.6)
    walk.shows(state)


def test_play_stops_at_the_end_and_starts_over_from_there(browser, tiny):
    walk = tiny[1]
    walk.scroll_to()
    by_keyboard(walk, 0, 9)
    walk.play.click()
    wait(browser, lambda: not plays(walk), "play does not stop")
    walk.shows([10, 1])
    walk.play.click()
    wait(browser, lambda: 0 < walk.state()[0] < 10, "play does not start over")
    assert plays(walk)


def test_moving_a_control_stops_play(browser, tiny):
    walk = tiny[1]
    walk.scroll_to()
    walk.play.click()
    wait(browser, lambda: walk.state()[0] >= 3, "play does not move the slider")
    by_keyboard(walk, 1, 2)
    assert not plays(walk)
    state = walk.state()
    time.sleep(0.6)
    walk.shows(state)


def test_play_stops_when_its_picture_leaves_the_screen(browser, tiny):
    walk = tiny[1]
    set_screen(browser, 1280, 300)
    walk.scroll_to()
    walk.play.click()
    wait(browser, lambda: walk.state()[0] >= 3, "play does not move the slider")
    browser.execute_script("scrollTo({top: 0, behavior: 'instant'})")
    wait(browser, lambda: not plays(walk), "play goes on out of sight")
    assert walk.state()[0] < 10


def test_play_takes_single_steps_for_a_reader_who_wants_no_motion(browser, tiny):
    walk = tiny[1]
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    walk.scroll_to()
    for step in (3, 4):
        walk.play.click()
        time.sleep(0.6)
        walk.shows([step, 1])
        assert not plays(walk)


# Links to a state


def fragment(figure, state):
    """The part of an address that names a state, as a reader would write it."""
    chosen = zip(figure.names, figure.labels, state, strict=True)
    return f"#{figure.id}?" + "&".join(f"{name}={quote(labels[value], safe='')}" for name, labels, value in chosen)


def is_in_sight(figure):
    """Whether the figure's picture begins on the screen, below whatever sticks to its top."""
    top, height = figure.driver.execute_script(
        "return [arguments[0].getBoundingClientRect().top, innerHeight]", figure.image
    )
    return -1 <= top < height / 2


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_link_opens_a_figure_in_a_state_and_scrolls_to_it(browser, server, page):
    url = server.url(page)
    open_page(browser, url)
    targets = []
    for figure in figures(browser):
        state = [len(labels) - 1 for labels in figure.labels]
        targets.append((figure.id, fragment(figure, state), state))
    for at, (name, address, state) in enumerate(targets):
        if at in (0, len(targets) - 1):
            open_page(browser, url + address)
        else:
            browser.execute_script("location.hash = arguments[0]", address)
        figure = figures(browser)[at]
        figure.shows(state)
        wait(browser, lambda figure=figure: is_in_sight(figure), f"{name} is not scrolled to")
    open_page(browser, f"{url}#{name}")
    assert is_in_sight(figures(browser)[-1])


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_script_of_the_theme_takes_a_control_for_its_own(server, page):
    # Sphinx's search empties input[name=q], and its key "/" goes there: so the controls have no name to be found by.
    controls = soup(server.file(server.url(page))).select(".explore input")
    assert all(control["data-name"] for control in controls)
    assert not any(control.has_attr("name") or control.has_attr("id") for control in controls)


def test_every_label_survives_the_way_through_an_address(browser, server, tiny):
    bars = tiny[0]
    addresses = [fragment(bars, [value, 1]) for value in range(4)]
    for value, address in enumerate(addresses):
        open_page(browser, server.url(TINY) + address)
        figures(browser)[0].shows([value, 1])


def test_a_move_is_kept_in_the_address_and_adds_no_history(browser, server, tiny):
    bars = tiny[0]
    entries = browser.execute_script("return history.length")
    for value in (0, 1, 3):
        by_keyboard(bars, 0, value)
        wait(browser, lambda: "?" in browser.current_url, "the address keeps nothing")
    by_mouse(bars, 1, 1)
    wait(browser, lambda: "tall=on" in browser.current_url, "the address does not follow")
    assert browser.execute_script("return history.length") == entries
    address = browser.current_url
    assert unquote(address.replace("+", " ")).endswith("#fig-tiny-bars?height=#2&tall=on")
    open_page(browser, address)
    figures(browser)[0].shows([3, 1])


def test_a_link_within_the_page_moves_the_figure(browser, tiny):
    bars, walk = tiny
    browser.execute_script("location.hash = arguments[0]", fragment(walk, [8, 2]))
    walk.shows([8, 2])
    browser.execute_script("location.hash = arguments[0]", fragment(bars, [0, 1]))
    bars.shows([0, 1])
    assert walk.state() == [8, 2]
    browser.back()
    walk.shows([8, 2])


@pytest.mark.parametrize(
    "address",
    [
        "#fig-tiny-walk?q=11&temperature=hot",
        "#fig-tiny-walk?speed=3",
        "#fig-tiny-walk?",
        "#fig-tiny-walk?q",
        "#fig-tiny-none?q=3",
        "#100%?q=3",
    ],
)
def test_an_address_that_names_no_state_is_ignored(browser, server, address):
    open_page(browser, server.url(TINY) + address)
    walk = figures(browser)[1]
    assert walk.state() == [2, 1]
    by_keyboard(walk, 0, 5)
    walk.shows([5, 1])


# Pages


@pytest.mark.parametrize("page", [*PAGES, "site/genindex.html", "site/search.html", "site/index.html", TINY])
def test_a_page_asks_nothing_of_the_network_and_reports_no_error(browser, server, page):
    open_page(browser, server.url(page))
    assert [url for url in requests(browser) if not url.startswith(server.address)] == []
    assert errors(browser) == []


@pytest.mark.parametrize("page", [*PAGES, TINY])
def test_every_link_to_a_page_of_the_site_leads_somewhere(server, page):
    path = server.file(server.url(page))
    for tag in soup(path).select("[href], [src]"):
        url = urlsplit(tag.get("href") or tag.get("src"))
        if url.scheme or url.netloc:
            continue
        target = (path.parent / unquote(url.path)) if url.path else path
        assert target.exists(), f"{page}: {tag}"
        if url.fragment and target.suffix == ".html" and "?" not in url.fragment:
            assert anchors(target.resolve())[unquote(url.fragment)] == 1, f"{page}: {tag}"


def displayed(driver, selector):
    """The elements that are on the page to see, in one question rather than one for each."""
    script = """return [...document.querySelectorAll(arguments[0])]
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length)"""
    return driver.execute_script(script, selector)


@pytest.mark.parametrize("page", [*PAGES, TINY])
def test_a_page_is_built_as_assistive_software_expects(browser, server, page):
    open_page(browser, server.url(page))
    assert browser.execute_script("return document.documentElement.lang") == "en"
    levels = [int(heading.tag_name[1]) for heading in displayed(browser, "h1, h2, h3, h4, h5, h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert browser.title
    for control in displayed(browser, "input, select, textarea, button, a[href]"):
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")
    for image in browser.find_elements(By.CSS_SELECTOR, "article img"):
        assert image.get_attribute("alt"), image.get_attribute("outerHTML")
        assert image.get_dom_attribute("width")
        assert image.get_dom_attribute("height")


@pytest.mark.parametrize("page", [*PAGES, TINY])
def test_formulas_are_typeset(browser, server, page):
    open_page(browser, server.url(page))
    bare = (
        "return [...document.querySelectorAll('article .math')].filter(e => !e.querySelector('mjx-container')).length"
    )
    assert browser.execute_script(bare) == 0
    assert browser.find_elements(By.CSS_SELECTOR, "mjx-merror, [data-mml-node=merror]") == []
    text = browser.execute_script(
        "const copy = document.querySelector('article').cloneNode(true);"
        "copy.querySelectorAll('pre, code, mjx-container').forEach(e => e.remove()); return copy.textContent"
    )
    assert re.findall(r"\\\(|\\\[|\\begin|\$[^$]*\$|\{(?:numref|eq|cite|doc|ref)[a-z:]*\}`", text) == []


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_weighs_less_than_a_megabyte(browser, server, page):
    path = server.file(server.url(page))
    pictures = {path.parent / image["src"] for image in soup(path).select("article img")}
    assert sum(file.stat().st_size for file in [path, *pictures]) < 1_000_000


def test_the_book_of_claims_lists_each_with_its_numbers_and_its_place(server, tiny_book):
    for book, names in [("site", [page.removeprefix("site/") for page in PAGES]), ("tiny", ["book/tiny.html"])]:
        proves = server.file(server.url(f"{book}/book/proves.html"))
        listed = []
        for row in soup(proves).select("table.claims tbody tr"):
            statement, *numbers = (cell.get_text() for cell in row.find_all("td"))
            path, anchor = row.a["href"].split("#")
            claim = soup((proves.parent / path).resolve()).find(id=anchor)
            assert statement in claim.get_text()
            assert all(number.strip() and number in claim.get_text() for number in numbers)
            assert len(numbers) == 3
            listed.append((path, anchor))
        shown = [(name, c) for name in names for c in soup(server.file(server.url(f"{book}/{name}"))).select(".claim")]
        assert len(listed) == len(set(listed)) == len(shown) > 0


@pytest.mark.parametrize("page", [*PAGES, "tiny/book/quotes.html", TINY])  # the last quotes a claim of its own
def test_a_quoted_claim_shows_the_numbers_of_its_place_and_leads_there(server, page):
    path = server.file(server.url(page))
    quoted = soup(path).select("a.claim-quote")
    assert quoted or page not in ("site/book/errata.html", "tiny/book/quotes.html", TINY)
    for link in quoted:
        target, anchor = link["href"].split("#")
        claim = soup((path.parent / target).resolve() if target else path).find(id=anchor)
        statement, numbers = link.contents[0].strip(), link.small.get_text().strip("()")
        assert claim.get_text().startswith(f"✓ {statement}: {numbers} (tolerance")


def test_a_link_to_a_claim_unfolds_the_solution_that_holds_it(browser, server):
    open_page(browser, server.url("tiny/book/proves.html"))
    browser.find_element(By.LINK_TEXT, "One and one is two").click()
    claim = wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".solution .claim"), "no solution")[0]
    wait(browser, claim.is_displayed, "the solution stays folded")
    assert "One and one is two" in claim.text
    top = "return arguments[0].getBoundingClientRect().top"
    wait(browser, lambda: 0 <= browser.execute_script(top, claim) < 900, "the claim is not scrolled to")
    open_page(browser, server.url(TINY))
    assert not browser.find_element(By.CSS_SELECTOR, ".solution .claim").is_displayed()


# A reader without a script, a network, a screen or a colour to see by


@pytest.mark.parametrize("page", CHAPTERS)
def test_without_scripts_the_default_picture_stands_alone(browser, server, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(server.url(page))
    for root in browser.find_elements(By.CSS_SELECTOR, "figure .explore"):
        image = root.find_element(By.TAG_NAME, "img")
        assert image.is_displayed()
        assert image.size["height"] > 50
        assert image.get_attribute("alt")
        assert not any(item.is_displayed() for item in root.find_elements(By.CSS_SELECTOR, "input, button, output"))
        assert root.find_element(By.XPATH, "./ancestor::figure//figcaption").text.strip()


@pytest.mark.parametrize("page", CHAPTERS)
def test_in_print_the_picture_stands_alone(browser, server, page):
    open_page(browser, server.url(page))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    for figure in figures(browser):
        assert figure.image.is_displayed()
        assert not any(item.is_displayed() for item in [*figure.inputs, figure.play] if item)
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_page_opened_from_disk_works(browser, server, page):
    open_page(browser, server.file(server.url(page)).as_uri())
    for figure in figures(browser):
        state = elsewhere(figure, 0)
        by_keyboard(figure, 0, state[0])
        figure.shows(state)
    if browser.find_elements(By.CSS_SELECTOR, "article .math"):
        assert browser.find_elements(By.TAG_NAME, "mjx-container")
    assert {urlsplit(url).scheme for url in requests(browser)} == {"file"}


@pytest.mark.parametrize("page", CHAPTERS)
def test_text_around_figures_is_legible_and_pictures_are_not_dimmed(browser, server, page):
    open_page(browser, server.url(page))
    texts = ".explore-controls *, figcaption *, .claim, .claim *, article p, article li, article td, article a"
    for theme in THEMES:
        set_theme(browser, theme)
        assert faint_texts(browser, f"{texts}:not(mjx-container *, pre *, .headerlink)") == []
        for image in browser.find_elements(By.CSS_SELECTOR, ".explore img"):
            above = browser.execute_script(
                "const up = []; for (let e = arguments[0]; e; e = e.parentElement) up.push(getComputedStyle(e));"
                "return up.map(s => [s.filter, s.opacity, s.mixBlendMode])",
                image,
            )
            assert all(style == ["none", "1", "normal"] for style in above)


def test_the_button_of_the_theme_makes_a_page_dark(browser, server):
    open_page(browser, server.url(TINY))
    behind = "return getComputedStyle(document.body).backgroundColor"
    colours = set()
    for _ in range(3):
        browser.find_element(By.CSS_SELECTOR, ".theme-switch-button").click()
        colours.add(
            (browser.execute_script("return document.documentElement.dataset.theme"), browser.execute_script(behind))
        )
    assert {theme for theme, _ in colours} == set(THEMES)
    assert len(colours) == 2


@pytest.mark.parametrize("page", [*PAGES, TINY])
def test_a_page_fits_a_phone(browser, server, page):
    set_screen(browser, 390, mobile=True)
    open_page(browser, server.url(page))
    for theme in THEMES:
        set_theme(browser, theme)
        assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 390
    for figure in figures(browser):
        assert figure.image.rect["width"] <= 390
        for item in [*figure.inputs, figure.play]:
            if item:
                target = item if is_slider(item) or item == figure.play else item.find_element(By.XPATH, "..")
                assert target.rect["height"] >= 24, target.get_attribute("outerHTML")
                assert target.rect["x"] >= 0
                assert target.rect["x"] + target.rect["width"] <= 390
    formulas = browser.execute_script(  # those of the folded proofs too; the pixel is a rounded width
        """for (const e of document.querySelectorAll("details")) e.open = true;
        return [...document.querySelectorAll("mjx-container[display]")]
          .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert not formulas


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_control_is_reached_by_tab_and_shows_its_focus(browser, server, page):
    open_page(browser, server.url(page))
    look = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth, s.outlineColor]"
    for figure, theme in itertools.product(figures(browser), THEMES):
        set_theme(browser, theme)
        items = figure.root.find_elements(By.CSS_SELECTOR, "input, button")
        browser.execute_script("document.activeElement.blur()")
        without = [browser.execute_script(look, item) for item in items]
        browser.execute_script("arguments[0].focus()", items[0])
        items[0].send_keys(Keys.SHIFT + Keys.TAB)
        for item, before in zip(items, without, strict=True):
            browser.switch_to.active_element.send_keys(Keys.TAB)
            assert browser.switch_to.active_element == item
            style, width, _ = now = browser.execute_script(look, item)
            assert now != before
            assert style != "none"
            assert float(width.removesuffix("px")) >= 2


@pytest.mark.parametrize("page", CHAPTERS)
def test_nothing_jumps_when_pictures_arrive_or_change(browser, server, page):
    heights = "return [...document.querySelectorAll('.explore')].map(e => e.getBoundingClientRect().height)"
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/_images/*"]})
    open_page(browser, server.url(page))
    blocked = browser.execute_script(heights)
    errors(browser)  # the blocked pictures
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    open_page(browser, server.url(page))
    assert browser.execute_script(heights) == pytest.approx(blocked, abs=0.5)
    for figure in figures(browser):
        for at in range(len(figure.inputs)):
            state = elsewhere(figure, at)
            by_keyboard(figure, at, state[at])
            figure.shows(state)
    assert browser.execute_script(heights) == pytest.approx(blocked, abs=0.5)


def test_every_page_names_its_icon(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 10
    assert [path.name for path in pages if not re.search(r'<link rel="[a-z ]*icon"', path.read_text("utf-8"))] == []
