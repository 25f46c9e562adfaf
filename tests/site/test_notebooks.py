"""A chapter as the notebook that its page offers: it is the chapter, and runs anywhere."""

import json

import jupytext
import nbformat
import pytest
from browser import open_page, wait
from conftest import ROOT
from selenium.webdriver.common.by import By

from notes.site.contents import Contents

CHAPTERS = [chapter.path.relative_to(ROOT).with_suffix("") for chapter in Contents(ROOT).chapters]


@pytest.mark.parametrize("page", [*(f"site/{chapter}.html" for chapter in CHAPTERS), "tiny/book/tiny.html"])
def test_a_chapter_offers_itself_as_a_notebook_without_outputs(browser, server, page):
    open_page(browser, server.url(page))
    browser.find_element(By.CSS_SELECTOR, ".dropdown-download-buttons button").click()
    link = browser.find_element(By.CSS_SELECTOR, "a.btn-download-notebook-button")
    wait(browser, link.is_displayed, "the link to the notebook stays hidden")
    path = server.file(link.get_attribute("href"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    chapter = jupytext.read(path.with_suffix(".md"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in chapter.cells]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_the_notebook_of_a_chapter_runs_from_top_to_bottom(site, chapter, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(site / "_sources" / f"{chapter}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert json.dumps(notebook).count("image/png") >= 1
