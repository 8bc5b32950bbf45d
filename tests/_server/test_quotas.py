"""Limits on what clients may use together: connections, handshakes, buffers, oneway calls. Other clients are not
affected.
"""
from __future__ import annotations

import contextlib
import functools
import math
import socket
import sys
import threading
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import errors, protocol, serializers
from Pyro5._client.retry import Retry, RetryBudget, repeat
from Pyro5._messages import handshake, requests
from Pyro5._server import quotas
from Pyro5._server.oneway import OnewayCalls
from Pyro5._server.quotas import UNCOUNTED_BYTES, BufferQuota
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.protocol import FLAGS_ONEWAY

from ..peers import settings
from ..rawclient import PATIENCE_SECONDS, RawClient, ServerTestCase, call_request, connect_request, for_all_types, wait_until

LARGE = 16 * 1024 * 1024


class Connections(ServerTestCase):
    def full(self) -> Any:
        """Return a daemon that accepts three clients."""
        return self.serving(MAX_CONNECTIONS=3)

    def test_a_full_server_refuses_clients(self) -> None:
        daemon = self.full()
        inside = [self.client(daemon) for _ in range(3)]
        with self.assertLogs("Pyro5.server.loop", "WARNING") as logged:
            refused = self.connect(daemon)
            with self.assertRaisesRegex(errors.CommunicationError, "busy: 3 clients are connected") as caught:
                refused.greet()
            self.assertIsNone(refused.read())
        self.assertEqual(1.0, caught.exception.retry_after)
        self.assertIn("busy", logged.output[0])
        self.assertEqual([0, 1, 2], [client.call("echo", number) for number, client in enumerate(inside)])
        inside[0].close()
        daemon.wait_for_gone(1)
        wait_until(lambda: self.gets_in(daemon), "getting in")

    def gets_in(self, daemon: Any) -> bool:
        try:
            return self.client(daemon).call("echo", True) is True
        except errors.CommunicationError:
            return False

    def test_the_refusal_on_the_wire(self) -> None:
        """For other releases it is the text; they ignore the annotation."""
        daemon = self.serving(MAX_CONNECTIONS=1)
        self.client(daemon)
        message = self.connect(daemon).read()
        assert message is not None
        self.assertEqual((protocol.MSG_CONNECTFAIL, {"WAIT": b"1000"}), (message.type, message.annotations))
        self.assertEqual("the server is busy: 1 clients are connected, and no more are accepted",
                         serializers.get_serializer_by_id(message.serializer_id).loads(message.data))

    def test_a_client_that_retries_waits_as_long_as_the_server_says(self) -> None:
        daemon = self.serving(MAX_CONNECTIONS=1)
        present = self.client(daemon)
        asked: List[float] = []

        def wait(seconds: float) -> bool:
            asked.append(seconds)
            address = present.sock.getsockname()
            present.close()
            # Not wait_for_gone(): the connection that was refused ends too.
            wait_until(lambda: address in [conn.peer_address for conn in daemon.gone], "the end of the connection")
            return True
        with mock.patch.object(quotas, "RETRY_SECONDS", 0.75), Proxy(daemon.uriFor("obj")) as proxy:
            self.assertEqual("let in", repeat(lambda: proxy.echo("let in"), Retry(attempts=2, first=0.001, jitter=0),
                                              RetryBudget(), lambda: False, wait))
        self.assertEqual([0.75], asked)

    def test_the_more_are_refused_the_later_they_return(self) -> None:
        self.assertEqual([1.0, 2.0, 5.0], [quotas.server_full(3, refusals).retry_after for refusals in (0, 25, 100)])

    def test_disconnected_clients_make_room(self) -> None:
        daemon = self.serving(MAX_CONNECTIONS=1)
        for number in range(30):
            with self.client(daemon) as client:
                client.ping()
            daemon.wait_for_gone(number + 1)

    def test_clients_without_a_handshake_make_room(self) -> None:
        daemon = self.full()
        present = self.client(daemon)
        silent = [self.connect(daemon) for _ in range(2)]
        wait_until(lambda: len(daemon.transportServer._connections) == 3)
        self.assertEqual("in", self.client(daemon).call("echo", "in"))
        self.assertIsNone(silent[0].read())
        self.assertEqual("hello", silent[1].greet().call("echo", "hello"))
        present.ping()

    def test_a_flood_from_one_address_makes_room_for_itself(self) -> None:
        daemon = self.serving(MAX_CONNECTIONS=10)
        address = daemon.sock.getsockname()
        try:
            slow = RawClient(socket.create_connection(address, PATIENCE_SECONDS, source_address=("127.0.0.2", 0)))
        except OSError as x:
            self.skipTest("this system has no address 127.0.0.2: %s" % x)
        self.at_end.callback(slow.close)
        for _ in range(40):
            self.connect(daemon)
        self.client(daemon)
        self.assertEqual("let in", slow.greet().call("echo", "let in"))

    def test_also_without_a_timeout_of_handshakes(self) -> None:
        self.configure(HANDSHAKE_TIMEOUT=0.0)
        self.test_clients_without_a_handshake_make_room()

    def test_many_refused_clients_are_closed_without_a_reply(self) -> None:
        daemon = self.full()
        inside = [self.client(daemon) for _ in range(3)]
        with mock.patch.object(quotas, "MAX_REFUSALS", 0):
            refused = self.connect(daemon)
            self.assertIsNone(refused.read())
        inside[2].ping()


class LeftDuringCalls(ServerTestCase):
    """Clients that have disconnected during their calls, which their workers cannot notice."""

    def leave_during_calls(self, daemon: Any) -> None:
        for number in range(2):
            with self.client(daemon) as client:
                client.send(call_request("wait", number))
                self.served._wait_for_notes(number + 1)

    def test_disconnected_ones_make_room(self) -> None:
        daemon = self.serving(MAX_CONNECTIONS=2)
        self.leave_during_calls(daemon)
        self.assertEqual("in", self.client(daemon).call("echo", "in"))
        self.client(daemon)
        with self.assertRaisesRegex(errors.CommunicationError, "busy"):
            self.client(daemon)

    def test_only_a_few_are_checked(self) -> None:
        daemon = self.serving(MAX_CONNECTIONS=2)
        self.client(daemon)
        with mock.patch.object(quotas, "MAX_PEEKS", 1):
            self.leave_during_calls(daemon)
            with self.assertRaisesRegex(errors.CommunicationError, "busy"):
                self.client(daemon)


class HandshakeTime(ServerTestCase):
    def test_single_bytes_do_not_extend_it(self) -> None:
        """Even if every byte arrives before the timeout."""
        client = self.connect(self.serving(HANDSHAKE_TIMEOUT=0.3))
        client.sock.settimeout(0.002)
        request = connect_request("x" * 200000)
        with self.assertRaisesRegex(errors.CommunicationError, "no handshake within 0.3 seconds"):
            for at in range(len(request)):
                client.send(request[at:at + 1])
                with contextlib.suppress(socket.timeout):
                    client.reply()
        self.assertLess(at, 2000)  # 150, if nothing else goes on


class HandshakeSize(ServerTestCase):
    def test_too_large(self) -> None:
        daemon = self.serving(MAX_HANDSHAKE_SIZE=1000)
        client = self.connect(daemon)
        client.send(handshake.connect_request(serializers.get_serializer("serpent"), 0, "obj", "x" * 2000, wire()).data)
        with self.assertRaisesRegex(errors.CommunicationError, "too large .*MAX_HANDSHAKE_SIZE is 1000"):
            client.reply()
        self.assertEqual("y" * 5000, self.client(daemon).call("echo", "y" * 5000))

    def test_annotations_may_be_larger(self) -> None:
        daemon = self.serving(MAX_HANDSHAKE_SIZE=1000)
        for size, fits in ((1000, True), (15000, True), (18000, False)):
            current_context.annotations = {"LOTS": b"x" * size}
            self.addCleanup(setattr, current_context, "annotations", {})
            client = self.connect(daemon)
            client.send(connect_request())
            current_context.annotations = {}
            if fits:
                self.assertEqual("hello", client.reply()[0])
                self.assertEqual("y" * 20000, client.call("echo", "y" * 20000))
            else:
                with self.assertRaisesRegex(errors.CommunicationError, "too large .*MAX_HANDSHAKE_SIZE is 1000"):
                    client.reply()

    def test_too_large_when_decompressed(self) -> None:
        client = self.connect(self.serving(MAX_HANDSHAKE_SIZE=1000))
        compressed = requests.WireOptions(0, True)
        client.send(handshake.connect_request(serializers.get_serializer("serpent"), 0, "obj", "x" * 2000, compressed).data)
        with self.assertRaisesRegex(errors.CommunicationError, r"inflates to more than 1000 bytes \(MAX_HANDSHAKE_SIZE\)"):
            client.reply()

    def test_the_decompressed_size_is_limited(self) -> None:
        daemon = self.serving()
        compressed, serpent = requests.WireOptions(0, True), serializers.get_serializer("serpent")
        for size, fits in ((10000, True), (20000, False)):
            client = self.connect(daemon)
            client.send(handshake.connect_request(serpent, 0, "obj", "x" * size, compressed).data)
            if not fits:
                with self.assertRaisesRegex(errors.CommunicationError, "inflates to more than 16384 bytes"):
                    client.reply()
                continue
            client.reply()
            client.send(requests.invoke_request(serpent, 1, 0, "obj", "echo", ("y" * 100000,), {}, compressed).data)
            self.assertEqual("y" * 100000, client.reply())

    def test_one_with_many_containers(self) -> None:
        client = self.connect(self.serving())
        json = serializers.get_serializer("json")
        client.send(handshake.connect_request(json, 0, "obj", [[]] * 6000, requests.WireOptions()).data)
        with self.assertRaisesRegex(errors.CommunicationError, "too many lists"):
            client.reply()

    def test_a_call_directly_after_it_may_be_larger(self) -> None:
        client = self.connect(self.serving(MAX_HANDSHAKE_SIZE=1000))
        client.send(connect_request() + call_request("echo", "y" * 5000))
        client.reply()
        self.assertEqual("y" * 5000, client.reply())


class BufferedBytes(ServerTestCase):
    def stalled_writer(self, daemon: Any, size: int) -> RawClient:
        """Return a client that has sent all but the last byte of a large message."""
        client = self.client(daemon)
        client.send(call_request("echo", "x" * size)[:-1])
        return client

    def stalled_reader(self, daemon: Any) -> RawClient:
        client = self.client(daemon, receive_buffer=4096)
        client.send(call_request("large", LARGE))
        return client

    def test_stalled_connections_are_closed_first(self) -> None:
        daemon = self.serving(MAX_BUFFERED_SIZE=2 * LARGE + LARGE // 2)
        buffered = daemon.transportServer._buffered
        with self.assertLogs("Pyro5.server.quotas", "WARNING") as logged:
            reader = self.stalled_reader(daemon)
            wait_until(lambda: buffered.total_bytes > LARGE // 2)
            writers = [self.stalled_writer(daemon, LARGE)]
            wait_until(lambda: buffered.total_bytes > LARGE + LARGE // 2)
            writers.append(self.stalled_writer(daemon, LARGE))
            daemon.wait_for_gone(1)
            wait_until(lambda: buffered.total_bytes > LARGE + LARGE // 2)
        self.assertIn("MAX_BUFFERED_SIZE", logged.output[0])
        self.assertEqual(1, len(logged.output))
        for writer in writers:
            writer.send(b")")
            self.assertEqual(LARGE, len(writer.reply()))
        self.assertEqual("alive", self.client(daemon).call("echo", "alive"))
        with self.assertRaises((EOFError, errors.CommunicationError, OSError)):
            reader.reply()

    def idle_clients(self, daemon: Any, count: int) -> List[RawClient]:
        """Return clients that are not owned by workers."""
        clients = [self.client(daemon) for _ in range(count)]
        wait_until(lambda: all(c.watched for c in list(daemon.transportServer._connections.values())))
        return clients

    def test_requests_of_workers_count_decompressed(self) -> None:
        if self.servertype != "thread":
            return  # there are no workers
        daemon = self.serving(MAX_BUFFERED_SIZE=3000000)
        buffered, serpent = daemon.transportServer._buffered, serializers.get_serializer("serpent")
        options = requests.WireOptions(0, True)
        request = requests.invoke_request(serpent, 1, 0, "obj", "wait", ("x" * 1000000,), {}, options).data
        self.assertLess(len(request), 10000)
        *busy, refused = self.idle_clients(daemon, 3)
        for client in busy:
            client.send(request)
        self.served._wait_for_notes(2)
        self.assertLess(2000000, buffered.total_bytes)
        with self.assertLogs("Pyro5.server.loop", "WARNING"):
            refused.send(request)
            with self.assertRaisesRegex(errors.MessageTooLargeError, "busy.*MAX_BUFFERED_SIZE"):
                refused.reply()
        self.served._open_gate()
        for client in busy:
            client.reply()
        wait_until(lambda: buffered.total_bytes == 0)
        self.assertEqual("x" * 100000, self.client(daemon).call("echo", "x" * 100000))

    def test_the_count_returns_to_zero(self) -> None:
        daemon = self.serving()
        buffered = daemon.transportServer._buffered
        reader, writer = self.stalled_reader(daemon), self.stalled_writer(daemon, LARGE)
        wait_until(lambda: buffered.total_bytes > LARGE + LARGE // 2)
        self.assertEqual(LARGE, len(reader.reply()))
        writer.close()
        wait_until(lambda: buffered.total_bytes == 0)


class Oneway(ServerTestCase):
    def flood(self, daemon: Any, count: int) -> RawClient:
        """Return a client that has made oneway calls which run until the gate is opened, and then another call."""
        client = self.client(daemon)
        for number in range(count):
            client.send(call_request("wait", number, flags=FLAGS_ONEWAY))
        client.send(call_request("echo", "done", seq=2))
        return client

    def test_a_client_with_too_many_waits(self) -> None:
        daemon = self.serving(MAX_ONEWAY=4)
        client = self.flood(daemon, 20)
        self.served._wait_for_notes(4)
        self.assertEqual("other", self.client(daemon).call("echo", "other"))
        self.assertEqual(4, len(self.served._notes))
        self.served._open_gate()
        self.assertEqual("done", client.reply())
        self.assertEqual(list(range(20)), sorted(self.served._wait_for_notes(20)))
        self.assertEqual(4, self.served._most)

    def test_disconnecting_while_paused(self) -> None:
        daemon = self.serving(MAX_ONEWAY=2)
        self.flood(daemon, 9).close()
        self.served._wait_for_notes(2)
        self.served._open_gate()
        daemon.wait_for_gone(1)
        self.assertEqual("other", self.client(daemon).call("echo", "other"))

    def test_shutdown_with_paused_clients(self) -> None:
        daemon = self.serving(MAX_ONEWAY=2)
        client = self.flood(daemon, 9)
        self.served._wait_for_notes(2)
        daemon.shutdown()
        self.served._open_gate()
        self.assertIsNone(client.read())

    def test_large_ones(self) -> None:
        """When they are too large together, each client may have one."""
        daemon = self.serving(MAX_BUFFERED_SIZE=1000000)
        clients = [self.client(daemon) for _ in range(2)]
        for client in clients:
            for number in range(5):
                client.send(call_request("wait", "x" * 400000 + str(number), flags=FLAGS_ONEWAY))
        self.served._wait_for_notes(3)
        self.assertEqual("other", self.client(daemon).call("echo", "other"))
        self.assertLessEqual(len(self.served._notes), 4)
        self.served._open_gate()
        self.assertEqual(10, len(self.served._wait_for_notes(10)))
        for client in clients:
            client.ping()

    def test_large_annotations(self) -> None:
        self.send_annotated({"ABCD": bytes(400000)})

    def test_many_annotations(self) -> None:
        """They need much more memory than their bytes."""
        self.send_annotated({"%04d" % number: b"" for number in range(1300)})

    def send_annotated(self, annotations: Any) -> None:
        daemon = self.serving(MAX_BUFFERED_SIZE=1000000)
        client = self.client(daemon)
        self.addCleanup(setattr, current_context, "annotations", {})
        current_context.annotations = annotations
        requests = [call_request("wait", number, flags=FLAGS_ONEWAY) for number in range(8)]
        current_context.annotations = {}
        client.send(b"".join(requests))
        self.served._wait_for_notes(3)
        self.assertEqual("other", self.client(daemon).call("echo", "other"))
        self.assertEqual(3, len(self.served._notes))
        self.served._open_gate()
        self.assertEqual(8, len(self.served._wait_for_notes(8)))
        client.ping()

    def test_any_number(self) -> None:
        daemon = self.serving(MAX_ONEWAY=0)
        client = self.flood(daemon, 30)
        self.assertEqual("done", client.reply())
        self.served._wait_for_notes(30)
        self.served._open_gate()  # or else the end of the server waits for them


class FakeClient:
    oneway_calls = 0
    oneway_full = paused = False
    resumed = 0

    def resume(self) -> None:
        self.resumed += 1


class OnewayCallsTests(unittest.TestCase):
    def test_no_threads_left(self) -> None:
        """The call runs in the thread of its connection."""
        oneway_calls, client = OnewayCalls(1), FakeClient()
        called: List[int] = []
        with mock.patch.object(oneway_calls._workers, "submit", side_effect=RuntimeError("can't start new thread")):
            oneway_calls.start(client, lambda: called.append(threading.get_ident()))
        self.assertEqual([threading.get_ident()], called)
        self.assertEqual((0, False), (client.oneway_calls, client.oneway_full))
        self.assertFalse(oneway_calls.pause(client))

    def test_resumed_once(self) -> None:
        oneway_calls, client = OnewayCalls(2), FakeClient()
        jobs: List[Any] = []
        with mock.patch.object(oneway_calls._workers, "submit", side_effect=jobs.append):
            for _ in range(2):
                oneway_calls.start(client, str)
        self.assertTrue(oneway_calls.pause(client))
        for job in jobs:
            job()
        self.assertEqual((1, 0, False), (client.resumed, client.oneway_calls, client.paused))

    def test_clients_paused_by_the_total_size_are_resumed(self) -> None:
        for most in (0, 1000):
            oneway_calls, client, late, other = OnewayCalls(most, 100), FakeClient(), FakeClient(), FakeClient()
            gate, other_gate, done = threading.Event(), threading.Event(), threading.Event()
            oneway_calls.start(other, lambda gate=other_gate: gate.wait(PATIENCE_SECONDS), 101)
            oneway_calls.start(client, lambda gate=gate: gate.wait(PATIENCE_SECONDS), 1)  # this one takes long
            oneway_calls.start(late, lambda gate=gate: gate.wait(PATIENCE_SECONDS), 1)
            self.assertTrue(oneway_calls.pause(client))
            with mock.patch.object(client, "resume", done.set):
                other_gate.set()
                self.assertTrue(done.wait(PATIENCE_SECONDS))
            self.assertEqual((1, False, False), (client.oneway_calls, client.oneway_full, client.paused))
            self.assertFalse(oneway_calls.pause(late))  # it was about to be paused
            gate.set()
            oneway_calls.stop(PATIENCE_SECONDS)
            self.assertEqual((0, 0, set()), (client.oneway_calls, oneway_calls._bytes, oneway_calls._paused))

    def test_short_calls_share_threads(self) -> None:
        oneway_calls, client = OnewayCalls(0), FakeClient()
        jobs: List[Any] = []
        done: List[int] = []
        with mock.patch.object(oneway_calls._workers, "submit", side_effect=jobs.append):
            for number in range(100):
                oneway_calls.start(client, functools.partial(done.append, number))
            self.assertEqual(1, len(jobs))  # one is on its way
            jobs[0]()
            self.assertEqual((list(range(100)), 2), (done, len(jobs)))  # it had called for one more, in case it took long
            jobs[1]()
            oneway_calls.start(client, functools.partial(done.append, 100))
            self.assertEqual(3, len(jobs))

    def test_no_call_waits_for_another_one(self) -> None:
        oneway_calls, client = OnewayCalls(0), FakeClient()
        gates = [threading.Event() for _ in range(20)]
        for before, gate in zip(gates, gates[1:]):  # each waits for the one that comes after it
            oneway_calls.start(client, lambda before=before, gate=gate: gate.wait(PATIENCE_SECONDS) and before.set())
        oneway_calls.start(client, gates[-1].set)
        self.assertTrue(gates[0].wait(PATIENCE_SECONDS))
        oneway_calls.stop(PATIENCE_SECONDS)

    def test_a_call_that_raises_SystemExit_ends_nothing(self) -> None:
        oneway_calls, client = OnewayCalls(1), FakeClient()
        done = threading.Event()
        with self.assertLogs("Pyro5.server.oneway", "WARNING") as logged:
            oneway_calls.start(client, sys.exit)
            oneway_calls.start(client, done.set)
            self.assertTrue(done.wait(PATIENCE_SECONDS))
        oneway_calls.stop(PATIENCE_SECONDS)
        self.assertEqual((1, 0), (len(logged.output), client.oneway_calls))


class Settings(unittest.TestCase):
    def configured(self, **values: Any) -> quotas.Limits:
        with settings(**values):
            return quotas.configured_limits()

    def test_time_for_the_handshake(self) -> None:
        for seconds, communication, expected in ((20, 0, 20), (20, 5, 5), (20, 30, 20), (0, 0, math.inf), (0, 7, 7)):
            found = self.configured(HANDSHAKE_TIMEOUT=seconds, COMMTIMEOUT=communication)
            self.assertEqual(expected, found.handshake_seconds)

    def test_size_of_the_handshake(self) -> None:
        for size, message, expected in ((1000, 5000, 1000), (1000, 500, 500), (0, 500, 500), (1000, 0, 1000), (0, 0, 0)):
            found = self.configured(MAX_HANDSHAKE_SIZE=size, MAX_MESSAGE_SIZE=message)
            self.assertEqual((expected, message), (found.handshake_bytes, found.message_bytes))

    def test_connections(self) -> None:
        self.assertEqual(5, self.configured(MAX_CONNECTIONS=5).connections)
        system = mock.Mock(RLIM_INFINITY=-1)
        for files, expected in ((1024, 922), (256, 192), (10, 1), (100000, 90000), (-1, math.inf)):
            system.getrlimit.return_value = (files, -1)
            with mock.patch.object(quotas, "resource", system):
                self.assertEqual(expected, self.configured(MAX_CONNECTIONS=0).connections)
        with mock.patch.object(quotas, "resource", None):
            self.assertEqual(math.inf, self.configured(MAX_CONNECTIONS=0).connections)


class BufferedTests(unittest.TestCase):
    def noted(self, most: int, *sizes: int) -> Tuple[BufferQuota, List[Any]]:
        buffered = BufferQuota(most)
        connections = [mock.Mock(buffered_bytes=size) for size in sizes]
        for connection in connections:
            buffered.note(connection)
        return buffered, connections

    def test_the_longest_stalled_first_until_the_rest_is_within_the_limit(self) -> None:
        buffered, connections = self.noted(3 * UNCOUNTED_BYTES, *[UNCOUNTED_BYTES] * 5)
        buffered.note(connections[0])  # it made progress
        self.assertEqual(connections[1:3], buffered.remove_excess())
        self.assertEqual((3 * UNCOUNTED_BYTES, []), (buffered.total_bytes, buffered.remove_excess()))

    def test_small_ones_do_not_count(self) -> None:
        buffered, connections = self.noted(1, *[UNCOUNTED_BYTES - 1] * 5)
        self.assertEqual((0, []), (buffered.total_bytes, buffered.remove_excess()))
        connections[0].buffered_bytes = UNCOUNTED_BYTES
        buffered.note(connections[0])
        self.assertEqual(connections[:1], buffered.remove_excess())

    def test_no_limit(self) -> None:
        buffered, _ = self.noted(0, *[10 ** 12] * 5)
        self.assertEqual([], buffered.remove_excess())

    def test_forgotten(self) -> None:
        buffered, connections = self.noted(1, UNCOUNTED_BYTES)
        buffered.forget(connections[0])
        buffered.forget(connections[0])
        self.assertEqual((0, []), (buffered.total_bytes, buffered.remove_excess()))


def wire() -> requests.WireOptions:
    return requests.WireOptions(0, False)


for base in (Connections, HandshakeSize, BufferedBytes, Oneway):
    for_all_types(globals(), base)
    del globals()[base.__name__]
del base

if __name__ == "__main__":
    unittest.main()
