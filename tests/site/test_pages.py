"""The built site as a reader meets it, in a real browser with no network. Every page and every figure is tried."""

import base64
import io
import itertools
import os
import re
import threading
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
    open_page,
    place,
    requests,
    set_screen,
    set_theme,
    soup,
    wait,
    want_no_motion,
)
from conftest import ROOT
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sphinx_external_toc.parsing import parse_toc_yaml

from notes.explore import png
from notes.site.contents import Contents

PAGES = [f"site/{name}.html" for name in parse_toc_yaml(ROOT / "_toc.yml")]
CHAPTERS = [f"site/book/{chapter.path.stem}.html" for chapter in Contents(ROOT).chapters] + ["tiny/book/tiny.html"]
TINY = "tiny/book/tiny.html"
THEMES = ["light", "dark"]
MOVES = [by_mouse, by_touch, by_keyboard]
EACH_WAY = {TINY, "site/book/langevin.html"}  # between them they have every kind of control


@pytest.fixture
def tiny(browser, server):
    """The tiny book's figures on the screen: bars (odd characters, a checkbox, a choice) and walk (play, a slider)."""
    open_page(browser, server.url(TINY))
    return figures(browser)


@pytest.fixture
def still(browser):
    """The browser of a reader who wants no motion: no figure starts by itself."""
    want_no_motion(browser)
    return browser


def pixels(picture):
    return Image.open(io.BytesIO(picture)).convert("RGB").tobytes()


def elsewhere(figure, at):
    """A state in which one control has moved, as far as it can."""
    state = figure.state()
    last = len(figure.labels[at]) - 1
    state[at] = 0 if state[at] > last / 2 else last
    return state


def heights(driver):
    """How much room each figure takes."""
    return driver.execute_script(
        "return [...document.querySelectorAll('.explore')].map((e) => e.getBoundingClientRect().height)"
    )


# Figures: what is shown is what was chosen


@pytest.mark.parametrize(
    ("page", "turn"), [(page, turn) for page in CHAPTERS for turn in range(len(MOVES) if page in EACH_WAY else 1)]
)
def test_every_control_shows_the_picture_of_its_values_and_nothing_jumps(still, server, page, turn):
    open_page(still, server.url(page))
    still.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    ways = itertools.islice(itertools.cycle(MOVES), turn, None)  # a control after the other, in turn
    before, found = heights(still), figures(still)
    assert found
    for figure in found:
        for at in range(len(figure.inputs)):
            state = elsewhere(figure, at)
            next(ways)(figure, at, state[at])
            figure.shows(state)
    assert heights(still) == pytest.approx(before, abs=0.5)


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
            is_choice = len(figure.inputs[at]) > 1
            for value in {*(range(len(labels)) if is_choice else (default[at] - 1, default[at] + 1))} - {default[at]}:
                if not 0 <= value < len(labels):
                    continue
                assert figure.frame([*default[:at], value, *default[at + 1 :]]) != figure.frame(default)


def test_the_picture_shown_is_the_one_that_the_figure_function_draws(tiny, pictures, server):
    bars, walk = tiny
    for figure, function, values, at, value in [
        (bars, pictures.bars, {"height": 2.0}, 0, 3),
        (bars, pictures.bars, {"height": 2.0, "tall": True}, 1, 1),
        (bars, pictures.bars, {"height": 2.0, "tall": True, "ink": "red"}, 2, 1),
        (walk, pictures.walk, {"q": 7}, 0, 7),
        (walk, pictures.walk, {"q": 7, "temperature": 0.5}, 1, 0),
    ]:
        by_keyboard(figure, at, value)
        state = figure.state()
        figure.shows(state)
        assert pixels(server.file(figure.image.get_attribute("src")).read_bytes()) == pixels(png(function(**values)))


def test_the_last_of_many_fast_moves_wins_though_its_picture_comes_first(browser, server, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    slow = {walk.frame([step, 1]) for step in range(1, 11)}
    server.delay = lambda path: 0.4 * (path.rsplit("/", 1)[-1] in slow)  # the picture of 0 overtakes all others
    shown = "window.shown = []; new MutationObserver(() => shown.push(arguments[0].src.split('/').pop()))"
    browser.execute_script(f"{shown}.observe(arguments[0], {{attributeFilter: ['src']}})", walk.image)
    walk.scroll_to()
    ((slider,), _) = walk.inputs
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


def test_moving_a_control_or_escape_stops_play(browser, tiny):
    walk = tiny[1]
    walk.scroll_to()
    for stop in (lambda: by_keyboard(walk, 1, 2), lambda: browser.switch_to.active_element.send_keys(Keys.ESCAPE)):
        by_keyboard(walk, 0, 2)
        walk.play.click()
        wait(browser, lambda: walk.state()[0] >= 3, "play does not move the slider")
        stop()
        assert not plays(walk)
        state = walk.state()
        time.sleep(0.6)
        walk.shows(state)


def noted(driver, figure):
    """Note from now on what a figure shows, in order, with what its badge says, and what a screen reader is told."""
    driver.execute_script(
        """const [root] = arguments, image = root.querySelector("img"), badge = root.querySelector(".explore-badge");
        const said = root.querySelector(".explore-said"), live = "[aria-live]:not([aria-live=off]), [role=status]";
        window.noted = {shown: [], badges: [], busy: [], said: []};
        new MutationObserver((changes) => changes.forEach(({target, attributeName}) => {
          if (attributeName === "src") {
            noted.shown.push(image.src.split("/").pop());
            noted.badges.push(badge.textContent);
          }
          if (attributeName === "aria-busy") noted.busy.push(image.getAttribute("aria-busy"));
          const heard = (target.nodeType === 1 ? target : target.parentElement).closest(live);
          if (heard && heard.textContent) noted.said.push(heard.textContent);
        })).observe(root, {subtree: true, childList: true, characterData: true, attributeFilter: ["src", "aria-busy"]});
        """,
        figure.root,
    )
    return lambda: driver.execute_script("return window.noted")


def test_play_over_a_slow_line_waits_for_a_reserve_and_shows_each_frame_in_order(browser, server, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    run, line = [walk.frame([step, 1]) for step in range(3, 11)], threading.Event()
    server.delay = lambda path: path.endswith(run[5]) and not line.wait(10)  # the last of the reserve, held back
    walk.scroll_to()
    notes = noted(browser, walk)
    walk.play.click()
    wait(browser, lambda: walk.badge() == "loading…", "nothing says that it loads")
    assert notes()["busy"][-1] == "true"
    assert notes()["shown"] == []
    line.set()
    wait(browser, lambda: not plays(walk), "it does not end")
    walk.shows([10, 1])
    assert [*zip(notes()["shown"], notes()["badges"], strict=True)] == [(name, "") for name in run]
    assert notes()["busy"][-1] == "false"
    assert notes()["said"] == ["Stopped at q 10, temperature 1."]  # and nothing on the way there


def test_a_play_that_runs_out_of_frames_waits_for_them(browser, server, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    late = walk.frame([9, 1])
    server.delay = lambda path: 3.0 * path.endswith(late)
    walk.scroll_to()
    notes = noted(browser, walk)
    walk.play.click()
    wait(browser, lambda: walk.badge() == "loading…", "nothing says that it waits")
    walk.shows([8, 1])
    wait(browser, lambda: not plays(walk), "it does not go on")
    assert notes()["shown"][-3:] == [walk.frame([step, 1]) for step in (8, 9, 10)]
    assert walk.badge() == ""


def test_play_fetches_what_comes_next_and_nothing_else(browser, server, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.clearBrowserCache", {})
    walk.scroll_to()
    requests(browser)
    server.delay = lambda path: 0.1 * path.endswith(".webp")
    browser.execute_script("arguments[0].click(); arguments[1].focus()", walk.play, walk.inputs[1][0])
    wait(browser, lambda: walk.state()[0] >= 4, "it does not start", 10)  # the focus of another control is no matter
    asked = [name for url in requests(browser) if (name := url.split("/")[-1]) in walk.frames]
    assert asked == [walk.frame([step, 1]) for step in range(3, 3 + len(asked))]


def test_a_frame_that_is_missing_ends_the_play_and_is_said_to_be(browser, tiny):
    walk = tiny[1]
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": [f"*{walk.frame([10, 1])}"]})
    walk.scroll_to()
    walk.play.click()
    message = walk.root.find_element(By.CSS_SELECTOR, ".explore-message")
    wait(browser, lambda: "could not be loaded" in message.text, "no message", 10)
    assert not plays(walk)
    walk.shows([9, 1])
    errors(browser)  # the blocked request, which is what this test is about


@pytest.fixture
def starting(browser, server, tiny_book):
    """Opens the tiny book with a walk that starts by itself, at a place of the page or with a reader's wish."""
    page = tiny_book / "_build" / "html" / "book" / f"starts-{os.getpid()}.html"  # the other process has its own
    text = (page.parent / "tiny.html").read_text(encoding="utf-8")
    page.write_text(text.replace("data-interval=", "data-starts data-interval="), encoding="utf-8")

    def opened(address=""):
        open_page(browser, server.url(f"tiny/book/{page.name}") + address)
        return figures(browser)[1]

    yield opened
    page.unlink()


def test_a_play_starts_by_itself_once_when_it_comes_into_view(browser, starting):
    set_screen(browser, 1280, 500)
    walk = starting()
    time.sleep(0.4)
    assert not plays(walk)
    notes = noted(browser, walk)
    walk.scroll_to()
    wait(browser, lambda: not plays(walk) and walk.state() == [10, 1], "it does not run to its end")
    walk.shows([10, 1])
    assert notes()["shown"] == [walk.frame([step, 1]) for step in range(11)]
    for top in ("0", "document.body.scrollHeight"):
        browser.execute_script(f"scrollTo({{top: {top}, behavior: 'instant'}})")
        walk.scroll_to()
        time.sleep(0.4)
        assert not plays(walk)
    assert "?" not in browser.current_url  # the reader has chosen nothing


@pytest.mark.parametrize("reason", ["reduced motion", "an address", "a touch"])
def test_a_play_does_not_start_by_itself_against_the_reader(browser, starting, reason):
    set_screen(browser, 1280, 500)
    if reason == "reduced motion":
        want_no_motion(browser)
    walk = starting("#fig-tiny-bars?tall=on" if reason == "an address" else "")
    if reason == "a touch":
        by_keyboard(walk, 1, 0)
    walk.scroll_to()
    time.sleep(0.5)
    assert not plays(walk)
    assert walk.state()[0] == 2


@pytest.mark.parametrize("moment", ["while it loads", "while it moves"])
def test_the_first_press_of_a_key_stops_a_play_that_started_by_itself_and_counts(browser, server, starting, moment):
    set_screen(browser, 1280, 500)
    walk = starting()
    line = threading.Event()
    if moment == "while it loads":
        browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        server.delay = lambda path: path.endswith(walk.frame([1, 1])) and not line.wait(10)
    walk.scroll_to()
    wait(browser, lambda: plays(walk) if moment == "while it loads" else walk.state()[0] in (4, 5), "it does not start")
    browser.execute_script("arguments[0].focus()", walk.inputs[1][0])
    ActionChains(browser, duration=0).send_keys(Keys.ARROW_RIGHT).perform()
    assert not plays(walk)
    state = walk.state()
    assert state[1] == 2
    line.set()
    time.sleep(0.6)
    walk.shows(state)


# Pin and compare, save, and copy


def held(driver, figure, by):
    """Press the button that shows the pinned picture; returns how to let go."""
    button = figure.tool("compare")
    if by == "finger":
        box = driver.execute_script("return arguments[0].getBoundingClientRect().toJSON()", button)
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [where]})
        end = {"type": "touchEnd", "touchPoints": []}
        return lambda: driver.execute_cdp_cmd("Input.dispatchTouchEvent", end)
    hand = ActionChains(driver, duration=0)
    if by == "mouse":
        hand.click_and_hold(button).perform()
        return ActionChains(driver, duration=0).release().perform
    driver.execute_script("arguments[0].focus()", button)
    hand.key_down(by).perform()
    return ActionChains(driver, duration=0).key_up(by).perform


def test_a_pinned_picture_is_seen_while_its_button_is_held(browser, tiny):
    bars = tiny[0]
    bars.scroll_to()
    assert not bars.tool("compare").is_displayed()
    bars.tool("pin").click()
    assert bars.tool("pin").text == "unpin"
    by_keyboard(bars, 0, 3)
    by_keyboard(bars, 2, 1)
    bars.shows([3, 0, 1])
    for by in ("mouse", "finger", Keys.SPACE, Keys.ENTER):
        let_go = held(browser, bars, by)
        wait(browser, lambda: bars.shown() == bars.frame([2, 0, 0]), f"{by!r} does not show the pinned picture")
        assert bars.badge() == "pinned: height one+, tall off, ink deep blue"
        assert "height one+" in bars.image.get_attribute("alt")
        time.sleep(0.4)  # longer than a short press
        let_go()
        bars.shows([3, 0, 1])
        assert bars.badge() == ""


def test_a_short_press_shows_the_pinned_picture_until_the_next_or_a_move(browser, tiny):
    bars = tiny[0]
    bars.scroll_to()
    bars.tool("pin").click()
    by_mouse(bars, 1, 1)
    bars.shows([2, 1, 0])
    by_script = lambda: browser.execute_script("arguments[0].click()", bars.tool("compare"))  # noqa: E731
    for press in (bars.tool("compare").click, lambda: bars.tool("compare").send_keys(Keys.SPACE), by_script):
        press()
        wait(browser, lambda: bars.shown() == bars.frame([2, 0, 0]), "the pinned picture is not shown")
        assert bars.tool("compare").get_attribute("aria-pressed") == "true"
        press()
        bars.shows([2, 1, 0])
        assert bars.tool("compare").get_attribute("aria-pressed") == "false"
    by_script()
    by_keyboard(bars, 0, 3)
    bars.shows([3, 1, 0])
    assert bars.badge() == ""
    bars.tool("pin").click()  # another takes its place
    bars.tool("pin").click()
    assert not bars.tool("compare").is_displayed()


def test_the_picture_shown_is_saved_under_a_name_that_says_what_it_is(browser, server, tiny, tmp_path):
    bars = tiny[0]
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    for state, name in [
        ([2, 0, 0], "fig-tiny-bars-height-one-tall-off-ink-deep-blue.webp"),
        ([2, 0, 1], "fig-tiny-bars-height-one-tall-off-ink-as-good-as-red.webp"),
    ]:
        by_keyboard(bars, 2, state[2])
        wait(browser, lambda state=state: bars.shown() == bars.frame(state), "the picture does not change")
        bars.tool("save").click()
        wait(browser, (tmp_path / name).exists, f"{name} is not saved")
        shown = server.file(bars.image.get_attribute("src")).read_bytes()
        wait(browser, lambda name=name, shown=shown: (tmp_path / name).read_bytes() == shown, "another file is saved")


@pytest.mark.parametrize("allowed", [True, False])
def test_a_link_to_the_state_shown_is_copied_or_stands_in_the_address(browser, server, tiny, allowed):
    walk = tiny[1]
    by_keyboard(walk, 1, 2)
    walk.shows([2, 2])
    write = "(text) => { window.copied = text; }" if allowed else "() => { throw new DOMException('no'); }"
    browser.execute_script(f"navigator.clipboard.writeText = async {write}")
    walk.tool("link").click()
    answer = "copied" if allowed else "copy it from the address bar"
    wait(browser, lambda: walk.tool("link").text == answer, "nothing says what was done")
    assert walk.tool("said").get_attribute("textContent") == answer
    address = server.url(TINY) + fragment(walk, [2, 2])
    assert browser.current_url == address
    if allowed:
        assert browser.execute_script("return window.copied") == address


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
    want_no_motion(browser)
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
    inputs = soup(server.file(server.url(page))).select(".explore input")
    assert inputs
    assert not any(item.has_attr("name") or item.has_attr("id") for item in inputs)


def test_every_label_survives_the_way_through_an_address(browser, server, tiny):
    bars = tiny[0]
    addresses = {(value, 1, value % 3): fragment(bars, [value, 1, value % 3]) for value in range(4)}
    for state, address in addresses.items():
        open_page(browser, server.url(TINY) + address)
        figures(browser)[0].shows(state)


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
    assert unquote(address.replace("+", " ")).endswith("#fig-tiny-bars?height=#2&tall=on&ink=deep blue")
    caption = "return document.querySelector('#fig-tiny-bars figcaption a.headerlink').href"
    assert browser.execute_script(caption) == address
    open_page(browser, address)
    figures(browser)[0].shows([3, 1, 0])
    assert browser.execute_script(caption) == address


def test_a_link_within_the_page_moves_the_figure(browser, tiny):
    bars, walk = tiny
    browser.execute_script("location.hash = arguments[0]", fragment(walk, [8, 2]))
    walk.shows([8, 2])
    browser.execute_script("location.hash = arguments[0]", fragment(bars, [0, 1, 2]))
    bars.shows([0, 1, 2])
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
        tools = "input, button, output, .explore-save"
        assert not any(item.is_displayed() for item in root.find_elements(By.CSS_SELECTOR, tools))
        assert root.find_element(By.XPATH, "./ancestor::figure//figcaption").text.strip()


@pytest.mark.parametrize("page", CHAPTERS)
def test_in_print_the_picture_stands_alone(browser, server, page):
    open_page(browser, server.url(page))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    for figure in figures(browser):
        assert figure.image.is_displayed()
        assert not any(item.is_displayed() for item in figure.root.find_elements(By.CSS_SELECTOR, "input, button, a"))
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_page_opened_from_disk_works(still, server, page):
    open_page(still, server.file(server.url(page)).as_uri())
    for figure in figures(still):
        state = figure.state()
        state[0] += 1 if state[0] == 0 else -1
        by_keyboard(figure, 0, state[0])
        figure.shows(state)
        assert figure.tool("save").get_attribute("target") == "_blank"  # it would take the place of the page
        assert figure.tool("save").get_attribute("href") == figure.image.get_attribute("src")
    assert {urlsplit(url).scheme for url in requests(still)} == {"file"}


@pytest.mark.parametrize("page", CHAPTERS)
def test_text_around_figures_is_legible_and_pictures_are_not_dimmed(browser, server, page):
    open_page(browser, server.url(page))
    texts = ".explore :is(div, p) *, figcaption *, .claim, .claim *, article p, article li, article td, article a"
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
        for item in figure.root.find_elements(By.CSS_SELECTOR, "input, button:not([hidden]), a"):
            is_small = item.get_dom_attribute("type") in ("checkbox", "radio")
            target = (item.find_element(By.XPATH, "..") if is_small else item).rect
            assert min(target["height"], target["width"]) >= 24, item.get_attribute("outerHTML")
            assert target["x"] >= 0
            assert target["x"] + target["width"] <= 390
    formulas = browser.execute_script(  # those of the folded proofs too; the pixel is a rounded width
        """for (const e of document.querySelectorAll("details")) e.open = true;
        return [...document.querySelectorAll("mjx-container[display]")]
          .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""
    )
    assert not formulas
    set_screen(browser, 320, mobile=True)  # where a formula may scroll within its own box
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 320


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_control_is_reached_by_tab_and_shows_its_focus(browser, server, page):
    open_page(browser, server.url(page))
    look = "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, s.outlineWidth, s.outlineColor]"
    for figure, theme in zip(figures(browser), itertools.cycle(THEMES), strict=False):  # one style for all figures
        set_theme(browser, theme)
        # Of a choice the chosen one is reached; arrow keys lead on from there.
        items = figure.root.find_elements(By.CSS_SELECTOR, "input:not([type=radio]), :checked, button:not([hidden]), a")
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
def test_a_figure_first_shows_its_defaults_and_their_arrival_moves_nothing(still, server, page):
    still.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/_images/*"]})
    open_page(still, server.url(page))
    blocked = heights(still)
    errors(still)  # the blocked pictures
    still.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    open_page(still, server.url(page))
    for figure in figures(still):
        figure.scroll_to()  # the pictures below the first are loaded when they come near
        wait(still, figure.shown, f"{figure.id}: no picture")
        assert figure.shown() == figure.frame(figure.state())
        assert figure.image.get_attribute("alt") == figure.root.get_attribute("data-alt")
    assert heights(still) == pytest.approx(blocked, abs=0.5)


def test_the_site_takes_less_than_100_megabytes(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 100_000_000


def test_every_page_names_its_icon(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 10
    assert [path.name for path in pages if not re.search(r'<link rel="[a-z ]*icon"', path.read_text("utf-8"))] == []
