"""The landing page's figure, whose particles are computed as the reader looks."""

import pytest
from browser import by_keyboard, by_mouse, figures, open_page, requests, wait, want_no_motion
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

INTRO = "site/book/intro.html"
FLOW = "const flow = arguments[0].querySelector('.explore-flow');"


def canvas(hero):
    return next(iter(hero.root.find_elements(By.CSS_SELECTOR, ".explore-flow")), None)


def steps(hero):
    return int(hero.root.find_element(By.TAG_NAME, "output").text.split()[0])


def inks(hero):
    """How many dots of the picture have the colour of what was dropped."""
    return hero.driver.execute_script(
        f"""{FLOW} const {{data}} = flow.getContext("2d").getImageData(0, 0, flow.width, flow.height);
        let n = 0;
        for (let i = 0; i < data.length; i += 4) n += data[i] === 34 && data[i + 1] === 34 && data[i + 2] === 34;
        return n""",
        hero.root,
    )


@pytest.fixture
def hero(browser, server):
    """The landing page's figure, flowing."""
    open_page(browser, server.url(INTRO))
    (found,) = figures(browser)
    wait(browser, lambda: canvas(found) and steps(found) > 10, "nothing flows", 10)
    return found


def test_it_flows_on_and_loads_no_frame_but_its_picture(browser, hero):
    before = steps(hero)
    wait(browser, lambda: steps(hero) > before + 30, "it does not flow on", 10)
    assert hero.play.get_dom_attribute("aria-label") == "Pause time"
    assert len([url for url in requests(browser) if "/frame-" in url]) == 1


def test_a_click_drops_particles_there(browser, hero):
    assert inks(hero) == 0
    ActionChains(browser).move_to_element_with_offset(canvas(hero), 60, 40).click().perform()
    wait(browser, lambda: inks(hero) > 100, "nothing is dropped")


@pytest.mark.parametrize("act", ["pause", "escape", "slider"])
def test_what_stops_it_shows_the_picture_of_the_controls(browser, hero, act):
    state = hero.state()
    if act == "pause":
        hero.play.click()
    elif act == "escape":
        browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    else:
        by_keyboard(hero, 0, state[0] + 1)
        state[0] += 1
    wait(browser, lambda: canvas(hero) is None, "it flows on")
    wait(browser, lambda: hero.shown() == hero.frame(state), "another picture")
    hero.play.click()
    wait(browser, lambda: canvas(hero), "it does not flow again")


def test_another_shape_flows_on(browser, hero):
    by_mouse(hero, 1, 2)
    wait(browser, lambda: canvas(hero) and steps(hero) > 10, "the new shape does not flow", 10)
    assert hero.state()[1] == 2


def test_it_stays_a_picture_for_who_wants_no_motion(browser, server):
    want_no_motion(browser)
    open_page(browser, server.url(INTRO))
    (found,) = figures(browser)
    found.scroll_to()
    assert found.shown() == found.frame(found.state())
    assert canvas(found) is None
