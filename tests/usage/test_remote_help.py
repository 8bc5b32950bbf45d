"""help() on methods of proxies, and attributes that cannot be assigned or deleted."""
from __future__ import annotations

import pydoc
import unittest
from typing import Any

from Pyro5.api import Daemon, Proxy, expose

from ..support import daemon_thread


class Thermostat:
    @expose
    def heat(self, degrees: int, slowly: bool = False) -> str:
        """Heat the room."""
        return "heating"

    @expose
    @property
    def degrees(self) -> int:
        return 21


class RemoteHelp(unittest.TestCase):
    def setUp(self) -> None:
        daemon = Daemon(host="127.0.0.1")
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(daemon.close)
        self.addCleanup(running.__exit__, None, None, None)
        self.proxy: Any = Proxy(daemon.register(Thermostat()))
        self.addCleanup(self.proxy._pyroRelease)

    def test_help_shows_signature_and_docstring(self) -> None:
        text = pydoc.render_doc(self.proxy.heat, renderer=pydoc.plaintext)
        self.assertIn("heat(degrees: int, slowly: bool = False) -> str", text)
        self.assertIn("Heat the room.", text)
        self.assertEqual("heat", self.proxy.heat.__name__)

    def test_a_docstring_without_connection(self) -> None:
        heat = self.proxy.heat
        self.proxy._pyroRelease()
        self.assertIn("method of a remote object", heat.__doc__)
        self.assertIn("calling it calls the remote one", type(heat).__doc__)

    def test_read_only_attributes(self) -> None:
        with self.assertRaisesRegex(AttributeError, "'degrees' of 'Thermostat' is read-only"):
            self.proxy.degrees = 5

    def test_nothing_remote_can_be_deleted(self) -> None:
        self.assertEqual(21, self.proxy.degrees)
        for name in ("degrees", "heat"):
            with self.assertRaisesRegex(AttributeError, "'%s' of remote object .* cannot be deleted" % name):
                delattr(self.proxy, name)


if __name__ == "__main__":
    unittest.main()
