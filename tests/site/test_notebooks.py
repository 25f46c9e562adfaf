"""A chapter as the notebook that its page offers: it is the chapter, reads well in any viewer, and runs anywhere."""

import importlib.metadata
import io
import os
import re
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from browser import open_page, wait
from conftest import ROOT
from docutils import nodes
from selenium.webdriver.common.by import By

from notes.site import notebooks
from notes.site.contents import Contents

CHAPTERS = [chapter.path.relative_to(ROOT).with_suffix("") for chapter in Contents(ROOT).chapters]


def texts(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def codes(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shows_figure(cell):
    return cell.source.lstrip().startswith("explore(")


@pytest.mark.parametrize("page", ["site/book/explicit.html", "tiny/book/tiny.html"])
def test_a_page_offers_its_notebook_and_the_package_for_it(browser, server, page):
    open_page(browser, server.url(page))
    browser.find_element(By.CSS_SELECTOR, ".dropdown-download-buttons button").click()
    links = [browser.find_element(By.CSS_SELECTOR, f"a.btn-download-{kind}-button") for kind in ("notebook", "package")]
    notebook, wheel = [server.file(link.get_attribute("href")) for link in links]
    wait(browser, lambda: all(link.is_displayed() for link in links), "the links stay hidden")
    assert notebook.stem == page.rpartition("/")[2].removesuffix(".html")
    assert wheel.parent == notebook.parent
    assert wheel.read_bytes() == notebooks.wheel()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_a_notebook_is_its_chapter_with_outputs_for_any_viewer(site, chapter):
    notebook = nbformat.read(site / "_sources" / f"{chapter}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell.id for cell in notebook.cells] == [f"cell-{n}" for n in range(1, len(notebook.cells) + 1)]
    setup, *code = codes(notebook)
    assert setup.outputs == []
    source = [cell for cell in jupytext.read(ROOT / f"{chapter}.md").cells if cell.cell_type == "code"]
    assert [cell.source for cell in code] == [cell.source for cell in source]
    for cell in code:
        assert {*cell.metadata} <= {"tags", "jupyter"}
        kinds = [{*output.data} for output in cell.outputs if "data" in output]
        assert all(shown <= {"text/plain", "text/html", "image/png"} for shown in kinds)
        if shows_figure(cell):
            assert kinds == [{"text/plain", "image/png"}]
            after = notebook.cells[notebook.cells.index(cell) + 1].source
            assert re.match(r'(<a id="fig-[\w-]+"></a>)?\*\*Fig\. \d+\.\*\* \S', after)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_a_notebook_is_written_in_plain_markdown(site, chapter):
    notebook = nbformat.read(site / "_sources" / f"{chapter}.ipynb", as_version=4)
    text = "\n\n".join(texts(notebook))
    words = re.sub(r"\$\$.*?\$\$|\$[^$]+\$|`[^`]+`", "", text, flags=re.DOTALL)
    assert re.findall(r"\{[a-z:]+\}|:::|^:\w+:|^\([\w-]+\)=|\$|\\\w+|^%", words, flags=re.MULTILINE) == []
    here, anchors = re.findall(r"\]\(#(.*?)\)", text), re.findall(r'<a id="(.*?)">', text)
    assert {*here} == {*anchors}
    assert len(anchors) == len({*anchors})
    for place in re.findall(r"\]\((\.\..*?)\)", text):
        path, _, anchor = place.partition("#")
        page = (site / "_sources" / chapter.parent / path).read_text(encoding="utf-8")
        assert not anchor or f'id="{anchor}"' in page, place
    numbers = re.findall(r"\[(?:Fig\. |Theorem |\()?(\d*)\)?\]\(", text)
    assert numbers or "performance" in str(chapter)
    for quoted in re.findall(r"(?:^>.*\n?)+", text, flags=re.MULTILINE):  # or a formula would begin with its mark
        assert all(line.count("$$") in (0, 2) for line in quoted.split("\n"))


# The build has run the cells of all chapters; one that reads the results and one that trains no model are enough here.
@pytest.mark.parametrize("chapter", ["book/performance", "book/notation"])
def test_the_notebook_of_a_chapter_runs_with_the_package_beside_it(site, chapter, tmp_path):
    from nbclient import NotebookClient

    place = site / "_sources" / f"{chapter}.ipynb"
    zipfile.ZipFile(place.with_name(notebooks.WHEEL)).extractall(tmp_path)
    notebook = nbformat.read(place, as_version=4)
    where = nbformat.v4.new_code_cell("import notes.figures\nprint(notes.__file__)")
    notebook.cells.append(where)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert where.outputs[0].text.strip() == str(tmp_path / "notes" / "__init__.py")
    figures = 0
    for cell in codes(notebook):
        shown = [output.data for output in cell.outputs if "data" in output]
        widgets = [data for data in shown if "application/vnd.jupyter.widget-view+json" in data]
        assert len(widgets) == shows_figure(cell)
        figures += len(widgets)
    assert figures


# The package beside it


def test_the_wheel_is_what_setuptools_makes_and_the_results_that_one_chapter_reads(tmp_path):
    copied = ["notes", "pyproject.toml", "README.md", "LICENSE"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in copied), str(tmp_path)], check=True)
    build = "import setuptools.build_meta as backend; backend.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    (theirs,), ours = tmp_path.glob("*.whl"), zipfile.ZipFile(io.BytesIO(notebooks.wheel()))
    assert theirs.name == notebooks.WHEEL
    with zipfile.ZipFile(theirs) as archive:
        (left_out,) = {*archive.namelist()} - {*ours.namelist()}
        assert left_out.endswith("/top_level.txt")
        for name in {*archive.namelist()} & {*ours.namelist()}:
            if not name.endswith(("RECORD", "WHEEL", "METADATA")):
                assert archive.read(name) == ours.read(name), name
    more = {*ours.namelist()} - {*archive.namelist()}
    assert more == {f"notes/figures/results/{path.name}" for path in notebooks.RESULTS.glob("*.json")}
    (distribution,) = importlib.metadata.distributions(path=[str(extracted(tmp_path / "ours"))])
    assert distribution.version == importlib.metadata.version("notes")
    assert distribution.requires == importlib.metadata.requires("notes")
    assert {str(file) for file in distribution.files} == {*ours.namelist()}
    for file in distribution.files:
        assert file.hash is None or file.hash.value == notebooks._checksum(file.locate().read_bytes())


def extracted(folder):
    zipfile.ZipFile(io.BytesIO(notebooks.wheel())).extractall(folder)
    return folder


# Its first code cell


@pytest.fixture
def first_cell(site, monkeypatch, tmp_path):
    """Runs the first code cell of a chapter where a few distributions are installed; returns what it installs."""
    cell = codes(nbformat.read(site / "_sources" / "book" / "explicit.ipynb", as_version=4))[0].source
    monkeypatch.chdir(tmp_path)
    for name in ("BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))

    def run(installed, address=""):
        def version(name):
            if name not in installed:
                raise importlib.metadata.PackageNotFoundError(name)
            return installed[name]

        monkeypatch.setattr(importlib.metadata, "version", version)
        exec(cell.replace("'',", f"{address!r},", 1), {})
        return ran

    return run


THERE = {"notes": importlib.metadata.version("notes"), "scipy": "1", "scikit-learn": "1"}


def test_the_first_cell_does_nothing_where_all_is_there(first_cell):
    assert first_cell(THERE) == []


@pytest.mark.parametrize("name", THERE)
def test_the_first_cell_says_what_to_do_where_something_is_missing(first_cell, name, tmp_path):
    installed = {other: version for other, version in THERE.items() if other != name}
    with pytest.raises(ImportError, match=f"put {notebooks.WHEEL} beside this notebook, and run this cell again"):
        first_cell(installed)
    (tmp_path / notebooks.WHEEL).touch()
    line = f'%pip install "./{notebooks.WHEEL}[figures]" "scikit-learn" "scipy"'
    with pytest.raises(ImportError, match=re.escape(line)):
        first_cell(installed)


def test_the_first_cell_takes_another_project_or_another_version_for_none(first_cell):
    with pytest.raises(ImportError):
        first_cell(THERE | {"notes": "0.0.1"})


@pytest.mark.parametrize("host", ["BINDER_SERVICE_HOST", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"])
def test_the_first_cell_installs_on_a_host(first_cell, monkeypatch, tmp_path, host):
    monkeypatch.setenv(host, "1")
    address = f"https://book.example/_sources/book/{notebooks.WHEEL}"
    ((*pip, source, learn, scipy),) = first_cell({}, address)
    assert pip == [sys.executable, "-m", "pip", "install", "--quiet"]
    assert [source, learn, scipy] == [f"notes[figures] @ {address}", "scikit-learn", "scipy"]
    (tmp_path / notebooks.WHEEL).touch()
    assert first_cell({}, address)[1][5] == f"./{notebooks.WHEEL}[figures]"


@pytest.mark.parametrize(
    ("site_address", "repository", "address"),
    [
        ("", None, ""),
        ("https://book.example/", "https://git.example/b", f"https://book.example/_sources/book/{notebooks.WHEEL}"),
        ("", "https://git.example/b", "git+https://git.example/b@main"),
    ],
)
def test_the_package_is_to_be_had_from_the_site_or_else_from_the_repository(site_address, repository, address):
    config = SimpleNamespace(html_baseurl=site_address, html_theme_options={"repository_url": repository})
    assert notebooks._address(SimpleNamespace(config=config), "book/langevin") == address


# Its text


def a_writer(baseurl=""):
    builder = SimpleNamespace(get_target_uri=lambda name: f"{name}.html")
    env = SimpleNamespace(toc_fignumbers={})
    app = SimpleNamespace(builder=builder, env=env, config=SimpleNamespace(html_baseurl=baseurl))
    return notebooks.Markdown(app, nodes.document(None, None), "book/one")


@pytest.mark.parametrize(
    ("uri", "relative", "absolute"),
    [
        ("https://doi.org/1", "https://doi.org/1", "https://doi.org/1"),
        ("two.html#a", "../../book/two.html#a", "https://book.example/at/book/two.html#a"),
        ("../index.html", "../../index.html", "https://book.example/at/index.html"),
        ("one.html#a", "#a", "#a"),
        ("#a", "#a", "#a"),
        ("", "", ""),
    ],
)
def test_a_link_leads_into_the_notebook_or_to_the_site(uri, relative, absolute):
    link = nodes.reference(refuri=uri)
    assert a_writer().target(link) == relative
    assert a_writer("https://book.example/at/").target(link) == absolute


@pytest.mark.parametrize(
    "text", ["a * b * c", "_a_ snake_case", "a < b <b>", "`x`", "$1 and $2", "[a](b)", r"\*", "~a~"]
)
def test_text_is_no_mark_of_markdown(text):
    from markdown_it import MarkdownIt

    shown = MarkdownIt().enable("strikethrough").render(notebooks._escaped(text))
    plain = nodes.Text(text).astext().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown == f"<p>{plain}</p>\n"
    assert "$" not in notebooks._escaped(text).replace(r"\$", "")


def test_a_paragraph_begins_no_list():
    for text, written in [("1. It", "1\\. It"), ("- It", "\\- It"), ("# It", "\\# It"), ("1.5 It", "1.5 It")]:
        assert a_writer().blocks(nodes.paragraph("", text)) == [written]


def test_a_bar_in_a_formula_ends_no_cell_of_a_table():
    entry = nodes.entry("", nodes.paragraph("", "", nodes.math("", r"\|x\| < |y|"), nodes.Text(" a|b")))
    assert a_writer()._entry(entry) == r"$\Vert x\Vert  < \vert y\vert $ a\|b"


def test_what_has_no_words_is_warned_of(monkeypatch):
    warned = []
    monkeypatch.setattr(notebooks._LOGGER, "warning", lambda message, *args, **_: warned.append(message % args))

    class Unheard(nodes.Element):
        pass

    assert a_writer().blocks(nodes.section("", Unheard(), nodes.paragraph("", "", Unheard()))) == []
    assert warned == ["a notebook has no words for Unheard"] * 2
