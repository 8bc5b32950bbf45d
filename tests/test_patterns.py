"""No regular expression of the package takes more than linear time, whatever text it is given."""
from __future__ import annotations

import ast
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys
import unittest
import zlib
from typing import Any, Dict, Iterator, Pattern, Set

import Pyro5
from Pyro5._values.serpent import chunks

from . import pumping

HANG_SECONDS = 60.0
ROOT = pathlib.Path(Pyro5.__file__).parent


def modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages([str(ROOT)], "Pyro5."):
        if not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def patterns_in(values: Any, depth: int = 2) -> Iterator[Pattern[Any]]:
    for value in list(values):
        if isinstance(value, re.Pattern):
            yield value
        elif isinstance(value, dict) and depth:
            yield from patterns_in(value.values(), depth - 1)
        elif isinstance(value, (list, tuple, set, frozenset)) and depth:
            yield from patterns_in(value, depth - 1)
        elif isinstance(value, type) and value.__module__.startswith("Pyro5") and depth:
            yield from patterns_in(vars(value).values(), depth - 1)


def compiled_patterns() -> Dict[Pattern[Any], str]:
    """All patterns that modules and their classes hold, each with the name of a module that has it."""
    found: Dict[Pattern[Any], str] = {}
    for module in modules():
        for pattern in patterns_in(vars(module).values()):
            found.setdefault(pattern, module.__name__)
    return found


def searched(source: str) -> Set[str]:
    """Names on which something else than match() is called: the names of patterns that search."""
    return {node.func.value.id for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name) and node.func.attr in ("search", "finditer", "findall", "sub", "split")}


def literal_patterns(source: str) -> Iterator[Pattern[Any]]:
    """Patterns that are handed to a function of re as a literal, inside of functions."""
    for node in ast.walk(ast.parse(source)):
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re" and node.args and isinstance(node.args[0], ast.Constant)):
            yield re.compile(node.args[0].value)


class Pumped(unittest.TestCase):
    """Each pattern gets texts made of its own pieces, repeated; twice the text must not be much more than twice the work."""

    def test_all_patterns_of_modules(self) -> None:
        patterns = compiled_patterns()
        self.assertGreater(len(patterns), 20)
        for pattern, module in patterns.items():
            source = pathlib.Path(sys.modules[module].__file__ or "").read_text(encoding="utf-8")
            names = {name for name, value in vars(sys.modules[module]).items() if value is pattern}
            anchored = bool(names) and not names & searched(source)
            with self.subTest(module=module, pattern=pattern.pattern):
                self.assertIsNone(pumping.growth(pattern, anchored))

    def test_all_patterns_inside_of_functions(self) -> None:
        found = [(path.name, pattern) for path in ROOT.rglob("*.py")
                 for pattern in literal_patterns(path.read_text(encoding="utf-8"))]
        self.assertTrue(found)
        for name, pattern in found:
            with self.subTest(file=name, pattern=pattern.pattern):
                self.assertIsNone(pumping.growth(pattern, True))


class TheCounter(unittest.TestCase):
    """What counts the steps finds patterns that are known to be slow, and leaves alone those that are not."""

    def test_ambiguous_patterns_are_found(self) -> None:
        for text in (r"(?:a*)*\Z", r"(?:a|a)*b", r"(?:[ \n]|#[^\n]*)*\Z", r"(?:\s*,?\s*x?)*!", r"(?:a+b?)+c"):
            with self.subTest(text):
                self.assertIsNotNone(pumping.growth(re.compile(text), True))

    def test_quadratic_searches_are_found(self) -> None:
        for text in (r"a*b", r"<[^>]*>"):
            with self.subTest(text):
                self.assertIsNotNone(pumping.growth(re.compile(text), False))

    def test_linear_patterns_pass(self) -> None:
        for text in (r"(?:[ \n]|#[^\n]*(?=\n|\Z))*\Z", r"'[^'\\]*(?:\\.[^'\\]*)*'", r"a*b", r"[0-9]{1,15}\Z", r"(?:ab|cd)*e",
                     r"(?:(?<=a)b|a)*"):
            with self.subTest(text):
                self.assertIsNone(pumping.growth(re.compile(text), True))

    def test_it_matches_as_re_does(self) -> None:
        for text, subject in ((r"(?:ab|a)*c", "abaabc"), (r"a{2,3}b", "aaab"), (r"x+?y", "xxy"), (r"\bno[^\d]\Z", "now"),
                              (r"(?<!z)a(?=b)", "ab")):
            counter = pumping.StepCounter(re.compile(text))
            counter.search(subject, True)
            self.assertGreater(counter.steps, 1)


class LongLiteralsWithComments(unittest.TestCase):
    """Number signs inside of comments split a comment in one way only."""

    def test_comments_full_of_number_signs(self) -> None:
        blanks = " " * chunks.SHORT_CHARACTERS
        for text in ("[1%s,%s\n1]" % (blanks, "#" * 60), "[[1%s]%s\n,1]" % (blanks, "#" * 60),
                     "{1:[1%s] %s\n,2:3}" % (blanks, "# " * 60), "[1%s,%s\n]" % (blanks, "#" * 60)):
            with self.subTest(text.replace(blanks, "...")):
                packed = zlib.compress(text.encode()).hex()
                program = ("import zlib; from Pyro5.serializers import get_serializer; "
                           "print(get_serializer('serpent').loads(zlib.decompress(bytes.fromhex('%s'))))" % packed)
                done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=HANG_SECONDS,
                                      check=True)
                self.assertEqual(str(ast.literal_eval(text)).encode(), done.stdout.strip())


if __name__ == "__main__":
    unittest.main()
