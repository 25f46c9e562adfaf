"""The form of the chapters, as far as their sources show it."""

import jupytext
import pytest
from conftest import ROOT

CHAPTERS = sorted((ROOT / "book").glob("*.md"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_cell_that_is_shown_has_at_most_20_lines_of_78_characters(path):
    cells = [cell for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    shown = [cell.source for cell in cells if not {"hide-input", "remove-input"} & {*cell.metadata.get("tags", [])}]
    assert [source for source in shown if len(source.splitlines()) > 20] == []
    assert [line for source in shown for line in source.splitlines() if len(line) > 78] == []
