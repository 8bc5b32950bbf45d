"""The names that clients and servers share."""
from __future__ import annotations

import unittest

import Pyro5.api
import Pyro5.core


class TypeMetaTests(unittest.TestCase):
    class Base:
        pass

    class Derived(Base):
        pass

    def test_a_class_and_its_bases(self) -> None:
        expected = {"class:%s.Derived" % __name__, "class:%s.Base" % __name__}
        self.assertEqual(expected, Pyro5.core.type_meta(self.Derived))
        self.assertEqual(expected, Pyro5.core.type_meta(self.Derived()))

    def test_prefix(self) -> None:
        self.assertEqual({"p-%s.Base" % __name__}, Pyro5.core.type_meta(self.Base, prefix="p-"))

    def test_object_itself_says_nothing(self) -> None:
        self.assertEqual(set(), Pyro5.core.type_meta(object))


class NamesTests(unittest.TestCase):
    def test_everything_that_is_promised_is_there(self) -> None:
        for name in Pyro5.core.__all__:
            self.assertTrue(hasattr(Pyro5.core, name), name)
        for name in ("errors", "config"):
            self.assertIs(getattr(Pyro5, name), getattr(Pyro5.core, name))
        self.assertEqual("Pyro5.core", Pyro5.core.log.name)
        self.assertEqual("5", Pyro5.api.__version__.split(".")[0])
        self.assertEqual(("Pyro.Daemon", "Pyro.NameServer"), (Pyro5.core.DAEMON_NAME, Pyro5.core.NAMESERVER_NAME))


if __name__ == "__main__":
    unittest.main()
