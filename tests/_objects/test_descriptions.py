"""The content of descriptions of exposed members, and what they must not contain."""
from __future__ import annotations

import functools
import inspect
import unittest
from typing import Any, List, Optional

from Pyro5._objects import descriptions
from Pyro5._objects.exposure import expose, oneway
from Pyro5._objects.members import exposed_members
from Pyro5.client import Proxy
from Pyro5.server import Daemon, DaemonObject
from tests.support import daemon_thread

NOTHING = object()


class Hidden:
    """Text of the base class."""

    def inherited(self) -> None:
        """Text of a method that is not exposed."""

    def quiet(self) -> None:
        """This must not be visible."""


class Shop(Hidden):
    """Text of the class."""

    def __init__(self) -> None:
        self.secret = "instance"

    @expose
    def order(self, item: str, count: int = 1, *more: str, when: Optional[str] = None, **options: Any) -> List[str]:
        """Order something.

        Any number of it.
        """
        return []

    @expose
    def inherited(self) -> None:
        pass

    @expose
    def connect(self, password="a text that is much longer than what is shown of any", store=NOTHING, n=-1.5) -> None:
        pass

    @expose
    @oneway
    def tell(self, first, /, second):  # type: ignore[no-untyped-def]
        return None

    @staticmethod
    @expose
    def static(a, b=()):  # type: ignore[no-untyped-def]
        """Static."""

    @classmethod
    @expose
    def named(cls, *names):  # type: ignore[no-untyped-def]
        """Of the class."""

    @expose
    @property
    def price(self) -> int:
        """What it costs."""
        return 1

    @expose
    @property
    def name(self) -> str:
        return ""

    @name.setter
    def name(self, value: str) -> None:
        pass

    def private(self, secret: int = 4711) -> None:
        """This must not be visible."""


@expose
class Whole:
    """Text of an exposed class."""

    def act(self) -> None:
        pass


def described(clazz: type) -> Any:
    return descriptions.describe(clazz, exposed_members(clazz))


class Describing(unittest.TestCase):
    maxDiff = None

    def test_methods(self) -> None:
        self.assertEqual(described(Shop)["methods"], {
            "order": {"signature": "(item: str, count: int = 1, *more: str, when: Optional[str] = None, **options: Any)"
                                   " -> List[str]",
                      "doc": "Order something.\n\nAny number of it."},
            "inherited": {"signature": "() -> None", "doc": None},
            "connect": {"signature": "(password=..., store=..., n=-1.5) -> None", "doc": None},
            "tell": {"signature": "(first, /, second)", "doc": None},
            "static": {"signature": "(a, b=...)", "doc": "Static."},
            "named": {"signature": "(*names)", "doc": "Of the class."}})

    def test_attributes(self) -> None:
        self.assertEqual(described(Shop)["attrs"], {"name": {"doc": None, "writable": True},
                                                    "price": {"doc": "What it costs.", "writable": False}})

    def test_unexposed_members_are_not_described(self) -> None:
        text = repr(described(Shop))
        for secret in ("must not be visible", "4711", "Text of", "instance", "much longer", "object at"):
            self.assertNotIn(secret, text)

    def test_the_docstring_of_a_class(self) -> None:
        self.assertIsNone(described(Shop)["doc"])
        self.assertEqual(described(Whole)["doc"], "Text of an exposed class.")

    def test_description_of_an_object(self) -> None:
        self.assertEqual(descriptions.describe(Shop(), exposed_members(Shop)), described(Shop))

    def test_descriptions_are_cached_per_class(self) -> None:
        members = exposed_members(Shop)
        first = descriptions.describe(Shop(), members)
        self.assertIs(first, descriptions.describe(Shop, members))
        self.assertIsNot(first, descriptions.describe(Shop, members._replace(attrs=frozenset())))


class Signatures(unittest.TestCase):
    def test_real_types(self) -> None:
        def function(self, a, b, c) -> bytes:  # type: ignore[no-untyped-def]
            return b""
        function.__annotations__.update({"a": int, "b": List[str], "c": None, "return": bytes})
        self.assertEqual(descriptions.signature_text(function), "(a: int, b: List[str], c: None) -> bytes")

    def test_a_decorated_function(self) -> None:
        def function(self, a: int = 3) -> None:  # type: ignore[no-untyped-def]
            pass

        @functools.wraps(function)
        def wrapper(*args: Any) -> None:
            pass
        self.assertEqual(descriptions.signature_text(wrapper), "(a: int = 3) -> None")

    def test_self_is_left_out(self) -> None:
        self.assertEqual(descriptions.signature_text(lambda *args: None), "(*args)")
        self.assertEqual(descriptions.signature_text(lambda: None), "()")

    def test_unknown_signature(self) -> None:
        class Odd:
            def __call__(self) -> None:
                pass

            @property
            def __signature__(self) -> inspect.Signature:
                raise ZeroDivisionError
        self.assertIsNone(descriptions.signature_text(Odd()))


class OverTheNetwork(unittest.TestCase):
    def ask(self, daemon: Daemon, uri: Any, **kwargs: Any) -> Any:
        with daemon_thread(daemon), Proxy(daemon.uriFor("Pyro.Daemon")) as proxy:
            return proxy.get_metadata(uri.object, **kwargs)

    def test_only_if_requested(self) -> None:
        names = {"methods": {"act"}, "oneway": (), "attrs": ()}
        daemon = Daemon("127.0.0.1")
        self.assertEqual(self.ask(daemon, daemon.register(Whole)), names)
        daemon = Daemon("127.0.0.1")
        self.assertEqual(self.ask(daemon, daemon.register(Whole), descriptions=True),
                         {**names, "descriptions": described(Whole)})

    def test_the_metadata_of_the_daemon_is_unchanged(self) -> None:
        self.assertEqual(exposed_members(DaemonObject).metadata()["methods"], {
            "registered", "ping", "info", "get_metadata", "get_next_stream_item", "close_stream"})


if __name__ == "__main__":
    unittest.main()
