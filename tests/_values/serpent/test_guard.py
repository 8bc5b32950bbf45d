"""The guard of the slow way to read serpent text."""

from __future__ import annotations

import time
import unittest
from typing import Any, List

import serpent

from Pyro5 import errors
from Pyro5._values.serpent import chunks, reader


class Guard(unittest.TestCase):
    many = 30000

    def test_chains_are_refused(self) -> None:
        # some of these crash some versions of Python
        n = self.many
        for text in (
            "1" + "+1" * n,
            "(1)" + "+(1)" * n,
            "a" + ".b" * n,
            "a" + "[1]" * n,
            "a" + "()" * n,
            "-" * n + "1",
            "[" * n,
            "{1:" * n,
            "'a'" + "+'a'" * n,
            "1j" + "+1j" * n,
            "0+0j" + "+0+0j" * n,
            "f'{1" + "+1" * n + "}'",
            "1#'\n" + "+1" * n + "#'",
            "(a" + "[1]\n#'\n" * n + ")",
            "'''a'''" + "+'''a'''" * n,
            "1" + "+\\\n1" * n,
            "1." + ".a" * n,
            "a1" + ".a1" * n,
            "a" + "[1](2).x" * n,
            "[F'''{1" + "+1" * n + "}''']",
            "1" + "**1" * n,
            "x" + "<1" * n,
        ):
            with self.subTest(text[:20]), self.assertRaises(errors.SerializeError):
                chunks.check_complexity(text)

    def test_literals_are_accepted(self) -> None:
        values: List[Any] = [[-1.5e-7, 3 - 4j, {1, 2}, b"+-*/", "a+b" * 200, {(1, 2): -3}] for _ in range(200)]
        for value in (values, [-1] * 1000, [1e-5] * 1000, [0.5 - 1e-5j] * 1000, ["'\"#\\"] * 500, [[[]]] * 500):
            chunks.check_complexity(serpent.dumps(value).decode())
            chunks.check_complexity(serpent.dumps(value, bytes_repr=True).decode())

    def test_linear_time(self) -> None:
        n = self.many
        for text in (
            "'" + "\\'" * n,
            '"' + '\\"' * n,
            "[" + "'''" * n,
            "'\\" * n,
            "['a'," + "''''" * n,
            "#'" * n,
            '["\'"' + ',"\'"' * n + "]",
            "1_" * n,
            "\\" * n,
            " " * n,
            "['" + "\\x41" * n + "']",
            "'" + "b'\\'''..None" * n,
            '"' + 'b"\\"""..None' * n,
            "'''" + "\\'''" * n + "\\",
        ):
            begin = time.thread_time()
            reader.fast_loads(text)
            self.swallow(text)
            self.assertLess(time.thread_time() - begin, 5, text[:10])

    def swallow(self, text: str) -> None:
        try:
            chunks.check_complexity(text)
        except errors.SerializeError:
            return
