"""Values that cannot be sent: the error names the type, the place and what to do, over every serializer, both ways."""
from __future__ import annotations

import pickle
import re
import threading
import unittest
from typing import Any

from Pyro5 import api, errors
from Pyro5._values import unsendable
from Pyro5.serializers import serializers

from ..support import daemon_thread

NAMES = ("serpent", "json", "marshal", "msgpack")
CAUGHT_IN_5 = {"serpent": TypeError, "json": errors.SerializeError, "marshal": ValueError, "msgpack": errors.SerializeError}
LONE = "\ud800"
PLACE_IN_FRAMES = (r'cannot send the result of camera\.frames: result\["frames"\]\[3\]\.mask, an instance of _thread\.lock, '
                   r"cannot be sent over \w+: convert it to plain data")


class Frame:
    def __init__(self, mask: Any) -> None:
        self.mask = mask


class Slotted:
    __slots__ = ("mask",)


class Failing:
    def __getstate__(self) -> Any:
        raise RuntimeError("the program's own")


@api.expose
class Camera:
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return len(args) + len(kwargs)

    def frames(self) -> Any:
        return {"frames": [0, 1, 2, Frame(threading.Lock())]}

    def keys(self) -> Any:
        return {"calm": 1, "odd": {re.compile("x"): 1}}

    def lone(self) -> Any:
        return [{"name": LONE}]

    def lone_key(self) -> Any:
        return {LONE: threading.Lock()}

    def failing(self) -> Any:
        return [Failing()]

    def give(self, what: str) -> Any:
        return {"pair": {"rows": {("a", 1): 1}}, "slots": [Slotted()], "frame": {"frames": [0, Frame(1)]}}[what]

    def items(self) -> Any:
        yield 1
        yield [Frame(threading.Lock())]

    @property
    def lock(self) -> Any:
        return threading.Lock()


class Unsendable(unittest.TestCase):
    def setUp(self) -> None:
        daemon = api.Daemon(host="127.0.0.1")
        self.uri = daemon.register(Camera(), "camera")
        context = daemon_thread(daemon)
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def proxies(self) -> Any:
        for name in NAMES:
            with self.subTest(name), api.Proxy(self.uri) as proxy:
                proxy._pyroSerializer = name
                proxy._pyroTimeout = 5
                yield name, proxy
                self.assertEqual(1, proxy.echo(1))

    def test_results(self) -> None:
        for name, proxy in self.proxies():
            for kind in (errors.SerializeError, CAUGHT_IN_5[name]):
                with self.assertRaisesRegex(kind, PLACE_IN_FRAMES) as caught:
                    proxy.frames()
                self.assertTrue(caught.exception._pyroTraceback)
            with self.assertRaisesRegex(errors.SerializeError, "result, an instance of _thread.lock"):
                getattr(proxy, "lock")  # noqa: B009

    def test_connections_survive_where_they_did_before(self) -> None:
        for name, proxy in self.proxies():
            proxy.echo(1)
            connection = proxy._pyroConnection
            with self.assertRaises(errors.SerializeError):
                proxy.frames()
            if CAUGHT_IN_5[name] is not errors.SerializeError:
                self.assertIs(connection, proxy._pyroConnection)

    def test_arguments(self) -> None:
        lock = threading.Lock()
        for name, proxy in self.proxies():
            for args, kwargs, place in (((1, {"x": [lock]}), {}, r'argument 2\["x"\]\[0\]'), ((), {"scale": Frame(lock)},
                                        r"argument scale\.mask"), ((lock,), {}, "argument 1")):
                with self.assertRaisesRegex(errors.SerializeError, "%s, an instance of _thread.lock, cannot be sent" % place):
                    proxy.echo(*args, **kwargs)
            with self.assertRaises(CAUGHT_IN_5[name]):
                proxy.echo([lock])

    def test_batches(self) -> None:
        for _name, proxy in self.proxies():
            batch = api.BatchProxy(proxy)
            batch.echo(1)
            batch.echo({"k": [threading.Lock()]})
            with self.assertRaisesRegex(errors.SerializeError, r'call 2, argument 1\["k"\]\[0\], an instance of _thread.lock'):
                batch()
            batch.frames()
            with self.assertRaisesRegex(errors.SerializeError, r'\["frames"\]\[3\]\.mask, an instance of _thread.lock'):
                list(batch())

    def test_the_error_in_a_batch_has_the_number_of_the_call(self) -> None:
        for _name, proxy in self.proxies():
            batch = api.BatchProxy(proxy)
            batch.echo(1)
            batch.frames()
            with self.assertRaisesRegex(errors.SerializeError, r'the result of call 2\["frames"\]\[3\]\.mask, an instance of'):
                list(batch())

    def test_items_of_streams(self) -> None:
        for _name, proxy in self.proxies():
            items = proxy.items()
            self.assertEqual(1, next(items))
            with self.assertRaisesRegex(errors.SerializeError, r"an item of a stream: the item\[0\]\.mask, an instance"):
                next(items)

    def test_slots_without_a_value(self) -> None:
        for name, proxy in self.proxies():
            if name == "serpent":
                with self.assertRaisesRegex(errors.SerializeError, r"result\[0\], an instance of .*Slotted, cannot .*mask"):
                    proxy.give("slots")
                with self.assertRaisesRegex(AttributeError, r"argument 1\[0\], an instance of .*Slotted, cannot"):
                    proxy.echo([Slotted()])

    def test_keys_that_msgpack_does_not_read(self) -> None:
        with api.Proxy(self.uri, serializer="msgpack") as proxy:
            for call in (lambda: proxy.give("pair"), lambda: proxy.echo({("a", 1): 1})):
                with self.assertRaisesRegex(errors.SerializeError, "a key of a dict is neither str nor bytes .*: convert"):
                    call()
                with self.assertRaises(ValueError):
                    call()
            self.assertEqual(1, proxy.echo(1))

    def test_classes_that_the_receiver_does_not_know(self) -> None:
        for _name, proxy in self.proxies():
            known = r"unsupported serialized class: .*Frame, in %s: send plain data instead, or register the type in both"
            with self.assertRaisesRegex(errors.SerializeError, known % r'result\["frames"\]\[1\]'):
                proxy.give("frame")
            with self.assertRaisesRegex(errors.SerializeError, known % r'argument 2\["frames"\]\[1\]'):
                proxy.echo(1, {"frames": [0, Frame(1)]})
            with self.assertRaisesRegex(errors.SerializeError, known % r"argument scale\[0\]"):
                proxy.echo(scale=[Frame(1)])

    def test_errors_are_in_the_log_of_the_server(self) -> None:
        # each class of exceptions of a method is logged once a minute, so only one serializer is examined
        with api.Proxy(self.uri) as proxy, self.assertLogs("Pyro5", "WARNING") as logged:
            for call in (proxy.frames, lambda: proxy.echo([Frame(1)])):
                with self.assertRaises(errors.SerializeError):
                    call()
        self.assertRegex(logged.output[0], PLACE_IN_FRAMES)
        self.assertRegex(logged.output[1], r"unsupported serialized class: .*Frame, in argument 1\[0\]: send plain data")

    def test_lone_surrogates(self) -> None:
        for name, proxy in self.proxies():
            if name in ("json", "msgpack"):
                with self.assertRaisesRegex(errors.SerializeError, r'result\[0\]\["name"\], a value of type str'):
                    proxy.lone()
                with self.assertRaisesRegex(UnicodeError, r"argument 1\[0\], a value of type str"):
                    proxy.echo([LONE])
            else:
                self.assertEqual([{"name": LONE}], proxy.lone())
                self.assertEqual(1, proxy.echo([LONE]))
            with self.assertRaisesRegex(errors.SerializeError, r'result\["\\ud800"\], an instance of _thread.lock'):
                proxy.lone_key()

    def test_keys(self) -> None:
        for _name, proxy in self.proxies():
            with self.assertRaises(errors.SerializeError):
                proxy.keys()

    def test_errors_of_the_program_stay(self) -> None:
        for _name, proxy in self.proxies():
            with self.assertRaisesRegex(RuntimeError, "the program's own"):
                proxy.failing()
            with self.assertRaisesRegex(RuntimeError, "the program's own"):
                proxy.echo(Failing())

    def test_circular_arguments(self) -> None:
        circular: Any = [threading.Lock()]
        circular.insert(0, circular)
        for _name, proxy in self.proxies():
            with self.assertRaises((ValueError, errors.SerializeError)):
                proxy.echo(circular)


class Explanations(unittest.TestCase):
    def explain(self, value: Any) -> Exception:
        serializer = serializers["serpent"]
        with self.assertRaises(Exception) as caught:
            serializer.dumps(value)
        return unsendable.explain(caught.exception, [("result", value)], serializer)

    def test_they_can_be_pickled(self) -> None:
        error = self.explain([threading.Lock()])
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(error), str(error), vars(error)), (type(copy), str(copy), vars(copy)))

    def test_work_is_bounded(self) -> None:
        value: Any = threading.Lock()
        for _ in range(60):
            value = [value]
        self.assertLessEqual(str(self.explain(value)).count("[0]"), 16)

    def test_long_keys_are_shortened(self) -> None:
        self.assertLess(len(str(self.explain({"k" * 10000: threading.Lock()}))), 400)


if __name__ == "__main__":
    unittest.main()
