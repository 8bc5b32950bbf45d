"""The number of this process, which changes in the child of a fork."""
from __future__ import annotations

import os
import unittest

from Pyro5._net.forks import this_process


class Forks(unittest.TestCase):
    def test_it_is_that_of_the_system(self) -> None:
        self.assertEqual(os.getpid(), this_process.number)

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_it_changes_in_a_child(self) -> None:
        child = os.fork()
        if not child:
            os._exit(0 if this_process.number == os.getpid() else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.assertEqual(os.getpid(), this_process.number)


if __name__ == "__main__":
    unittest.main()
