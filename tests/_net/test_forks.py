"""The number of forks, and the version of the settings, which change in the child of a fork."""
from __future__ import annotations

import os
import unittest

from Pyro5._net import forks
from Pyro5.configure import global_version


class Forks(unittest.TestCase):
    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_it_changes_in_a_child(self) -> None:
        before, version = forks.number, global_version.number
        child = os.fork()
        if not child:
            os._exit(0 if forks.number == before + 1 and global_version.number > version else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.assertEqual((before, version), (forks.number, global_version.number))


if __name__ == "__main__":
    unittest.main()
