"""The site's Content-Security-Policy: what it names, that every page has it, that a reader does not meet it, that it
bites."""

import base64
import hashlib
import io
import os
import shutil

import pytest
from browser import errors, open_page, requests, set_screen, soup, wait
from conftest import ROOT
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sphinx_external_toc.parsing import parse_toc_yaml

from notes.site import build, policy

TINY = "tiny/book/tiny.html"
PAGES = [f"site/{name}.html" for name in ["genindex", "search", *parse_toc_yaml(ROOT / "_toc.yml")]]
# What a browser computes of these texts, as the policy's specification and its guides have them.
KNOWN = {
    "alert('Hello, world.');": "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='",
    "": "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
}


def page(head="", body=""):
    return f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8" />\n{head}</head>\n<body>\n{body}</body>\n</html>\n'


def directives(path):
    """The policy of a page, by directive; it has one."""
    (meta,) = soup(path).find_all("meta", {"http-equiv": "Content-Security-Policy"})
    return dict(directive.strip().split(" ", 1) for directive in meta["content"].split(";"))


def hashes(text):
    """The scripts that the policy of a page names."""
    script_src = policy.with_policy(text)[0].partition("script-src 'self'")[2].partition('"')[0]
    return script_src.split()


@pytest.mark.parametrize("text", KNOWN)
def test_a_script_is_named_by_the_hash_that_browsers_compute(text):
    assert policy.script_hash(text) == KNOWN[text]


@pytest.mark.parametrize(
    "text",
    ["\n  let a = 1;\n\n", "if (1 < 2 && 3 > 2) '&lt;';", "'<b>σ</b><!-- no comment -->'", "// <a onclick=''>", "\t"],
)
def test_a_script_counts_as_it_stands_between_its_tags(text):
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert hashes(page(f"<script>{text}</script>")) == [f"'sha256-{digest}'"]


def test_each_inline_script_is_named_once_and_nothing_else_is():
    text = page(
        '<script>a</script><script src="b.js"></script><script type="module" id="c">c</script><style>d</style>',
        "<script>a</script><p>e</p><!-- <script>f</script> --><pre>&lt;script&gt;g&lt;/script&gt;</pre>",
    )
    assert hashes(text) == sorted(map(policy.script_hash, "ac"))


def test_the_policy_stands_before_everything_but_the_encoding():
    text = policy.with_policy(page("<script>a</script>"))[0]
    assert text.index("<meta charset") < text.index("Content-Security-Policy") < text.index("<script>")
    assert text.index("<meta charset") < 1024
    assert policy.with_policy("<p>bare</p>")[0].lstrip().startswith('<meta http-equiv="Content-Security-Policy"')


def test_a_page_that_has_its_policy_stays_and_one_that_changed_gets_another():
    once = policy.with_policy(page("<script>a</script>"))[0]
    assert policy.with_policy(once) == (once, [])
    changed = once.replace("<script>a<", "<script>b<")
    assert policy.with_policy(changed)[0] == policy.with_policy(page("<script>b</script>"))[0]


def test_a_page_is_given_its_policy_word_for_word():
    scripts = "<script>alert('Hello, world.');</script><script></script>"
    text, _ = policy.with_policy(page("<title>a</title>\n", scripts))
    assert text == page(
        '<meta http-equiv="Content-Security-Policy" content="'
        "default-src 'self'; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        f"script-src 'self' {' '.join(sorted(KNOWN.values()))}\">\n<title>a</title>\n",
        scripts,
    )


def test_only_the_first_policy_of_a_page_is_its_own():
    once = policy.with_policy(page())[0]
    shown = once.replace("<body>", f"<body><!-- {once[once.index('<meta http') : once.index('</head>')]} -->")
    assert shown.count("http-equiv") == 2
    assert policy.with_policy(shown)[0] == shown


def test_what_the_policy_refuses_is_found():
    body = (
        '<a href=" JavaScript:go()">a</a><button ONCLICK="go()">b</button><button onclick="window.print()">c</button>'
        "<button disabled>d</button>"
    )
    text, refused = policy.with_policy(page(body=body))
    assert refused == ['<a href=" JavaScript:go()">', '<button onclick="go()">']
    assert "<button>c</button>" in text


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<img src="https://e.example/a.png">', '<img src="https://e.example/a.png">'),
        ('<IMG SRC=" //e.example/a.png">', '<img src=" //e.example/a.png">'),
        ('<img src="\\\\e.example/a.png">', '<img src="\\\\e.example/a.png">'),
        ('<img src="data:image/png;base64,AA">', '<img src="data:image/png;base64,AA">'),
        (f'<img src="data:{90 * "a"}">', f'<img src="data:{74 * "a"}…">'),
        ('<img srcset="b.png, //e.example/c.png 2x">', '<img srcset="b.png, //e.example/c.png 2x">'),
        ('<picture><source srcset="data:,a 1x"></picture>', '<source srcset="data:,a 1x">'),
        ('<iframe src="http://e.example/"></iframe>', '<iframe src="http://e.example/">'),
        ('<iframe srcdoc="<img src=//e.example/d>"></iframe>', '<iframe srcdoc> <img src="//e.example/d">'),
        ('<script src="https://e.example/e.js"></script>', '<script src="https://e.example/e.js">'),
        ('<link rel="StyleSheet" href="https://e.example/f.css">', '<link href="https://e.example/f.css">'),
        ('<link rel="preload" imagesrcset="https://e.example/f 1x">', '<link imagesrcset="https://e.example/f 1x">'),
        ("<style>a {src: url( 'https://e.example/g')}</style>", "<style> https://e.example/g"),
        ('<style>@import "//e.example/h.css";</style>', "<style> //e.example/h.css"),
        ("<style>@import url(//e.example/i.css);</style>", "<style> //e.example/i.css"),
        ('<p style="background: URL(//e.example/j)">j</p>', '<p style="background: URL(//e.example/j)">'),
        ('<p style="background: image-set(url(//e.example/k) 1x)">k</p>', None),
        ('<form action="https://e.example/l"></form>', '<form action="https://e.example/l">'),
        ('<button formaction="https://e.example/m">m</button>', '<button formaction="https://e.example/m">'),
        ('<object data="own.svg"></object>', '<object data="own.svg">'),
        ('<embed src="own.svg">', '<embed src="own.svg">'),
        ('<base href="deeper/">', '<base href="deeper/">'),
        ('<video poster="//e.example/n" src="n.mp4"></video>', '<video poster="//e.example/n">'),
        ('<audio><source src="https://e.example/o"></audio>', '<source src="https://e.example/o">'),
        ('<video><track src="https://e.example/p"></video>', '<track src="https://e.example/p">'),
        ('<input type="image" src="https://e.example/q">', '<input src="https://e.example/q">'),
        ('<svg><image xlink:href="https://e.example/r"/></svg>', '<image xlink:href="https://e.example/r">'),
        ('<table><td background="https://e.example/s"></table>', '<td background="https://e.example/s">'),
        ('<a href="java\nscript:go()">t</a>', '<a href="java\nscript:go()">'),
        ('<a href="\x01javascript:go()">u</a>', '<a href="\x01javascript:go()">'),
    ],
)
def test_what_a_browser_would_not_load_is_found(body, found):
    refused = policy.with_policy(page(body=body))[1]
    assert len(refused) == 1
    assert refused == [found or refused[0]]


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://e.example/">a</a> https://e.example/words.png',
        '<img src="own.png" srcset="own.png 1x, own.png?a,b 2x" alt="https://e.example/a">',
        '<img src="/own.png"><img src="?a=b:c"><img src="#c:d"><img src="">',
        '<iframe src="about:blank"></iframe><iframe src="own.html"></iframe><iframe srcdoc="<p>within</p>"></iframe>',
        '<link rel="canonical" href="https://e.example/"><link href="https://e.example/">',
        "<style>a {background: url(own.png), url(#b)} /* url(https://e.example/c) */ @import 'own.css';</style>",
        '<form action=""></form><form action="search.html"></form><button formaction="own">b</button>',
        "<p>url(https://e.example/f)</p>",
        "<style>/* @import\n'//e.example/d.css' */</style>",
        "<pre>&lt;img src=https://e.example/a.png&gt;</pre><!-- <img src=https://e.example/b.png> -->",
        '<p style="color: red; background: url(own.png)">d</p>',
        '<object></object><svg><use href="#a"/></svg><blockquote cite="https://e.example/">c</blockquote>',
    ],
)
def test_what_a_browser_loads_or_only_leads_to_is_not_refused(body):
    assert policy.with_policy(page(body=body))[1] == []


@pytest.mark.parametrize("rel", sorted(policy._LOADING_LINKS))
def test_a_link_that_is_loaded_may_not_lead_elsewhere(rel):
    assert {"icon", "manifest", "modulepreload", "prefetch"} < policy._LOADING_LINKS
    assert len(policy.with_policy(page(body=f'<link rel="next {rel}" href="//e.example/">'))[1]) == 1


@pytest.mark.parametrize(
    ("tag", "name"), [(tag, name) for name, tags in policy._LOADED.items() for tag in sorted(tags)]
)
def test_every_address_that_is_loaded_is_looked_at(tag, name):
    rel = ' rel="icon"' if tag == "link" else ""
    assert policy.with_policy(page(body=f'<{tag}{rel} {name}="//e.example/a">'))[1] == [
        f'<{tag} {name}="//e.example/a">'
    ]


def test_a_page_within_a_page_has_its_scripts_named():
    frames = '<script>a</script><iframe srcdoc="<script>b</script>"></iframe><iframe srcdoc="<script>c</script>">'
    assert hashes(page(body=frames)) == sorted(map(policy.script_hash, "abc"))


def test_what_is_refused_before_a_page_within_a_page_is_told_too():
    image = '<img src="//e.example/a">'
    body = f"{image}<iframe srcdoc='{image}'></iframe><iframe srcdoc='{image}'></iframe>"
    assert policy.with_policy(page(body=body))[1] == [image, *2 * [f"<iframe srcdoc> {image}"]]


def test_a_style_sheet_is_read_as_pages_are_but_for_the_themes(tmp_path):
    for name in ("_static/styles/theme.css", "_static/own.css", "_images/more.css"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('@font-face {src: url("data:font/woff2;base64,AA")}', encoding="utf-8")
    said = "css: the site's policy refuses data:font/woff2;base64,AA"
    assert policy.write(tmp_path) == [f"_images/more.{said}", f"_static/own.{said}"]


def test_a_site_is_written_once(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "macros.html").write_text("{# of the theme #}")
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "page.html"
    path.write_bytes(page("<script>a;\nb;</script>").replace("\n", "\r\n").encode())
    assert policy.write(tmp_path) == []
    assert policy.script_hash("a;\nb;") in path.read_text(encoding="utf-8")  # a browser reads \r\n as \n
    assert [*tmp_path.rglob("*.html")] == [path]
    os.utime(path, (0, 0))
    assert policy.write(tmp_path) == []
    assert path.stat().st_mtime == 0


def test_pages_are_read_and_written_as_utf_8_and_what_is_refused_is_told_of_each(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")  # such a locale
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.html").write_text(page(body='<p onclick="σ()">a</p>' * (name != "c")), encoding="utf-8")
    said = 'html: the site\'s policy refuses <p onclick="σ()">'
    assert policy.write(tmp_path) == [f"a.{said}", f"b.{said}"]
    assert "σ()" in (tmp_path / "b.html").read_text(encoding="utf-8")


def test_a_page_that_a_browser_would_refuse_fails_the_build(tmp_path, monkeypatch, capsys):
    def jupyter_book(*_, **__):
        (tmp_path / "_build" / "html").mkdir()
        (tmp_path / "_build" / "html" / "page.html").write_text(page(body='<p onclick="go()">a</p>'))

    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    (tmp_path / "intro.md").write_text("# Intro\n")
    monkeypatch.setattr(build, "execute_all", lambda contents: [])
    monkeypatch.setattr(build, "jupyter_book", jupyter_book)
    for name in build.kernel_environment():  # put back afterwards what the build sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
    assert build.main(tmp_path) == 1
    assert not (tmp_path / "_build" / build.FINISHED).exists()
    said = capsys.readouterr().err
    assert 'page.html: the site\'s policy refuses <p onclick="go()">' in said
    assert said.splitlines()[-1].startswith("The book was not built")


def test_every_page_has_a_strict_policy(site, tiny_book):
    for html in (site, tiny_book / "_build" / "html"):
        paths = [*html.rglob("*.html")]
        assert len(paths) > 5
        for path in paths:
            found = directives(path)
            scripts = found.pop("script-src").split()
            assert found == {
                "default-src": "'self'",
                "style-src": "'self' 'unsafe-inline'",
                "object-src": "'none'",
                "base-uri": "'none'",
                "form-action": "'self'",
            }
            assert scripts[0] == "'self'"
            assert all(source.startswith("'sha256-") for source in scripts[1:])


# A reader does not meet it: here, and in every test of test_site.py, which ends with no error on the console


@pytest.fixture
def refused(browser):
    """The browser; in the end no page may have met its policy, unless the test has looked and taken note."""
    note = """window.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));"""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": note})
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def met(driver):
    """The directives of the policy that the page met."""
    return driver.execute_script("return refused")


@pytest.mark.parametrize("name", [*PAGES, TINY])
def test_a_reader_does_not_meet_the_policy(refused, server, name):
    open_page(refused, server.url(name))
    refused.execute_script("document.querySelectorAll('summary, .toggle-button').forEach((fold) => fold.click())")
    for _ in range(3):
        refused.find_element(By.CSS_SELECTOR, ".theme-switch-button").click()
    assert met(refused) == []
    assert errors(refused) == []


def shown(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector).is_displayed()


@pytest.mark.parametrize(("side", "width"), [("primary", 1280), ("primary", 900), ("secondary", 1000)])
def test_the_sidebars_open_and_close(refused, server, side, width):
    set_screen(refused, width, 900)
    open_page(refused, server.url(TINY))
    bar, before = f".bd-sidebar-{side}", width == 1280
    assert shown(refused, bar) == before
    refused.find_element(By.CSS_SELECTOR, f".{side}-toggle").click()
    wait(refused, lambda: shown(refused, bar) != before, "the sidebar does not move")
    assert met(refused) == []


def test_the_page_can_be_printed_and_its_source_downloaded(refused, server):
    open_page(refused, server.url(TINY))
    refused.execute_script("window.print = () => { window.printed = true; }")
    refused.find_element(By.CSS_SELECTOR, ".dropdown-download-buttons > button").click()
    for label, suffix in [("notebook", ".ipynb"), ("source", ".md")]:
        link = refused.find_element(By.CSS_SELECTOR, f".btn-download-{label}-button")
        wait(refused, link.is_displayed, "the menu stays closed")
        assert server.file(link.get_attribute("href")).suffix == suffix
        assert server.file(link.get_attribute("href")).exists()
    refused.find_element(By.CSS_SELECTOR, ".btn-download-pdf-button").click()
    assert refused.execute_script("return window.printed") is True
    assert met(refused) == []


def test_a_cell_is_copied(refused, server):
    refused.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
    open_page(refused, server.url(TINY))
    refused.execute_script("navigator.clipboard.writeText('nothing yet')")
    cell = refused.find_element(By.CSS_SELECTOR, "article .cell_input .highlight")
    ActionChains(refused).move_to_element(cell).perform()
    cell.find_element(By.CSS_SELECTOR, ".copybtn").click()
    paste = "navigator.clipboard.readText().then(arguments[0])"
    wait(refused, lambda: refused.execute_async_script(paste).startswith("explore(\n"), "nothing was copied")
    assert met(refused) == []


def test_a_solution_unfolds_and_a_term_says_what_it_means(refused, server):
    open_page(refused, server.url(TINY))
    assert not shown(refused, ".solution .claim")
    refused.find_element(By.CSS_SELECTOR, ".solution .toggle-button").click()
    wait(refused, lambda: shown(refused, ".solution .claim"), "the solution stays folded")
    definition = refused.find_element(By.CSS_SELECTOR, ".term > .definition")
    assert not definition.is_displayed()
    ActionChains(refused).move_to_element(refused.find_element(By.CSS_SELECTOR, ".term > a")).perform()
    wait(refused, definition.is_displayed, "the definition stays hidden")
    assert met(refused) == []


def test_a_word_is_searched_and_found(refused, server):
    open_page(refused, server.url(TINY))
    refused.find_element(By.CSS_SELECTOR, ".search-button-field").click()
    field = refused.find_element(By.CSS_SELECTOR, "#pst-search-dialog input[type=search]")
    wait(refused, field.is_displayed, "no field to search in")
    field.send_keys("walk", Keys.ENTER)
    found = "#search-results a"
    wait(refused, lambda: refused.find_elements(By.CSS_SELECTOR, found), "nothing is found")
    assert met(refused) == []
    refused.find_element(By.CSS_SELECTOR, found).click()
    wait(refused, lambda: "tiny.html" in refused.current_url, "the result leads nowhere")
    assert met(refused) == []


# It bites


@pytest.fixture
def tampered(refused, server, tiny_book, tmp_path):
    """Opens the tiny page with something put into it after the build."""
    html = shutil.copytree(tiny_book / "_build" / "html", tmp_path / "html")
    server.folders["tampered"] = html

    def open_with(injected, own=""):
        (html / "book" / "own.js").write_text(own)
        path = html / "book" / "tiny.html"
        before, end, after = path.read_text(encoding="utf-8").rpartition("</body>")
        path.write_text(before + injected + end + after, encoding="utf-8")
        refused.execute_cdp_cmd("Network.clearBrowserCache", {})  # each test's page has the same address
        refused.get(server.url("tampered/book/tiny.html"))
        return refused

    yield open_with
    del server.folders["tampered"]
    requests(refused), errors(refused)  # what the policy refused


@pytest.mark.parametrize(
    ("injected", "directive"),
    [
        ("<script>window.ran = true;</script>", "script-src-elem"),
        ('<img src="none.png" onerror="window.ran = true">', "script-src-attr"),
        ('<a id="go" href="javascript:window.ran=true">go</a><!-- -->', "script-src-elem"),
        ('<script src="data:text/javascript,window.ran=true"></script>', "script-src-elem"),
        ('<script src="https://elsewhere.example/a.js"></script>', "script-src-elem"),
        ('<img src="https://elsewhere.example/a.png">', "img-src"),
        ('<link rel="stylesheet" href="https://elsewhere.example/a.css">', "style-src-elem"),
        ("<style>@import url(https://elsewhere.example/a.css);</style>", "style-src-elem"),
        ('<iframe src="https://elsewhere.example/"></iframe>', "frame-src"),
        ('<object data="../_static/favicon.svg"></object>', "object-src"),
        ('<base href="https://elsewhere.example/">', "base-uri"),
        ('<form id="go" action="https://elsewhere.example/"></form>', "form-action"),
    ],
)
def test_what_is_put_into_a_page_later_is_refused(tampered, injected, directive):
    driver = tampered(injected)
    driver.execute_script(
        "const go = document.getElementById('go'); go?.requestSubmit ? go.requestSubmit() : go?.click()"
    )
    wait(driver, lambda: directive in met(driver), f"{directive} lets it through")
    assert driver.execute_script("return window.ran") is None


@pytest.mark.parametrize(
    ("script", "directive"),
    [("window.ran = eval('1')", "script-src"), ("fetch('https://elsewhere.example/')", "connect-src")],
)
def test_what_a_script_of_the_site_may_not_do_is_refused(tampered, script, directive):
    driver = tampered('<script src="own.js"></script>', script)
    wait(driver, lambda: directive in met(driver), f"{directive} lets it through")
    assert driver.execute_script("return window.ran") is None
