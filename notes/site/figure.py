"""``python -m notes.site.figure langevin.bias``: draw one figure, and tell where; no chapter runs, no page is made.

What is drawn is the figure's default state and, below it, each state that is one move of a control away. The controls
are those of the chapter that shows it, and it is drawn as a build draws it.
"""

import ast
import io
import os
import sys

from notes import explore
from notes._extras import needs
from notes.site.contents import Settings, read, text_of
from notes.site.dependencies import PACKAGE, syntax
from notes.site.kernels import ARGUMENTS, kernel_environment

with needs("site"):
    import nbformat
    from myst_parser.config.main import MdParserConfig
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from PIL import Image


def find(name, root=PACKAGE.parent):
    """What a chapter imports, and its call of ``explore`` with a figure, as two pieces of code."""
    chapter, _, figure = name.partition(".")
    path = root / "book" / f"{chapter}.md"
    if not path.is_file():
        raise ValueError(f"there is no {path}; a figure's name is as in langevin.bias")
    cells = read(path, text_of(path), MdParserConfig(), Settings()).notebook.cells
    trees = [syntax(cell.source) for cell in cells if cell.cell_type == "code"]
    nodes = [node for tree in trees if tree for node in ast.walk(tree)]
    imports = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    shown = {}
    for call in nodes:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "explore" and call.args:
            (first,) = [part for part in ast.walk(call.args[0]) if isinstance(part, ast.Attribute)][:1] or [None]
            shown.setdefault(getattr(first, "attr", None), ast.unparse(call))
    if figure not in shown:
        raise ValueError(f"{path} explores no {figure!r}; it does {', '.join(sorted(filter(None, shown)))}")
    return "\n".join(imports), shown[figure]


def sheet(target):
    """What a kernel has in place of ``explore``: it draws the states into a file."""

    def draw(figure, *, alt, **controls):
        frames = [Image.open(io.BytesIO(frame)) for frame in explore.default_and_neighbours(figure, controls)]
        whole = Image.new("RGB", (max(f.width for f in frames), sum(f.height for f in frames)))
        for number, frame in enumerate(frames):
            whole.paste(frame, (0, sum(above.height for above in frames[:number])))
        whole.save(target)

    return draw


def main(name, root=PACKAGE.parent):
    os.environ.update(kernel_environment())
    target = root / "_build" / "figures" / f"{name}.png"
    try:
        imports, call = find(name, root)
        target.parent.mkdir(parents=True, exist_ok=True)
        stand_in = f"from notes.site.figure import sheet\nexplore = sheet({str(target)!r})"
        cells = [nbformat.v4.new_code_cell(source) for source in (imports, stand_in, call)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(root / "book")}})
        client.extra_arguments = ARGUMENTS
        client.execute()
    except (ValueError, OSError, CellExecutionError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Drawn, the default state first: {target}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name one figure: python -m notes.site.figure langevin.bias")
    sys.exit(main(sys.argv[1]))
