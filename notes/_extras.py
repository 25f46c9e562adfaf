"""What an import says where what it needs is not installed."""

import contextlib


@contextlib.contextmanager
def needs(extra):
    """Imports of what an extra of pyproject.toml brings; without it they fail with a line that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f'there is no module {error.name} here; what needs it comes with pip install "notes[{extra}]"'
        raise ImportError(message, name=error.name) from None
