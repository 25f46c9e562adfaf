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
    assert ("Box.area", "return -self.size**2", "return +self.size**2") in CHANGES
    assert ("half", "def half(x, *, least=0.5):", "def half(x, *, least=1.5):") in CHANGES


def test_decorators_calls_and_conditions_are_left_out():
    assert ("half", "@decorated", "") in CHANGES
    assert ("half", 'check("x", x)', "pass") in CHANGES
    assert ("half", "if x < least:", "if (x < least) and False:") in CHANGES
    assert ("half", "if x < least:", "if (x < least) or True:") in CHANGES


def test_a_string_has_one_slip_and_a_line_that_stands_twice_has_it_in_each():
    found = [mutant for mutant in FOUND if mutant.before == 'check("x", x)' and "X" in mutant.after]
    assert [(mutant.place, mutant.after) for mutant in found] == [
        ("half", 'check("X", x)'),
        ("half (2)", 'check("X", x)'),
    ]


def test_docstrings_annotations_imports_and_the_wording_of_messages_stay():
    changed = " ".join(before for _, before, _ in CHANGES)
    assert "A module" not in changed
    assert "A docstring" not in changed
    assert "import" not in changed
    messages = [after for _, before, after in CHANGES if before.startswith("raise")]
    assert sorted(messages) == [
        "raise ValueError(None)",
        'raise ValueError(f"x must be at least {least + 2}, got " "less")',
        'raise ValueError(f"x must be at least {least - 1}, got " "less")',
    ]
    assert not any("strict=None" in after for _, _, after in CHANGES)


def test_each_slip_is_the_module_with_its_lines_changed():
    lines = SOURCE.splitlines()
    assert len({mutant.key for mutant in FOUND}) == len(FOUND)
    for mutant in FOUND:
        assert mutant.module == "toy"
        assert mutant.before == " ".join(lines[number - 1].strip() for number in mutant.lines)
        new = mutant.source.splitlines()
        rest = len(lines) - (mutant.lines.stop - 1)
        assert new[: mutant.lines.start - 1] == lines[: mutant.lines.start - 1]
        assert new[len(new) - rest :] == lines[len(lines) - rest :]
        assert set(mutant.lines) <= set(mutant.around)


def test_around_a_slip_is_its_function_or_class():
    lines = SOURCE.splitlines()
    around = {mutant.place: mutant.around for mutant in FOUND}
    assert [lines[number - 1] for number in around["Box.area"]][1:] == lines[lines.index("class Box:") :]
    assert [lines[number - 1] for number in around["half"]][1] == "@decorated"
