"""What slips.py makes of a module. Run by ``make mutants``: it needs mutmut, which the book's environment has not."""

import textwrap

import slips

SOURCE = textwrap.dedent(
    '''
    """A module."""

    import math

    LIMIT = 2

    @decorated
    def half(x, *, least=0.5):
        """A docstring, 1 + 1."""
        if x < least:
            raise ValueError(f"x must be at least {least + 1}, got " "less")
        check("x", x)
        check("x", x)
        return [a for a, b in zip(x, x, strict=True)]

    class Box:
        size: int = 3

        def area(self):
            return -self.size**2
    '''
).lstrip()
FOUND = slips.of("toy", SOURCE)
CHANGES = {(mutant.place, mutant.before, mutant.after) for mutant in FOUND}


def test_functions_methods_and_what_is_outside_them_have_slips():
    assert ("", "LIMIT = 2", "LIMIT = 3") in CHANGES
    assert ("half", "if x < least:", "if x <= least:") in CHANGES
    assert ("Box", "size: int = 3", "size: int = 4") in CHANGES
    assert ("Box.area", "return -self.size ** 2", "return +self.size ** 2") in CHANGES
    assert ("half", "@decorated\ndef half(x, *, least=0.5):", "def half(x, *, least=0.5):") in CHANGES
    assert ("half", "check('x', x)", "pass") in CHANGES
    assert ("half (2)", "check('x', x)", "check('X', x)") in CHANGES  # the statement stands there twice
    assert ("half", "if x < least:", "if x < least and False:") in CHANGES


def test_each_slip_is_the_module_with_its_lines_changed():
    lines = SOURCE.splitlines()
    assert len({mutant.key for mutant in FOUND}) == len(FOUND)
    for mutant in FOUND:
        new = mutant.source.splitlines()
        rest = len(lines) - (mutant.lines.stop - 1)
        assert new != lines
        assert new[: mutant.lines.start - 1] == lines[: mutant.lines.start - 1]
        assert new[len(new) - rest :] == lines[len(lines) - rest :]


def test_a_slip_has_the_same_name_however_its_statement_is_laid_out():
    other = slips.of("toy", SOURCE.replace("if x < least:", "if (\n        x < least\n    ):"))
    assert sorted(mutant.key for mutant in other) == sorted(mutant.key for mutant in FOUND)
