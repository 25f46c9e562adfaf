"""The mutants of a module: its source with one small slip in it.

The slips are mutmut's own. mutmut itself would pass over every decorated function (each walk and loss is one), and over
what stands outside functions; cosmic-ray would import PyTorch anew for each of some thousand mutants.
"""

import ast
import collections
import copy
import dataclasses
import re

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper
from mutmut.mutation import mutators


@dataclasses.dataclass(frozen=True)
class Mutant:
    module: str
    place: str  # the function, method or class, such as GaussianMixture.sample; empty outside them
    before: str  # the statement that the slip changes, without the block below it, in Python's own layout
    after: str
    lines: range  # the numbers of the lines that it changes, from 1
    around: range  # and of the statement of the module that holds them: a function, a class
    source: str  # of the whole module, with the slip

    @property
    def key(self):
        return self.module, self.place, self.before, self.after


PUBLIC = m.Assign(targets=[m.AssignTarget(target=m.Name("__all__"))])  # tests/test_package.py compares it with all else
BLOCKS = "body", "handlers", "orelse", "finalbody"


def _string(node):
    """One slip for a string, where mutmut has three: a text in capitals is another, but for the name of a codec."""
    return list(mutators.operator_string(node))[-1:] if node.value != '"utf-8"' else []


def _statement(node):
    if not isinstance(node.value, cst.BaseString):  # a docstring
        yield cst.Pass()


def _decorators(node):
    for i in range(len(node.decorators)):
        yield node.with_changes(decorators=[*node.decorators[:i], *node.decorators[i + 1 :]])


OPERATORS = [
    *(pair for pair in mutators.mutation_operators if pair[1] is not mutators.operator_string),
    (cst.SimpleString, _string),
    # What mutmut has not: a condition that always or never holds, a call and a decorator left out.
    (cst.If, mutators.operator_if_exp),
    (cst.Expr, _statement),
    (cst.FunctionDef | cst.ClassDef, _decorators),
]


class _Slips(cst.CSTVisitor):
    """The slips of one statement of a module, each with its place."""

    def __init__(self):
        self.found, self.names, self.raising = [], [], False

    def on_visit(self, node):
        if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom) or m.matches(node, PUBLIC):
            return False
        if self.raising and isinstance(node, cst.SimpleString):
            return True  # the wording of a message; the names and numbers in it are no strings
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
        self.raising |= isinstance(node, cst.Raise)
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found += [(".".join(self.names), node, slip) for slip in operator(node)]
        return True

    def on_leave(self, node):
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
        self.raising &= not isinstance(node, cst.Raise)


def of(module, source):
    """The mutants of a module, in the order of its lines, each once."""
    tree = MetadataWrapper(cst.parse_module(source)).module
    found, end = {}, 0
    for statement in tree.body:
        text = tree.code_for_node(statement)
        start = source.index(text, end)
        end = start + len(text)
        first = source.count("\n", 0, start) + 1
        visitor = _Slips()
        statement.visit(visitor)
        for place, node, slip in visitor.found:
            mutated = tree.code_for_node(statement.deep_replace(node, slip))
            whole = source[:start] + mutated + source[end:]
            if not _compiles(whole):
                continue
            before, after = _statements(ast.parse(text), ast.parse(mutated))
            if _without_strict(before) == _without_strict(after):
                continue
            lines = _lines(text, mutated)
            around = range(first, first + text.count("\n"))
            lines = range(first + lines.start, first + lines.stop)
            found[whole] = Mutant(module, place, before, after, lines, around, whole)
    mutants, seen = sorted(found.values(), key=lambda mutant: mutant.lines.start), collections.Counter()
    for i, mutant in enumerate(mutants):
        seen[mutant.key] += 1
        if seen[mutant.key] > 1:  # the same line stands there twice
            mutants[i] = dataclasses.replace(mutant, place=f"{mutant.place} ({seen[mutant.key]})")
    return mutants


def _without_strict(text):
    """zip's strict=True only says of the code around it that it cannot be false."""
    return re.sub(r",\s*(strict=\w+)?\)", ")", text)


def _compiles(source):
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _statements(old, new):
    """The smallest statement in which two trees differ, and that in its place, each as text without its blocks."""
    if (before := _head(old)) != (after := _head(new)):
        return before, after
    pairs = (pair for name in BLOCKS for pair in zip(getattr(old, name, ()), getattr(new, name, ()), strict=True))
    return next((_statements(*pair) for pair in pairs if ast.dump(pair[0]) != ast.dump(pair[1])), ("", ""))


def _head(node):
    head = copy.copy(node)
    for name in BLOCKS:
        if hasattr(node, name):
            setattr(head, name, [])
    return ast.unparse(head)


def _lines(text, mutated):
    """The indices of the lines of a text that differ from those of another."""
    old, new = text.splitlines(), mutated.splitlines()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    tail = 0
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return range(same, max(len(old) - tail, same + 1))
