"""help() on methods of proxies, and attributes that cannot be assigned or deleted."""
from __future__ import annotations

import inspect
import pydoc
import unittest
from typing import Any

from Pyro5._client.signatures import ANY_ARGUMENTS, parse_signature
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

    def test_inspect_shows_the_remote_signature(self) -> None:
        signature = inspect.signature(self.proxy.heat)
        self.assertEqual("(degrees: int, slowly: bool = False) -> str", str(signature))
        self.assertIs(False, signature.parameters["slowly"].default)
        signature.bind(20, slowly=True)
        with self.assertRaises(TypeError):
            signature.bind()

    def test_a_signature_without_connection(self) -> None:
        heat = self.proxy.heat
        self.proxy._pyroRelease()
        self.assertEqual("(*args, **kwargs)", str(inspect.signature(heat)))
        self.assertIn("send", inspect.signature(type(heat)).parameters)

    def test_a_docstring_without_connection(self) -> None:
        heat = self.proxy.heat
        self.proxy._pyroRelease()
        self.assertIn("method of a remote object", heat.__doc__)
        self.assertIn("Calling it calls the remote method", type(heat).__doc__)

    def test_read_only_attributes(self) -> None:
        with self.assertRaisesRegex(AttributeError, "'degrees' of 'Thermostat' is read-only"):
            self.proxy.degrees = 5

    def test_nothing_remote_can_be_deleted(self) -> None:
        self.assertEqual(21, self.proxy.degrees)
        for name in ("degrees", "heat"):
            with self.assertRaisesRegex(AttributeError, "'%s' of remote object .* cannot be deleted" % name):
                delattr(self.proxy, name)


class SignatureTexts(unittest.TestCase):
    def test_texts_that_are_signatures(self) -> None:
        for text in ("()", "(a, b=1, *c, d, e=(2, 'x'), **f)", "(a, /, b: 'int' = None)",
                     "(*, a: Dict[str, int] = Mode.FAST) -> None"):
            with self.subTest(text):
                self.assertEqual(text, str(parse_signature(text)))

    def test_nothing_is_evaluated(self) -> None:
        default = parse_signature("(a=print('called'))").parameters["a"].default
        self.assertEqual("print('called')", repr(default))

    def test_anything_else_is_any_arguments(self) -> None:
        for text in (None, 5, b"()", "", "(", "(a, a)", "(a=1, b)", "(a=<x>)", "(): pass\nimport os\ndef g()", "(): import #",
                     "(a=\0)", "(a=\ud800)", "(a=" + "[" * 700 + "]" * 700 + ")", "(" + "a" * 5000 + ")"):
            with self.subTest(repr(text)[:30]):
                self.assertIs(ANY_ARGUMENTS, parse_signature(text))

    def test_long_chains_of_operators_end(self) -> None:
        for text in ("(a=" + "-" * 1450 + "1)", "(a=x" + ".y" * 700 + ")"):
            self.assertEqual(1, len({"a", "args"}.intersection(parse_signature(text).parameters)))


if __name__ == "__main__":
    unittest.main()
