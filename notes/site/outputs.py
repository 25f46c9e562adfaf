"""How MyST-NB reads the outputs of ``explore`` and ``claim``: registered in pyproject.toml.

It is loaded by every build with MyST-NB in whose environment this package is, and so needs MyST-NB alone.
"""

import base64
import hashlib
import json
from pathlib import Path

from docutils import nodes

from notes import _mime


class FigureNode(nodes.General, nodes.Element):
    """A figure of the website: its frames' file names, its controls and its alternative text."""


class ClaimNode(nodes.General, nodes.Element):
    """A claim at its place in a chapter."""


class PlaygroundNode(nodes.General, nodes.Element):
    """The playground: what stands there without a script, its scenes, and the script that holds its network."""


class MimeRenderer:
    mime_priority_overrides = tuple(("html", kind, 1) for kind in (_mime.FIGURE, _mime.CLAIM, _mime.PLAYGROUND))

    @staticmethod
    def handle_mime(renderer, data, inline):
        if data.mime_type not in (_mime.FIGURE, _mime.CLAIM, _mime.PLAYGROUND):
            return None
        env = renderer.renderer.sphinx_env
        if env is None or "notes.site.extension" not in env.app.extensions:
            return []  # another's book shows what else the output holds
        if data.mime_type == _mime.CLAIM:
            return [ClaimNode(claim=dict(data.content))]
        figure = dict(data.content)
        frames = map(base64.b64decode, figure.pop("frames"))
        names = [_kept(env, "frames", "frame-{}.webp", frame) for frame in frames]
        if data.mime_type == _mime.FIGURE:
            return [FigureNode(figure=figure, frames=names)]
        script = f"const playgroundNetwork = {json.dumps(figure.pop('network'))};\n".encode()
        return [PlaygroundNode(figure=figure, frames=names, script=_kept(env, "scripts", "network-{}.js", script))]


def _kept(env, folder, name, content):
    """The name of a file of the site, which waits among the doctrees until the site is made."""
    path = Path(env.doctreedir) / folder / name.format(hashlib.sha256(content).hexdigest()[:16])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name
