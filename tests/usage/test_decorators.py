"""Decorators on what they are not for, as programs that build classes on the fly meet it; and on what functools makes."""
from __future__ import annotations

import functools
import unittest
from typing import Any

import Pyro5.api
from Pyro5.api import Proxy, expose

from ..support import daemon_thread


class _Hidden:
    def run(self) -> None:
        """Belong to a private class."""


class Area:
    @expose
    @functools.singledispatchmethod
    def describe(self, value: Any) -> str:
        return "something"

    @describe.register
    def _(self, value: int) -> str:
        return "a number"

    @expose
    @functools.cached_property
    def size(self) -> int:
        self.computed = getattr(self, "computed", 0) + 1
        return self.computed


class Decorators(unittest.TestCase):
    def test_what_they_refuse(self) -> None:
        for expected, use in ((AttributeError, lambda: expose(_Hidden)),
                              (TypeError, lambda: Pyro5.api.behavior(instance_mode="?")(len)),  # type: ignore[arg-type]
                              (SyntaxError, lambda: Pyro5.api.behavior(_Hidden)),  # type: ignore[arg-type]
                              (AttributeError, lambda: expose(classmethod(lambda cls: 1)))):
            with self.subTest(expected), self.assertRaises(expected):
                use()  # type: ignore[no-untyped-call]

    def test_dispatching_methods_and_cached_properties_are_called_remotely(self) -> None:
        daemon = Pyro5.api.Daemon("127.0.0.1")
        uri = daemon.register(Area())
        with daemon_thread(daemon), Proxy(uri) as proxy:
            self.assertEqual(["a number", "something"], [proxy.describe(5), proxy.describe("five")])
            self.assertEqual([1, 1], [proxy.size, proxy.size])
            with self.assertRaises(AttributeError):
                proxy.size = 3


if __name__ == "__main__":
    unittest.main()
