"""What is missing is named, with the extra that brings it: tests/test_package.py tries each in a fresh process."""

import pytest

from notes._extras import needs


def test_a_module_that_is_not_there_is_named_with_its_extra():
    with pytest.raises(ImportError) as told, needs("site"):
        import nonesuch  # noqa: F401
    assert str(told.value) == 'there is no module nonesuch here; what needs it comes with pip install "notes[site]"'
    assert told.value.name == "nonesuch"
    assert told.value.__suppress_context__


def test_another_error_of_an_import_is_its_own():
    with pytest.raises(ImportError, match="cannot import name 'nonesuch' from 'math'"), needs("site"):
        from math import nonesuch  # noqa: F401
