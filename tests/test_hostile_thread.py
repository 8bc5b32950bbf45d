"""The catalogue of attacks, against servers of type thread: other clients notice none of them."""
from __future__ import annotations

import unittest

from .hostile import suite


class Attacks(suite.Attacks, unittest.TestCase):
    servertype = "thread"

    # What decodes these, and the gateway, is the same for all server types; `make hostile` makes them on both.

    def test_5_bombs(self) -> None:
        self.make("bombs")

    def test_5b_structure(self) -> None:
        self.make("structure")

    def test_7_http(self) -> None:
        self.make("http")


if __name__ == "__main__":
    unittest.main()
