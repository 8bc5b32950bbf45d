"""Calls, attributes, operators, exceptions and refusals, as every combination must show them."""
from __future__ import annotations

import threading
from typing import Any

from Pyro5 import errors, serializers
from Pyro5.constants import DAEMON_NAME
from tests.conformance.places import PlaceTestCase

LARGE = 2 * 1000 * 1000
VALUES = [None, True, 0, -1, 2 ** 31, 2.5, "", "text", "quotes ' \" and \\ and \n", "d\u00e9j\u00e0 \u20ac \U0001f600",
          [], [1, [2, [3]]], {}, {"key": "value", "list": [1, None]}]


class Calls(PlaceTestCase):
    def test_arguments(self) -> None:
        self.assertEqual(self.proxy.echo(), [[], {}])
        self.assertEqual(self.proxy.echo(1, "two"), [[1, "two"], {}])
        self.assertEqual(self.proxy.echo(1, two=2, three=[3]), [[1], {"two": 2, "three": [3]}])
        self.assertIsNone(self.proxy.nothing())

    def test_values(self) -> None:
        for value in VALUES:
            result = self.proxy.give(value)
            self.assertEqual(result, value)
            self.assertIs(type(result), type(value))

    def test_wrong_arguments(self) -> None:
        with self.assertRaisesRegex(TypeError, r"strict\(\)"):
            self.proxy.strict()
        with self.assertRaisesRegex(TypeError, "three"):
            self.proxy.strict(1, three=3)
        self.assertEqual(self.proxy.strict(1), [1, "two"])

    def test_methods_of_the_class(self) -> None:
        self.assertEqual(self.proxy.static(41), 42)
        self.assertEqual(self.proxy.of_class(), "Thing")

    def test_many_calls_use_one_connection(self) -> None:
        self.proxy._pyroBind()
        connection = self.proxy._pyroConnection
        self.assertEqual([self.proxy.note(value) for value in range(30)], list(range(1, 31)))
        self.assertEqual(self.thing.notes, list(range(30)))
        self.assertIs(self.proxy._pyroConnection, connection)

    def test_large_messages(self) -> None:
        text = "0123456789" * (LARGE // 10)
        result = self.proxy.give(text)
        self.assertTrue(result == text)  # assertEqual would spend its time on describing a difference
        self.assertEqual(self.proxy.note("small"), 1)

    def test_metadata(self) -> None:
        self.proxy._pyroBind()
        self.assertLessEqual({"echo", "__len__", "static", "of_class", "note_later"}, self.proxy._pyroMethods)
        self.assertEqual(self.proxy._pyroOneway, {"note_later", "fail_unheard"})
        self.assertEqual(self.proxy._pyroAttrs, {"colour", "fixed", "broken"})
        self.assertFalse({"unexposed", "_private", "unexposed_value", "__init__"}
                         & (self.proxy._pyroMethods | self.proxy._pyroAttrs))
        self.assertLessEqual({"echo", "colour"}, set(dir(self.proxy)))

    def test_the_daemon_object(self) -> None:
        with self.connect(DAEMON_NAME) as daemon:
            self.assertIsNone(daemon.ping())
            self.assertIn(self.thing._pyroId, daemon.registered())
            self.assertIn("fixed", daemon.get_metadata(self.thing._pyroId)["attrs"])

    def test_the_connection_is_made_again_when_needed(self) -> None:
        self.assertEqual(self.proxy.note(1), 1)
        self.proxy._pyroRelease()
        self.assertIsNone(self.proxy._pyroConnection)
        self.assertEqual(self.proxy.note(2), 2)
        self.proxy._pyroReconnect(tries=1)
        self.assertEqual(self.proxy.note(3), 3)


class AttributesAndOperators(PlaceTestCase):
    def test_attributes(self) -> None:
        self.assertEqual(self.proxy.colour, "red")
        self.proxy.colour = "blue"
        self.assertEqual(self.thing.colour, "blue")
        self.assertEqual(self.proxy.colour, "blue")
        self.assertEqual(self.proxy.fixed, "always the same")

    def test_attributes_that_are_not_there(self) -> None:
        self.assertTrue(hasattr(self.proxy, "fixed"))
        for name in ("unknown", "unexposed_value", "unexposed", "_private"):
            self.assertFalse(hasattr(self.proxy, name), name)
            with self.assertRaises(AttributeError):
                setattr(self.proxy, name, 1)
        self.assertEqual(self.thing.unexposed_value, 42)

    def test_attributes_that_fail(self) -> None:
        with self.assertRaisesRegex(ZeroDivisionError, "a property that fails"):
            _ = self.proxy.broken
        with self.assertRaisesRegex(ValueError, "no colour"):
            self.proxy.colour = ""
        with self.assertRaisesRegex(AttributeError, "fixed"):
            self.proxy.fixed = 1
        self.assertEqual(self.proxy.colour, "red")

    def test_container_operators(self) -> None:
        self.proxy["one"] = 1
        self.proxy["two"] = [2]
        self.assertEqual(self.thing.contents, {"one": 1, "two": [2]})
        self.assertEqual(len(self.proxy), 2)
        self.assertEqual(self.proxy["two"], [2])
        self.assertIn("one", self.proxy)
        self.assertNotIn("three", self.proxy)
        self.assertEqual(list(self.proxy), ["one", "two"])
        del self.proxy["one"]
        self.assertEqual(list(self.thing.contents), ["two"])
        with self.assertRaises(KeyError):
            _ = self.proxy["one"]

    def test_operators_of_the_proxy_itself(self) -> None:
        self.assertTrue(self.proxy)
        self.assertEqual(self.proxy, self.connect(self.thing._pyroId))
        self.assertEqual(hash(self.proxy), hash(self.connect(self.thing._pyroId)))
        self.assertNotEqual(self.proxy, self.connect(DAEMON_NAME))
        self.assertIn(self.thing._pyroId, repr(self.proxy))
        self.assertIn("not connected", str(self.proxy))
        self.proxy._pyroBind()
        self.assertNotIn("not connected", str(self.proxy))


class Exceptions(PlaceTestCase):
    def raised(self, how: Any, *args: Any) -> Any:
        with self.assertRaises(Exception) as caught:
            how(*args)
        return caught.exception

    def test_builtin_exception(self) -> None:
        error = self.raised(self.proxy.fail)
        self.assertIs(type(error), ValueError)
        self.assertEqual(error.args, ("wrong value", 42))
        self.assertEqual(error.hint, "try another one")

    def test_remote_traceback(self) -> None:
        error = self.raised(self.proxy.fail)
        self.assertTrue(all(isinstance(line, str) for line in error._pyroTraceback))
        self.assertIn("in fail", "".join(error._pyroTraceback))
        story = "".join(errors.get_pyro_traceback(error))
        self.assertIn("Remote traceback", story)
        self.assertIn("served.py", story)

    def test_exception_of_the_library(self) -> None:
        self.assertIs(type(self.raised(self.proxy.fail_with_own_class)), errors.NamingError)

    def test_exception_of_an_unknown_class(self) -> None:
        error = self.raised(self.proxy.fail_strangely)
        self.assertIs(type(error), errors.RemoteError)
        self.assertIsInstance(error, errors.SerializeError)    # what handlers of programs for 5.x expect
        self.assertEqual(error.remote_class, "tests.conformance.served.StrangeError")
        self.assertIn("tests.conformance.served.StrangeError", str(error))
        self.assertIn("something strange", str(error))
        self.assertEqual(list(error.remote_args), ["something strange", 99])
        self.assertEqual(error.code, 99)
        self.assertIn("in fail_strangely", "".join(error._pyroTraceback))

    def test_exception_of_a_callback_method(self) -> None:
        with self.assertLogs("Pyro5", "WARNING") as logs:
            self.assertIs(type(self.raised(self.proxy.fail_in_callback)), KeyError)
        self.assertIn("in fail_in_callback", "".join(logs.output))

    def test_the_connection_is_used_again_after_errors(self) -> None:
        self.proxy._pyroBind()
        connection = self.proxy._pyroConnection
        for failing in (self.proxy.fail, self.proxy.fail_strangely, self.proxy.fail_in_callback, self.proxy.strict,
                        lambda: self.proxy.broken, lambda: self.proxy._pyroInvoke("unexposed", (), {}),
                        lambda: self.proxy._pyroInvoke("nobody", (), {}),
                        lambda: self.proxy._pyroInvoke("note", (1,), {}, objectId="nobody")):
            self.raised(failing)
            self.assertEqual(self.proxy.give("still here"), "still here")
            self.assertIs(self.proxy._pyroConnection, connection)

    def test_names_out_of_reach(self) -> None:
        self.proxy._pyroBind()
        for name in ("unexposed", "_private", "__init__", "__class__", "nobody", "unexposed_value", "colour", "echo.x"):
            error = self.raised(self.proxy._pyroInvoke, name, (), {})
            self.assertIs(type(error), AttributeError, name)
            self.assertIn(name, str(error))
            self.assertTrue(error._pyroTraceback)
        for name in ("_private", "__class__", "unexposed_value", "echo"):
            error = self.raised(self.proxy._pyroInvoke, "__getattr__", (name,), None)
            self.assertIs(type(error), AttributeError, name)
            self.assertIn(name, str(error))
        self.assertEqual(self.thing.notes, [])

    def test_unknown_object(self) -> None:
        with self.connect("nobody") as proxy:
            error = self.raised(proxy._pyroBind)
        self.assertIsInstance(error, (errors.CommunicationError, errors.DaemonError))
        self.assertIn("nobody", str(error))
        self.assertEqual(self.connect(self.thing._pyroId).note(1), 1)

    def test_argument_that_cannot_be_serialized(self) -> None:
        self.proxy._pyroBind()
        connection = self.proxy._pyroConnection
        for unserializable in (threading.Lock(), {"deep": [threading.Lock()]}):
            self.raised(self.proxy.note, unserializable)
            self.assertIs(self.proxy._pyroConnection, connection)
        self.assertEqual(self.proxy.note("fine"), 1)

    def test_result_that_cannot_be_serialized(self) -> None:
        error = self.raised(self.proxy.give_unserializable)
        self.assertTrue(error._pyroTraceback)
        self.assertEqual(self.connect(self.thing._pyroId).note("fine"), 1)

    def test_serializer_of_another_client(self) -> None:
        """A server answers everybody in the serializer of the request."""
        name = "json" if self.serializer != "json" else "marshal"
        proxy = self.connect(self.thing._pyroId)
        proxy._pyroSerializer = name
        self.assertEqual(proxy.context()["serializer_id"], serializers.get_serializer(name).serializer_id)
        self.assertEqual(self.proxy.context()["serializer_id"],
                         serializers.get_serializer(self.serializer).serializer_id)
