"""Some groups of the catalogue of attacks, against daemons of Pyro5.aio (``make hostile`` makes all of them)."""
from __future__ import annotations

import unittest

from .hostile import suite


class Attacks(suite.Groups, unittest.TestCase):
    servertype = "aio"

    def test_1_headers(self) -> None:
        self.make("headers")

    def test_2_access(self) -> None:
        self.make("access")


if __name__ == "__main__":
    unittest.main()
