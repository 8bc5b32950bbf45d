"""The catalogue of attacks, against servers of type thread: other clients notice none of them."""
from __future__ import annotations

import unittest

from .hostile import suite


class Attacks(suite.Attacks, unittest.TestCase):
    servertype = "thread"


if __name__ == "__main__":
    unittest.main()
