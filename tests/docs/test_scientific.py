"""docs/scientific.md: its examples run where numpy is installed, and its table shows what arrives of buffers.

``python -m tests.docs.test_scientific write`` updates the table.
"""
from __future__ import annotations

import array
import doctest
import importlib.util
import mmap
import os
import sys
import unittest
from typing import Any, List

from Pyro5 import api, serializers
from Pyro5._values import numpy_arrays

from ..peers import settings
from ..support import PROJECT, daemon_thread
from .test_serialization import COLUMNS, NOT_SENT, cells, usable

DOCUMENT = os.path.join(PROJECT, "docs", "scientific.md")
BEGIN, END = "<!-- buffers: begin -->\n", "<!-- buffers: end -->\n"
HEAD = ["sent", *COLUMNS, "serpent, to other releases"]
SIZES = (800, 80000)  # bytes: in the payload, and beside it


def buffers(size: int) -> List[Any]:
    mapped = mmap.mmap(-1, size)
    return [bytes(size), bytearray(size), memoryview(bytes(size)), mapped, array.array("d", bytes(size))]


@api.expose
class Echo:
    def echo(self, value: Any) -> Any:
        return value

    def kind(self, value: Any) -> str:
        return type(value).__name__


def arrival(echo: Any, value: Any) -> str:
    """Return the type with which a value arrives as an argument, and as a result."""
    try:
        kind: str = echo.kind(value)
        back = echo.echo([value])[0]
    except Exception:
        return NOT_SENT
    # marshal sends an array inside of a list as its bytes
    return kind if type(back).__name__ == kind or isinstance(value, array.array) else "%s, %s" % (kind, type(back).__name__)


def to_other_releases(value: Any) -> str:
    serializer = serializers.get_serializer("serpent")
    return type(serializer.loads(serializer.dumps(value))).__name__


def rows() -> List[List[str]]:
    """Return the rows of the table; what a serializer that is not installed does is left empty."""
    found: List[List[List[str]]] = []
    with api.Daemon(port=0) as daemon, daemon_thread(daemon):
        uri = daemon.register(Echo())
        for size in SIZES:
            values = buffers(size)
            columns = []
            for name in COLUMNS:
                if not usable(name):
                    columns.append([""] * len(values))
                    continue
                with api.Proxy(uri, serializer=name) as echo:
                    columns.append([arrival(echo, value) for value in values])
            columns.append([to_other_releases(value) for value in values])
            names = ["`%s`" % type(value).__name__ for value in values]
            found.append([list(row) for row in zip(names, *columns)])
            values[3].close()
    if found[0] != found[1]:
        raise AssertionError("small and large buffers arrive differently: %r, %r" % tuple(found))
    return found[0]


def table() -> str:
    return "".join("| %s |\n" % " | ".join(line) for line in [HEAD, ["---"] * len(HEAD), *rows()])


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


class Document(unittest.TestCase):
    maxDiff = None

    def test_table_is_what_arrives(self) -> None:
        written = [cells(line) for line in read_document().partition(BEGIN)[2].partition(END)[0].splitlines()]
        self.assertEqual(HEAD, written[0])
        with settings(SHARED_MEMORY=False):
            expected = rows()
        found = [[text if there else "" for text, there in zip(line, row)] for line, row in zip(written[2:], expected)]
        self.assertEqual(expected, found)

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")
    def test_examples(self) -> None:
        self.addCleanup(numpy_arrays.unregister)
        results = doctest.testfile(DOCUMENT, module_relative=False, encoding="utf-8")
        self.assertEqual(0, results.failed)
        self.assertGreater(results.attempted, 10)


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        before, _, rest = read_document().partition(BEGIN)
        text = before + BEGIN + table() + END + rest.partition(END)[2]
        with open(DOCUMENT, "w", encoding="utf-8") as document:
            document.write(text)
    else:
        unittest.main()
