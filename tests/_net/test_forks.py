"""The number of forks, which changes in the child of a fork."""
from __future__ import annotations

import os
import unittest

from Pyro5._net.forks import forks


class Forks(unittest.TestCase):
    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_it_changes_in_a_child(self) -> None:
        before = forks.number
        child = os.fork()
        if not child:
            os._exit(0 if forks.number == before + 1 else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.assertEqual(before, forks.number)


if __name__ == "__main__":
    unittest.main()
