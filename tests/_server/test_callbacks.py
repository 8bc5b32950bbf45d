"""The methods of a Daemon that programs override, the fields of current_context in a method, and the daemon's own
object.
"""
from __future__ import annotations

import threading
import uuid
from typing import Any, Dict, Iterator, List

import Pyro5
from Pyro5 import config, errors, serializers
from Pyro5._objects.exposure import behavior, expose
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.constants import DAEMON_NAME
from Pyro5.server import Daemon, DaemonObject
from Pyro5.socketutil import SocketConnection
from tests.support import PATIENCE_SECONDS
from tests.test_server import DaemonTestCase, Thing


class Resource:
    """A resource that a method opens for its client."""

    def __init__(self, fails: bool = False) -> None:
        self.closed = threading.Event()
        self._fails = fails

    def close(self) -> None:
        self.closed.set()
        if self._fails:
            raise OSError("cannot close")


@expose
class Worker:
    def __init__(self) -> None:
        self._resources: List[Resource] = []
        self._context: Dict[str, Any] = {}

    def add(self, one: Any, two: Any = 0) -> Any:
        return one + two

    def fail(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError("failed", args, kwargs)

    def answer_with_annotation(self) -> None:
        current_context.response_annotations["OWN1"] = b"of the method"

    def open(self, fails: bool = False) -> None:
        resource = Resource(fails)
        self._resources.append(resource)
        current_context.track_resource(resource)

    def forget_last(self) -> None:
        current_context.untrack_resource(self._resources[-1])

    def look(self) -> None:
        names = ("client", "client_sock_addr", "seq", "msg_flags", "serializer_id", "annotations", "correlation_id")
        self._context = {name: getattr(Pyro5.current_context, name) for name in names}
        self._context["peer"] = current_context.client.sock.getpeername()


class HookTestCase(DaemonTestCase):
    """Serves a `Worker` with a daemon class of the test, with every server type."""

    def serve_worker(self, daemon_class: Any = Daemon, **kwargs: Any) -> Any:
        self.server = self.serving(daemon_class=daemon_class, **kwargs)
        self.worker = Worker()
        return self.proxy(self.server.register(self.worker, "worker"))

    @staticmethod
    def each_server_type() -> Iterator[str]:
        for config.SERVERTYPE in ("thread", "multiplex"):
            yield config.SERVERTYPE

    def assert_happens(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")


class HookTests(HookTestCase):
    def test_annotations(self) -> None:
        class Annotating(Daemon):
            def annotations(self) -> Dict[str, Any]:
                return {"DAEM": b"of the daemon"}

        proxy = self.serve_worker(Annotating)

        def received() -> Dict[str, bytes]:
            return {key: bytes(value) for key, value in current_context.response_annotations.items()}

        self.addCleanup(setattr, current_context, "response_annotations", {})
        proxy.add(1)
        self.assertEqual(received(), {"DAEM": b"of the daemon"})
        proxy.answer_with_annotation()
        self.assertEqual(received(), {"DAEM": b"of the daemon", "OWN1": b"of the method"})
        with self.assertRaises(ValueError):
            proxy.fail()
        self.assertEqual(received(), {"DAEM": b"of the daemon"})

    def test_handshake(self) -> None:
        seen: List[Any] = []

        class Strict(Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                seen.append((conn, data))
                if data != "secret":
                    raise errors.CommunicationError("that is not the password")
                return ["welcome", data]

        class Careful(Proxy):
            def _pyroValidateHandshake(self, response: Any) -> None:
                seen.append(response)
                if response != expected:
                    raise errors.CommunicationError("this is not my server")

        uri = self.serve_worker(Strict)._pyroUri
        expected = ["welcome", "secret"]
        with Careful(uri) as proxy:
            with self.assertLogs("Pyro5", "WARNING") as logs, \
                    self.assertRaisesRegex(errors.CommunicationError, "worker.*that is not the password"):
                proxy.add(1, 2)
            self.assertIn("that is not the password", logs.output[0])
            proxy._pyroHandshake = "secret"
            self.assertEqual(proxy.add(1, 2), 3)
            self.assertIsInstance(seen[1][0], SocketConnection)
            self.assertEqual([seen[0][1], seen[1][1], seen[2]], ["hello", "secret", expected])
            proxy._pyroRelease()
            expected = ["something else"]
            with self.assertRaisesRegex(errors.CommunicationError, "not my server"):
                proxy.add(1, 2)
            self.assertIsNone(proxy._pyroConnection)

    def test_client_disconnect(self) -> None:
        for _ in self.each_server_type():
            gone = threading.Event()
            connections: List[Any] = []

            class Noticing(Daemon):
                def clientDisconnect(self, conn: Any) -> None:
                    connections.append((conn, conn.sock.fileno() >= 0))  # noqa: B023 - used in this turn only
                    gone.set()  # noqa: B023
                    raise RuntimeError("the rest is freed nevertheless")

            proxy = self.serve_worker(Noticing)
            proxy.look()
            with self.assertLogs("Pyro5", "ERROR"):
                proxy._pyroRelease()
                self.assert_happens(gone)
                self.assertEqual(proxy.add(1, 2), 3)
                self.server.close()
            self.assertEqual(connections[0], (self.worker._context["client"], True))
            self.assertEqual(connections[0][0].fileno(), -1)

    def test_housekeeping(self) -> None:
        for _ in self.each_server_type():
            happened = threading.Event()
            threads: List[Any] = []

            class Tidy(Daemon):
                def housekeeping(self) -> None:
                    threads.append(threading.current_thread().name)  # noqa: B023
                    if len(threads) > 1:  # noqa: B023
                        happened.set()  # noqa: B023
                    raise RuntimeError("the loop goes on nevertheless")

            config.POLLTIMEOUT = 0.01
            with self.assertLogs("Pyro5", "ERROR"):
                proxy = self.serve_worker(Tidy)
                self.assert_happens(happened)
                self.server.close()
            self.assertEqual(set(threads), {"daemon of the test"})
            self.assertIsNone(proxy._pyroConnection)

    def test_method_error_handler(self) -> None:
        for _ in self.each_server_type():
            calls: List[Any] = []
            proxy = self.serve_worker()

            def handler(daemon: Any, client_sock: Any, method: Any, vargs: Any, kwargs: Any, exception: Any) -> None:
                calls.append((daemon, client_sock, method, list(vargs), kwargs, exception))  # noqa: B023
                raise RuntimeError("the client gets the first error nevertheless")

            self.server.methodcall_error_handler = handler
            with self.assertLogs("Pyro5", "ERROR"), self.assertRaisesRegex(ValueError, "failed"):
                proxy.fail(1, two=2)
            daemon, client_sock, method, vargs, kwargs, exception = calls[0]
            self.assertIs(daemon, self.server)
            self.assertIsInstance(client_sock, SocketConnection)
            self.assertEqual((method, vargs, kwargs), (self.worker.fail, [1], {"two": 2}))
            self.assertIsInstance(exception, ValueError)
            self.assertEqual(proxy.add(1, 2), 3)
            self.assertEqual(len(calls), 1)

    def test_method_error_handler_in_a_batch(self) -> None:
        proxy = self.serve_worker()
        heard: List[Any] = []
        self.server.methodcall_error_handler = lambda *args: heard.append(args[2].__name__)
        batch = BatchProxy(proxy)
        batch.fail()
        with self.assertRaises(ValueError):
            list(batch())
        self.assertEqual(heard, ["fail"])

    def test_handle_request(self) -> None:
        for _ in self.each_server_type():
            handled: List[Any] = []

            class Counting(Daemon):
                def handleRequest(self, conn: Any) -> None:
                    handled.append(conn)  # noqa: B023
                    super().handleRequest(conn)

            proxy = self.serve_worker(Counting)
            self.assertEqual([proxy.add(number) for number in range(5)], list(range(5)))
            self.assertGreaterEqual(len(handled), 5)
            self.assertLessEqual(len(handled), 6)  # the handshake may count
            self.assertEqual(len(set(handled)), 1)

    def test_interface(self) -> None:
        @expose
        class Extended(DaemonObject):
            def more(self) -> str:
                return "more than %d objects" % len(self.registered())

        for _ in self.each_server_type():
            self.serve_worker(interface=Extended)
            with self.proxy(self.server.uriFor(DAEMON_NAME)) as daemon:
                self.assertEqual(daemon.more(), "more than 2 objects")
                self.assertEqual(set(daemon.registered()), {DAEMON_NAME, "worker"})


class DaemonObjectTests(HookTestCase):
    def test_methods(self) -> None:
        for _ in self.each_server_type():
            self.serve_worker()
            with self.proxy("PYRO:%s@%s" % (DAEMON_NAME, self.server.locationStr)) as daemon:
                self.assertIsNone(daemon.ping())
                self.assertEqual(set(daemon.registered()), {DAEMON_NAME, "worker"})
                info = daemon.info()
                self.assertIn(self.server.locationStr, info)
                self.assertIn("2 objects", info)
                metadata = daemon.get_metadata("worker")
                self.assertEqual(set(metadata["methods"]),
                                 {"add", "fail", "answer_with_annotation", "open", "forget_last", "look"})
                self.assertEqual([list(metadata[key]) for key in ("oneway", "attrs")], [[], []])
                with self.assertRaisesRegex(errors.DaemonError, "nobody"):
                    daemon.get_metadata("nobody")
                with self.assertRaisesRegex(errors.PyroError, "stream"):
                    daemon.get_next_stream_item("nothing")
                self.assertIsNone(daemon.close_stream("nothing"))

    def test_it_cannot_be_unregistered(self) -> None:
        self.serve_worker()
        self.server.unregister(DAEMON_NAME)
        with self.assertRaises(errors.DaemonError):
            self.server.register(Thing(), DAEMON_NAME)
        with self.proxy(self.server.uriFor(DAEMON_NAME)) as daemon:
            self.assertIsNone(daemon.ping())


class ContextTests(HookTestCase):
    def test_fields(self) -> None:
        for _ in self.each_server_type():
            proxy = self.serve_worker()
            self.addCleanup(setattr, current_context, "annotations", {})
            self.addCleanup(setattr, current_context, "correlation_id", None)
            current_context.annotations = {"ABCD": b"annotation"}
            current_context.correlation_id = correlation_id = uuid.uuid4()
            proxy.look()
            context = self.worker._context
            self.assertIsInstance(context["client"], SocketConnection)
            self.assertEqual(context["client"].objectId, "worker")
            self.assertEqual(context["peer"], proxy._pyroLocalSocket)
            self.assertEqual(context["client_sock_addr"], proxy._pyroLocalSocket)
            self.assertEqual(context["seq"], proxy._pyroSeq)
            self.assertEqual(context["msg_flags"] & ~64, 0)
            self.assertEqual(context["serializer_id"], serializers.get_serializer(config.SERIALIZER).serializer_id)
            self.assertEqual(dict(context["annotations"]), {"ABCD": b"annotation"})
            self.assertEqual(context["correlation_id"], correlation_id)
            self.assertIsNone(current_context.client)

    def test_tracked_resources_are_closed_with_the_connection(self) -> None:
        for _ in self.each_server_type():
            proxy = self.serve_worker()
            proxy.open()
            proxy.open(fails=True)
            proxy.open()
            proxy.open()
            proxy.forget_last()
            with self.assertLogs("Pyro5", "WARNING"):
                proxy._pyroRelease()
                for resource in self.worker._resources[:3]:
                    self.assert_happens(resource.closed)
                self.server.close()
            self.assertFalse(self.worker._resources[3].closed.is_set())

    def test_tracking_needs_a_client(self) -> None:
        with self.assertRaisesRegex(errors.PyroError, "no client"):
            current_context.track_resource(Resource())

    def test_session_instances_are_freed_with_the_connection(self) -> None:
        freed = threading.Event()

        @expose
        @behavior("session")
        class Session:
            def hello(self) -> str:
                return "hello"

            def __del__(self) -> None:
                freed.set()

        for _ in self.each_server_type():
            freed.clear()
            server = self.serving()
            proxy = self.proxy(server.register(Session, force=True))
            self.assertEqual(proxy.hello(), "hello")
            self.assertFalse(freed.is_set())
            proxy._pyroRelease()
            self.assert_happens(freed)


class AcceptedSerializersTests(HookTestCase):
    def test_other_serializers_are_refused(self) -> None:
        config.SERIALIZERS_ACCEPTED = ["json", "marshal"]
        for _ in self.each_server_type():
            proxy = self.serve_worker()
            proxy._pyroSerializer = "json"
            self.assertEqual(proxy.add(1, 2), 3)
            with self.assertLogs("Pyro5", "WARNING"), self.proxy(proxy._pyroUri) as other, \
                    self.assertRaisesRegex(errors.CommunicationError, "serpent.*json, marshal.*SERIALIZERS_ACCEPTED"):
                other.add(1, 2)
            self.assertEqual(proxy.add(3, 4), 7)

    def test_the_setting_changes_during_a_connection(self) -> None:
        config.SERIALIZERS_ACCEPTED = ["json"]
        for _ in self.each_server_type():
            proxy = self.serve_worker()
            proxy._pyroSerializer = "json"
            self.assertEqual(proxy.add(1, 2), 3)
            proxy._pyroSerializer = "marshal"
            with self.assertLogs("Pyro5", "WARNING"), self.assertRaisesRegex(errors.SerializeError, "marshal.*json"):
                proxy.add(1, 2)
            proxy._pyroSerializer = "json"
            self.assertEqual(proxy.add(1, 2), 3)
