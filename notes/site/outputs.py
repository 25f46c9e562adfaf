"""How MyST-NB reads the outputs of ``explore`` and ``claim``: registered in pyproject.toml.

It is loaded by every build with MyST-NB in whose environment this package is, and so needs MyST-NB alone.
"""

import base64
import hashlib
from pathlib import Path

from docutils import nodes

from notes import _mime


class FigureNode(nodes.General, nodes.Element):
    """A figure of the website: its frames' file names, its controls and its alternative text."""


class ClaimNode(nodes.General, nodes.Element):
    """A claim at its place in a chapter."""


class MimeRenderer:
    mime_priority_overrides = (("html", _mime.FIGURE, 1), ("html", _mime.CLAIM, 1))

    @staticmethod
    def handle_mime(renderer, data, inline):
        if data.mime_type not in (_mime.FIGURE, _mime.CLAIM):
            return None
        env = renderer.renderer.sphinx_env
        if env is None or "notes.site.extension" not in env.app.extensions:
            return []  # another's book shows what else the output holds
        if data.mime_type == _mime.CLAIM:
            return [ClaimNode(claim=dict(data.content))]
        figure = dict(data.content)
        folder = Path(env.doctreedir) / "frames"
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for frame in map(base64.b64decode, figure.pop("frames")):
            names.append(f"frame-{hashlib.sha256(frame).hexdigest()[:16]}.webp")
            (folder / names[-1]).write_bytes(frame)
        return [FigureNode(figure=figure, frames=names)]
