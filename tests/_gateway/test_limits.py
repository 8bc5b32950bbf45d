"""What all clients of a gateway can take together, name servers that answer nonsense, checks of silent servers."""
from __future__ import annotations

import contextlib
import functools
import json
import random
import socket
import threading
import time
import tracemalloc
import unittest
from typing import Any, Dict, List
from unittest import mock
from urllib.parse import parse_qs

from Pyro5 import errors
from Pyro5._gateway import arguments, liveness, memory, responses
from Pyro5._gateway.calls import Fresh, NameServerGone, NameServers, Registration
from Pyro5._gateway.liveness import DeadObjects
from Pyro5._gateway.memory import Exhausted, Lease, MemoryBudget
from Pyro5._http.connection import _Writer
from Pyro5._objects.exposure import expose
from Pyro5.client import Proxy
from Pyro5.server import Daemon

from ..gateways import LARGE_BYTES, Client, GatewayTestCase, read_answer
from ..peers import free_port, settings
from ..rawclient import wait_until
from ..support import PATIENCE_SECONDS, daemon_thread


class BudgetTests(unittest.TestCase):
    def test_more_than_there_is(self) -> None:
        lease = Lease(MemoryBudget(lambda: 100))
        lease.take(60)
        with self.assertRaises(Exhausted) as caught:
            lease.take(41)
        self.assertTrue(caught.exception.is_permanent)
        lease.take(40)

    def test_waiting_for_others(self) -> None:
        budget = MemoryBudget(lambda: 100)
        first, second = Lease(budget), Lease(budget)
        first.take(60)
        with mock.patch.object(memory, "WAIT_SECONDS", 0.01), self.assertRaises(Exhausted) as caught:
            second.take(60)
        self.assertFalse(caught.exception.is_permanent)
        timer = threading.Timer(0.01, first.release)
        timer.start()
        second.take(60)
        timer.join()
        self.assertEqual(60, budget.taken)
        second.release()
        second.release()
        self.assertEqual(0, budget.taken)

    def test_those_that_need_little_come_first(self) -> None:
        budget, order = MemoryBudget(lambda: 100), []  # type: Any
        first, second = Lease(budget), Lease(budget)
        first.take(50)
        second.take(40)
        with mock.patch.object(memory, "WAIT_SECONDS", PATIENCE_SECONDS):
            threads = []
            for count in (60, 20):
                threads.append(threading.Thread(target=lambda count=count: (Lease(budget).take(count), order.append(count))))
                threads[-1].start()
                wait_until(lambda: len(budget._waiters) == len(threads), "a thread that waits")
            second.release()
            threads[1].join()
            self.assertEqual([20], order)
            first.release()
            threads[0].join()
        self.assertEqual(([20, 60], 80, []), (order, budget.taken, budget._waiters))

    def test_a_client_for_which_nothing_is_reserved_is_not_remembered(self) -> None:
        budget = MemoryBudget(lambda: 100)
        lease = Lease(budget)
        lease.reduce_to(50)
        lease.release()
        self.assertEqual({}, budget._idle)

    def test_no_limit(self) -> None:
        Lease(MemoryBudget(lambda: 0)).take(1 << 60)

    def test_a_slow_receiver_makes_room(self) -> None:
        budget, disconnected = MemoryBudget(lambda: 100), []  # type: Any
        slow, quick = (Lease(budget, functools.partial(disconnected.append, name)) for name in ("slow", "quick"))
        for lease in (slow, quick):
            lease.take(60)
            lease.reduce_to(40)
        slow.disconnect = lambda: (disconnected.append("slow"), slow.release())
        with mock.patch.object(memory, "CLIENT_SECONDS", 0.01):
            Lease(budget).take(50)
        self.assertEqual((["slow"], 90), (disconnected, budget.taken))
        quick.release()
        self.assertEqual(50, budget.taken)


class FormTests(unittest.TestCase):
    def test_as_the_standard_library_reads_them(self) -> None:
        chance = random.Random(5)
        parts = [b"%", b"%4", b"%41", b"%C3%A9", b"%zz", b"&", b"=", b"+", b"a", "\u00e9".encode(), b"%F0%9F%98%80"]
        with mock.patch.object(arguments, "UNQUOTED_BYTES", 4):
            for _ in range(500):
                body = b"".join(chance.choices(parts, k=chance.randrange(40)))
                expected = {name: values if len(values) > 1 else values[0]
                            for name, values in parse_qs(body.decode()).items()}
                self.assertEqual(expected, arguments._form_values(body), body)

    def test_too_many_parameters(self) -> None:
        self.assertEqual({"a": ["1"] * 1000}, arguments._form_values(b"&".join([b"a=1"] * 1000)))
        self.assertRaises(responses.Refused, arguments._form_values, b"&".join([b"a=1"] * 1001))

    def test_memory(self) -> None:
        body = b"value=" + b"%41" * 500000
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertEqual({"value": "A" * 500000}, arguments._form_values(body))
        self.assertLess(tracemalloc.get_traced_memory()[1], 7 * len(body))


class JsonMemory(unittest.TestCase):
    """The memory that is reserved for the values of a body is at least what they need."""

    def test_forms_of_values(self) -> None:
        count = 10000
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for text in ("1234567", "1.5", '"ab"', '"abcdefgh"', "[]", "[[]]", "{}", '{"a":1}', '{"a":[1]}', "null"):
            self.check(("[%s]" % ",".join([text] * count)).encode())
        self.check(("{%s}" % ",".join('"%06d":1' % number for number in range(count))).encode())

    def check(self, body: bytes) -> None:
        lease = Lease(MemoryBudget(lambda: 0))
        tracemalloc.clear_traces()
        values = arguments._parse_json(body, lease)
        peak = tracemalloc.get_traced_memory()[1]
        # The text itself, and what is made of the values, are counted when the body is read.
        self.assertLess(peak, lease._taken + 2 * len(body), "%d values, %r..." % (len(values), body[:20]))


class BodyTests(GatewayTestCase):
    def status(self, body: bytes) -> int:
        with contextlib.closing(Client(self.client.port)) as client:
            return client.request("POST", "/pyro/http.clerk/file", {"Content-Type": "application/json"}, body).status

    def test_many_values_cost_more_than_their_text(self) -> None:
        with settings(MAX_GATEWAY_MEMORY=2000000):
            self.assertEqual(200, self.status(json.dumps(["x" * 400000]).encode()))
            for text in ("[%s1]" % ("1," * 40000), "[%s[]]" % ("[]," * 15000), "[%s1]" % ('{"":1},' * 10000)):
                self.assertEqual(413, self.status(text.encode()))
            self.assertEqual(413, self.status(json.dumps(["x" * 700000]).encode()))
        self.assertEqual(0, self.gateway._memory.taken)

    def test_wide_characters_cost_more(self) -> None:
        with settings(MAX_GATEWAY_MEMORY=2000000):
            for text in ("x" * 200000, "x" * 200000 + "\\n"):
                self.assertEqual(200, self.status(b'["%s"]' % text.encode()))
            for text in ("x" * 200000 + "\U0001f600", "x" * 200000 + "\\ud83d\\ude00"):
                self.assertEqual(413, self.status(b'["%s"]' % text.encode()))

    def test_bodies_that_stay(self) -> None:
        body = json.dumps(["x" * 200000]).encode()
        head = (b"POST /pyro/http.clerk/file HTTP/1.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body))
        with settings(MAX_GATEWAY_MEMORY=1900000), contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(memory, "WAIT_SECONDS", 0.02))
            crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", self.client.port), PATIENCE_SECONDS))
                     for _ in range(2)]
            for sock in crowd:
                sock.sendall(head + body[:-1])
            wait_until(lambda: self.gateway._memory.taken > 1000000, "the bodies")
            self.assertEqual(503, self.status(json.dumps(["x" * 200000]).encode()))
            self.assertEqual(200, self.status(b'["small"]'))
            for sock in crowd:
                sock.sendall(body[-1:])
                self.assertEqual(200, read_answer(sock, "POST").status)
        self.assertEqual(0, self.gateway._memory.taken)
        self.assertEqual(200, self.status(body))


    def test_bodies_that_stop_make_room(self) -> None:
        """A client that sends nothing for two seconds is disconnected if another one waits for its memory."""
        body = json.dumps(["x" * 200000]).encode()
        with settings(MAX_GATEWAY_MEMORY=1900000), contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(memory, "WAIT_SECONDS", PATIENCE_SECONDS))
            stack.enter_context(mock.patch.object(memory, "CLIENT_SECONDS", 0.02))
            for _ in range(2):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", self.client.port), PATIENCE_SECONDS))
                sock.sendall(b"POST /pyro/http.clerk/file HTTP/1.1\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
            wait_until(lambda: self.gateway._memory.taken > 1000000, "the bodies")
            self.assertEqual(200, self.status(body))
        wait_until(lambda: self.gateway._memory.taken == 0, "the memory")

    def test_an_incomplete_body_holds_no_connection(self) -> None:
        """A client that sends its body slowly takes nothing of the servers behind the gateway."""
        with mock.patch.object(NameServers, "lookup", autospec=True) as lookup, \
                socket.create_connection(("127.0.0.1", self.client.port), PATIENCE_SECONDS) as sock:
            sock.sendall(b"POST /pyro/http.clerk/file HTTP/1.1\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 50000\r\n\r\n[")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(400, read_answer(sock, "POST").status)
        lookup.assert_not_called()


class ResultTests(GatewayTestCase):
    """Results count from the moment that the object sends them until the client has received them."""

    def large(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.client.port), PATIENCE_SECONDS)
        self.addCleanup(sock.close)
        sock.sendall(b"GET /pyro/http.clerk/large HTTP/1.1\r\nConnection: close\r\n\r\n")
        return sock

    def test_slow_receivers(self) -> None:
        with settings(MAX_GATEWAY_MEMORY=2 * LARGE_BYTES + 1000), mock.patch.object(memory, "CLIENT_SECONDS", 0.05):
            stalled = []
            for count in (1, 2):
                stalled.append(self.large())
                wait_until(lambda count=count: len(self.gateway._memory._idle) == count, "results that are being sent")
            self.assertEqual(200, read_answer(self.large()).status)     # one of the others had to go
            first = b"".join(iter(lambda: stalled[0].recv(1 << 20), b""))
            self.assertLess(len(first), LARGE_BYTES)
            self.assertEqual(200, read_answer(stalled[1]).status)
        wait_until(lambda: self.gateway._memory.taken == 0, "the memory")

    def test_nothing_refers_to_a_response_that_could_not_be_sent(self) -> None:
        """Not even a traceback, which the garbage collector may free much later."""
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            writer = _Writer(ours, PATIENCE_SECONDS)
            self.assertEqual(4, writer.write(b"body"))
        self.assertIsNotNone(writer.failure)
        self.assertIsNone(writer.failure.__traceback__)  # type: ignore[union-attr]

    def test_a_response_that_cannot_be_started(self) -> None:
        def start_response(status: str, headers: Any) -> None:
            raise ConnectionError(status)

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/pyro/http.clerk/large", "HTTP_HOST": "localhost"}
        with self.assertRaisesRegex(ConnectionError, "200 OK"):
            self.gateway(environ, start_response)
        self.assertEqual(0, self.gateway._memory.taken)

    def test_a_response_is_counted_until_it_is_closed(self) -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/pyro/http.clerk/large", "HTTP_HOST": "localhost"}
        body: Any = self.gateway(environ, lambda status, headers: None)
        self.assertEqual((1, LARGE_BYTES + 2), (len(body), self.gateway._memory.taken))
        body.close()
        self.assertEqual(0, self.gateway._memory.taken)

    def test_one_that_is_too_large(self) -> None:
        with settings(MAX_GATEWAY_MEMORY=LARGE_BYTES - 1000):
            answer = read_answer(self.large())
        self.assertEqual(503, answer.status)
        self.assertIn(b"the result is large, and there is not enough memory", answer.body)
        self.assertEqual(0, self.gateway._memory.taken)


class FreshTests(unittest.TestCase):
    def test_those_that_wait_share_a_failure(self) -> None:
        begun, end, count, failures = threading.Event(), threading.Event(), [0], []  # type: Any

        def compute() -> None:
            count[0] += 1
            begun.set()
            end.wait(PATIENCE_SECONDS)
            raise NameServerGone()

        fresh = Fresh(compute, 1.0)

        def ask() -> None:
            try:
                fresh.get()
            except NameServerGone as x:
                failures.append(x)

        threads = [threading.Thread(target=ask) for _ in range(5)]
        threads[0].start()
        self.assertTrue(begun.wait(PATIENCE_SECONDS))
        for thread in threads[1:]:
            thread.start()
        self.assertTrue(fresh._lock.acquire(timeout=PATIENCE_SECONDS))  # it is not held meanwhile
        fresh._lock.release()
        wait_until(lambda: len(fresh._outcome._condition._waiters) == 4, "the others")  # type: ignore
        end.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual((5, 1), (len(failures), count[0]))
        self.assertRaises(NameServerGone, fresh.get)
        self.assertEqual(2, count[0])


class DeadTests(unittest.TestCase):
    def setUp(self) -> None:
        self.registered: Dict[str, Registration] = {}
        self.dead = DeadObjects(lambda: self.registered, 0.0)
        self.addCleanup(self.dead.close)

    def register(self, name: str, uri: str) -> None:
        self.registered[name] = Registration(uri, frozenset())

    def listen_silently(self, name: str) -> socket.socket:
        sock = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(sock.close)
        self.register(name, "PYRO:x@127.0.0.1:%d" % sock.getsockname()[1])
        return sock

    def test_silent_servers_delay_no_other_request(self) -> None:
        for number in range(120):
            self.listen_silently("silent%d" % number)
        self.register("gone", "PYRO:x@127.0.0.1:%d" % free_port())
        with settings(COMMTIMEOUT=PATIENCE_SECONDS), mock.patch.object(liveness, "WAIT_SECONDS", 0.05):
            before = time.monotonic()
            threads = [threading.Thread(target=self.dead.get) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
            # They have ended, and the check has not: it waits for the silent servers.
            self.assertEqual([], [thread for thread in threads if thread.is_alive()])
            self.assertEqual(1, sum(thread.name == "Pyro5 check of dead names" for thread in threading.enumerate()))
            self.dead.close()
        self.assertEqual({}, {name: reason for name, reason in self.dead.get().items() if name != "gone"})
        self.assertLess(time.monotonic() - before, PATIENCE_SECONDS / 2)

    def test_those_that_a_round_had_no_time_for_come_first(self) -> None:
        for number in range(100):
            self.listen_silently("silent%d" % number)
        self.register("gone", "PYRO:x@127.0.0.1:%d" % free_port())
        with settings(COMMTIMEOUT=PATIENCE_SECONDS), mock.patch.object(liveness, "WAIT_SECONDS", PATIENCE_SECONDS), \
                mock.patch.object(liveness, "ROUND_SECONDS", 0.1):
            self.dead.get()
            del self.registered["silent0"]
            # Some more rounds, if its answer comes late on a busy machine.
            wait_until(lambda: list(self.dead.get()) == ["gone"], "the one that was left out")

    def test_what_is_no_uri(self) -> None:
        self.register("a", "nonsense")
        self.register("b", "PYRONAME:x")
        self.assertEqual({}, self.dead.get())


@expose
class LyingNameServer:
    """Answers with values of types that were not asked for; among them a proxy, which leads to a trap."""

    value: Any = None

    def lookup(self, name: str) -> Any:
        return self.value

    def list(self, return_metadata: bool = False) -> Any:
        return self.value


class ReplyTypes(unittest.TestCase):
    def test_nothing_is_used_before_its_type_is_known(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as trap, daemon_thread(Daemon("127.0.0.1", 0)) as daemon:
            trap.setblocking(False)
            liar = LyingNameServer()
            names = NameServers(locate=lambda: Proxy(uri))
            uri = daemon.register(liar, "liar")
            self.addCleanup(names.close)
            proxy = Proxy("PYRO:x@127.0.0.1:%d" % trap.getsockname()[1])
            values: List[Any] = [proxy, [proxy], {"a": proxy}, {"a": (proxy, proxy)}, {"a": ("PYRO:x@y:1", proxy)}, 5,
                                 None, {"a": ("PYRO:x@y:1", [proxy])}, {"a": (proxy, [])}, {5: ("PYRO:x@y:1", [])}, b"x",
                                 {"a": "bc"}]
            for value in values:
                liar.value = value
                with self.subTest(value=str(value)):
                    self.assertRaises((errors.PyroError, TypeError), names.lookup, "a")
                    self.assertRaises((errors.PyroError, TypeError), names.list)
            with self.assertRaises(BlockingIOError):
                trap.accept()


if __name__ == "__main__":
    unittest.main()
