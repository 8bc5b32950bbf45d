"""The benchmark runs; how fast things are is not a matter of tests."""
from __future__ import annotations

import unittest

from .support import run_tool


class Benchmark(unittest.TestCase):
    def test_measures_every_kind_of_call(self) -> None:
        for servertype in ("thread", "multiplex"):
            result = run_tool("tests.bench", "calls", "--servertype", servertype, "--rounds", "1", "--calls", "2")
            self.assertEqual((0, ""), (result.exit_code, result.err))
            lines = result.out.splitlines()
            self.assertEqual("server type " + servertype, lines[0])
            self.assertGreaterEqual(len(lines), 2 + 3 * 3)
            for line in lines[2:]:
                self.assertRegex(line, r"^\w+ +\w.* +\d+ +\d+ +\d+\.\d+$")

    def test_measures_name_servers(self) -> None:
        result = run_tool("tests.bench", "names", "--names", "20", "--rounds", "1", "--calls", "1")
        self.assertEqual((0, ""), (result.exit_code, result.err))
        lines = result.out.splitlines()
        self.assertEqual(2 + 7 + 7 + 5, len(lines))
        for line in lines[2:]:
            self.assertRegex(line, r"^(memory|sql|dbm) +\w.* +(\d+ +\d+ +\d+\.\d+ +\d+\.\d+|\d+\.\d)$")


if __name__ == "__main__":
    unittest.main()
