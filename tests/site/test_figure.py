"""One figure drawn alone: as the chapter's own call of ``explore`` says, and without running the chapter."""

import io

import pytest
from conftest import TINY
from PIL import Image

from notes.site import figure, kernels

HEADER = "---\nfile_format: mystnb\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n"
CELLS = """
```{code-cell} ipython3
import pictures
from notes.explore import explore, play
raise AssertionError("the chapter ran")
```

```{code-cell} ipython3
explore(pictures.walk, q=play(0, 10), temperature=[0.5, 1.0, 2.0], alt="A line")
```
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    for name in kernels.kernel_environment():  # put back afterwards what the command sets
        monkeypatch.setenv(name, "of this test")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.md").write_text(f"{HEADER}# One\n{CELLS}", encoding="utf-8")
    (tmp_path / "book" / "pictures.py").write_bytes((TINY / "book" / "pictures.py").read_bytes())
    return tmp_path


def test_the_default_state_is_drawn_above_those_one_move_away(book, capsys, pictures):
    (book / "_build" / "figures").mkdir(parents=True)  # by another one
    assert figure.main("one.walk", book) == 0
    target = book / "_build" / "figures" / "one.walk.png"
    assert capsys.readouterr() == (f"Drawn, the default state first: {target}\n", "")
    states = [(2, 1.0), (1, 1.0), (3, 1.0), (2, 0.5), (2, 2.0)]
    sheet = Image.open(target)
    for number, (step, temperature) in enumerate(states):
        alone = Image.open(io.BytesIO(figure.explore.png(pictures.walk(step, temperature)))).convert("RGB")
        part = sheet.crop((0, number * alone.height, alone.width, (number + 1) * alone.height))
        assert part.tobytes() == alone.tobytes()
    assert sheet.height == len(states) * alone.height


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.walk", "there is no "),
        ("one", "explores no ''; it does walk"),
        ("one.run", "explores no 'run'; it does walk"),
    ],
)
def test_a_figure_that_is_not_there_is_told_in_a_line(book, capsys, name, said):
    assert figure.main(name, book) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_figure_that_fails_says_how(book, capsys):
    (book / "book" / "pictures.py").write_text("def walk(q=2, temperature=1.0):\n    raise OSError('no ink')\n")
    assert figure.main("one.walk", book) == 1
    assert "no ink" in capsys.readouterr().err
