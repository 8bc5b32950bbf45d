"""Options of single calls: timeouts that reach the server, cancellation, retries, waiting for a server."""
from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
import unittest
from typing import Any, List

from Pyro5 import errors, protocol
from Pyro5._client.call_options import earlier
from Pyro5._client.retry import busy_pause, pause_after
from Pyro5.api import Daemon, Proxy, Retry, current_context, expose, oneway, wait_for
from Pyro5.client import Proxy as ClientProxy
from Pyro5.nameserver import NameServerDaemon

from .peers import Peer, ScriptedServer, free_port
from .rawclient import PATIENCE_SECONDS, ServerTestCase, wait_until
from .support import daemon_thread, with_longer_times


@expose
class Stage:
    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.gate = threading.Event()
        self.moves: List[Any] = []
        self.closed = threading.Event()
        self.other: Any = None

    def move(self, to: Any) -> Any:
        self.moves.append(to)
        return to

    def remaining(self) -> Any:
        return current_context.time_remaining()

    def remaining_there(self) -> Any:
        return self.other.remaining()

    def long(self) -> str:
        """Wait until the call is cancelled, and note the reason."""
        self.begun.set()
        current_context.cancelled.wait(PATIENCE_SECONDS)
        try:
            current_context.check()
        except errors.PyroError as x:
            self.moves.append(type(x).__name__)
            raise
        finally:
            self.ended.set()
        return "not cancelled"

    def ask_again_and_again(self) -> None:
        """Ask whether the call is cancelled, until it is."""
        self.begun.set()
        while not current_context.cancelled.is_set():
            self.gate.wait(0.002)
        self.ended.set()

    def stubborn(self) -> str:
        self.begun.set()
        self.gate.wait(PATIENCE_SECONDS)
        self.ended.set()
        return "done"

    def frames(self) -> Any:
        try:
            yield 1
            self.begun.set()
            yield 2
        finally:
            self.closed.set()

    @oneway
    def told(self) -> None:
        self.moves.append(("deadline", current_context.deadline))
        self.ended.set()

    def serializer(self) -> int:
        return current_context.serializer_id

    def notes(self) -> Any:
        return {name: bytes(value).decode() for name, value in current_context.annotations.items()}


class StageTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stage = Stage()
        self.server = self.daemon(Daemon)
        self.uri = self.server.register(self.stage, "stage")
        self.run_loop(self.server)
        self.at_end.callback(self.stage.gate.set)
        self.proxy = Proxy(self.uri)
        self.at_end.callback(self.proxy._pyroRelease)


class Deadlines(StageTestCase):
    def test_it_reaches_the_server(self) -> None:
        self.assertIsNone(self.proxy.remaining())
        self.assertTrue(3 < self.proxy.remaining.options(timeout=5)() <= 5)
        self.assertIsNone(self.proxy.remaining(), "the view changes nothing else")
        self.proxy._pyroTimeout = 7
        self.assertTrue(5 < self.proxy.remaining() <= 7)

    def test_a_nested_call_inherits_what_is_left(self) -> None:
        self.stage.other = self.proxy.__copy__()
        self.addCleanup(self.stage.other._pyroRelease)
        self.assertIsNone(self.proxy.remaining_there())
        self.assertTrue(3 < self.proxy.remaining_there.options(timeout=5)() <= 5)

    def test_the_session_goes_on_after_a_deadline(self) -> None:
        self.configure(PROXY_CONNECTIONS=1)
        connection = self.proxy._pyroBind() and self.proxy._pyroConnection
        with self.assertRaises(errors.TimeoutError):
            self.proxy.stubborn.options(timeout=0.05)()
        self.stage.gate.set()
        self.assertEqual([1, 2, 3], [self.proxy.move(n) for n in (1, 2, 3)])
        self.assertIs(connection, self.proxy._pyroConnection)
        self.assertEqual(set(), connection.late)

    def test_a_method_learns_that_it_is_late(self) -> None:
        with self.assertRaises(errors.TimeoutError):
            self.proxy.long.options(timeout=0.05)()
        self.assertTrue(self.stage.ended.wait(PATIENCE_SECONDS))
        self.assertEqual(["TimeoutError"], self.stage.moves)

    def test_a_late_call_is_not_started(self) -> None:
        self.proxy._pyroBind()
        with self.assertRaisesRegex(errors.TimeoutError, "deadline has passed") as caught:
            self.proxy.move.options(annotations={"DLMS": b"0"})(1)
        self.assertTrue(caught.exception._pyroTraceback)
        self.assertEqual([], self.stage.moves)
        self.assertEqual(2, self.proxy.move(2))

    def test_a_deadline_that_has_passed_is_found_before_anything_is_sent(self) -> None:
        view = self.proxy.move.options(timeout=1e-9)
        with self.assertRaises(errors.TimeoutError) as caught:
            view(1)
        self.assertIs(False, caught.exception.sent)
        self.assertEqual([], self.stage.moves)

    def test_oneway_calls_have_only_a_deadline_of_their_own(self) -> None:
        self.proxy._pyroTimeout = 5
        self.proxy.told()
        self.assertTrue(self.stage.ended.wait(PATIENCE_SECONDS))
        self.assertEqual([("deadline", None)], self.stage.moves)

    def test_unsuitable_timeouts(self) -> None:
        for value, error in ((0, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)):
            with self.subTest(value), self.assertRaises(error):
                self.proxy.move.options(timeout=value)

    def test_an_old_server_is_not_told(self) -> None:
        requests: List[Any] = []

        def script(peer: Peer) -> None:
            peer.welcome(["move"])
            for _ in range(2):
                requests.append(peer.read_call())
                peer.answer(requests[-1], "moved")

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            self.assertEqual("moved", proxy.move.options(timeout=5)(1))
            proxy._pyroTimeout = 5
            self.assertEqual("moved", proxy.move(1))
        self.assertEqual([({}, 0)] * 2, [(request.message.annotations, request.message.flags & protocol.FLAGS_CORR_ID)
                                         for request in requests])

    def test_an_old_server_that_is_late(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["move"])
            peer.read_call()
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            with self.assertRaises(errors.TimeoutError):
                proxy.move.options(timeout=0.02)(1)
            self.assertIsNone(proxy._pyroConnection)


class Cancellation(StageTestCase):
    def test_a_future(self) -> None:
        future = self.proxy.move.future(3)
        self.assertIsInstance(future, concurrent.futures.Future)
        self.assertEqual(3, future.result(PATIENCE_SECONDS))
        self.assertFalse(future.cancel())
        self.assertIsInstance(self.proxy.move.future().exception(PATIENCE_SECONDS), TypeError)

    def test_cancelling_reaches_the_server(self) -> None:
        future = self.proxy.long.future()
        self.assertTrue(self.stage.begun.wait(PATIENCE_SECONDS))
        self.assertTrue(future.running())
        self.assertTrue(future.cancel())
        self.assertTrue(future.cancel(), "again")
        self.assertTrue(self.stage.ended.wait(PATIENCE_SECONDS))
        self.assertEqual(["CancelledError"], self.stage.moves)
        with self.assertRaises(concurrent.futures.CancelledError):
            future.result()
        self.assertEqual(4, self.proxy.move(4))

    def test_a_call_that_was_not_sent_yet(self) -> None:
        first = self.proxy.stubborn.future()
        self.assertTrue(self.stage.begun.wait(PATIENCE_SECONDS))
        futures = [self.proxy.stubborn.future() for _ in range(7)]
        waiting = self.proxy.move.future("never")
        self.assertTrue(waiting.cancel())
        self.stage.gate.set()
        self.assertEqual("done", first.result(PATIENCE_SECONDS))
        concurrent.futures.wait(futures, PATIENCE_SECONDS)
        self.assertEqual([], self.stage.moves)

    def test_a_lost_client(self) -> None:
        thread = threading.Thread(target=lambda: self.assertRaises(errors.ConnectionClosedError, self.proxy.long))
        thread.start()
        self.assertTrue(self.stage.begun.wait(PATIENCE_SECONDS))
        self.proxy._pyroRelease()
        self.join(thread)
        self.assertTrue(self.stage.ended.wait(PATIENCE_SECONDS))
        self.assertEqual(["CancelledError"], self.stage.moves)

    def test_a_stream_is_closed(self) -> None:
        opened: List[Any] = []
        invoke = ClientProxy._pyroInvoke

        class Watching(Proxy):  # type: ignore[misc]
            def _pyroInvoke(self, *args: Any, **kwargs: Any) -> Any:
                result = invoke(self, *args, **kwargs)
                opened.append(self._pyroConnection.call_id)
                return result

        with Watching(self.uri) as proxy:
            stream = proxy.frames()
            call_id = opened[-1]
            self.assertEqual(1, next(stream))
            self.proxy._pyroBind()
            proxy._pyro.cancel(call_id, proxy._pyro.pool.seq - 1)
            self.assertTrue(self.stage.closed.wait(PATIENCE_SECONDS))

    def test_many_random_cancellations(self) -> None:
        self.stage.gate.set()
        wrong: List[Any] = []
        for turn in range(20):
            futures = [self.proxy.move.future((turn, n)) for n in range(32)]
            for number, future in enumerate(futures):
                if (turn * 7 + number) % 3 == 0:
                    future.cancel()
            for number, future in enumerate(futures):
                try:
                    if tuple(future.result(PATIENCE_SECONDS)) != (turn, number):
                        wrong.append((turn, number, future.result()))
                except concurrent.futures.CancelledError:
                    continue
        self.assertEqual([], wrong)
        wait_until(lambda: not self.proxy._pyro.background._threads, "the end of the threads")

    def test_an_old_server_is_not_asked(self) -> None:
        begun, go = threading.Event(), threading.Event()

        def script(peer: Peer) -> None:
            peer.welcome(["move"])
            request = peer.read_call()
            begun.set()
            self.assertTrue(go.wait(PATIENCE_SECONDS))
            peer.answer(request, "late")
            peer.answer(peer.read_call(), "next")

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            future = proxy.move.future(1)
            self.assertTrue(begun.wait(PATIENCE_SECONDS))
            self.assertTrue(future.cancel())
            go.set()
            self.assertEqual("next", proxy.move(2))


class EarlierTests(unittest.TestCase):
    def test_none_is_no_limit(self) -> None:
        self.assertEqual(1, earlier(1, 2))
        self.assertEqual(2, earlier(None, 2))
        self.assertEqual(1, earlier(1, None))
        self.assertIsNone(earlier(None, None))


class Queueing(ServerTestCase):
    def test_a_call_that_has_waited_too_long_for_a_thread_is_not_started(self) -> None:
        self.configure(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        stage = Stage()
        server = self.daemon(Daemon)
        uri = server.register(stage, "stage")
        self.run_loop(server)
        self.at_end.callback(stage.gate.set)
        with Proxy(uri) as patient, Proxy(uri) as hasty:
            hasty._pyroBind()
            busy = patient.stubborn.future()
            self.assertTrue(stage.begun.wait(PATIENCE_SECONDS))
            with self.assertRaises(errors.TimeoutError):
                hasty.move.options(timeout=0.05)("late")
            # The server counts from the moment when it has noticed the request, which is later than the client does.
            gate_opens_at = time.monotonic() + 0.5
            wait_until(lambda: time.monotonic() > gate_opens_at)
            stage.gate.set()
            self.assertEqual("done", busy.result(PATIENCE_SECONDS))
            self.assertEqual("in time", hasty.move("in time"))
        self.assertEqual(["in time"], stage.moves)


class Multiplex(ServerTestCase):
    servertype = "multiplex"

    def test_asking_looks_at_the_connection(self) -> None:
        stage = Stage()
        server = self.daemon(Daemon)
        uri = server.register(stage, "stage")
        self.run_loop(server)
        proxy = Proxy(uri)
        thread = threading.Thread(target=lambda: self.assertRaises(errors.ConnectionClosedError, proxy.ask_again_and_again))
        thread.start()
        self.assertTrue(stage.begun.wait(PATIENCE_SECONDS))
        proxy._pyroRelease()
        self.join(thread)
        self.assertTrue(stage.ended.wait(PATIENCE_SECONDS))

    def test_deadlines(self) -> None:
        stage = Stage()
        server = self.daemon(Daemon)
        uri = server.register(stage, "stage")
        self.run_loop(server)
        with Proxy(uri) as proxy:
            with self.assertRaises(errors.TimeoutError):
                proxy.long.options(timeout=0.05)()
            self.assertTrue(stage.ended.wait(PATIENCE_SECONDS))
            self.assertEqual(1, proxy.move(1))
        self.assertEqual(["TimeoutError", 1], stage.moves)


class Views(StageTestCase):
    def test_tell(self) -> None:
        self.assertIsNone(self.proxy.move.tell("there"))
        wait_until(lambda: self.stage.moves == ["there"], "the call")

    def test_serializer_and_annotations(self) -> None:
        json = self.proxy.serializer.options(serializer="json")
        self.assertEqual((3, 1, 3), (json(), self.proxy.serializer(), json()))
        self.assertEqual({"NOTE": "me"}, self.proxy.notes.options(annotations={"NOTE": b"me"})())
        self.assertEqual({}, self.proxy.notes())
        with self.assertRaisesRegex(ValueError, "unknown serializer"):
            self.proxy.move.options(serializer="pickle")

    def test_options_are_kept_by_further_ones(self) -> None:
        view = self.proxy.remaining.options(timeout=5).options(annotations={"NOTE": b"1"})
        self.assertTrue(3 < view() <= 5)
        self.assertIsNone(view.options(timeout=None)())

    def test_an_overridden_invoke_sees_them(self) -> None:
        seen: List[str] = []

        class Watching(Proxy):  # type: ignore[misc]
            def _pyroInvoke(self, name: str, *args: Any, **kwargs: Any) -> Any:
                seen.append(name)
                return super()._pyroInvoke(name, *args, **kwargs)

        with Watching(self.uri) as proxy:
            self.assertTrue(3 < proxy.remaining.options(timeout=5)() <= 5)
            proxy.move.tell(1)
            proxy.move.future(2).result(PATIENCE_SECONDS)
        self.assertEqual(["remaining", "move", "move"], seen)

    def test_keywords_of_the_proxy(self) -> None:
        retry = Retry(attempts=2)
        with Proxy(self.uri, timeout=5, retry=retry, serializer="json", handshake="me") as proxy:
            self.assertEqual((5, retry, "json", "me"),
                             (proxy._pyroTimeout, proxy._pyroRetry, proxy._pyroSerializer, proxy._pyroHandshake))
            self.assertEqual(3, proxy.serializer())
            self.assertEqual((5, retry), (proxy.__copy__()._pyroTimeout, proxy.__copy__()._pyroRetry))
        for options, error in (({"retry": 3}, TypeError), ({"timeout": "x"}, ValueError), ({"serializer": "x"}, ValueError)):
            with self.subTest(options), self.assertRaises(error):
                Proxy(self.uri, **options)


class Unreliable:
    """A server that closes the connection some times before it answers."""

    def __init__(self, failures: int, metadata: Any) -> None:
        self.failures = failures
        self.metadata = metadata
        self.requests: List[Any] = []

    def script(self, peer: Peer) -> None:
        peer.send(2, peer.read(), {"handshake": "hello", "meta": self.metadata}, annotations={"FEAT": b"dl cx"})
        request = peer.read_call()
        self.requests.append(request)
        if len(self.requests) > self.failures:
            peer.answer(request, "moved")
            peer.wait_for_close()


METADATA = {"methods": ["move", "get"], "oneway": [], "attrs": [], "session": False, "idempotent": ["get"]}
QUICK = {"first": 0.001, "most": 0.002}


class Retries(unittest.TestCase):
    def check(self, failures: int, method: str, retry: Retry) -> int:
        server = Unreliable(failures, METADATA)
        scripts = [server.script] * (failures + 1)
        with ScriptedServer(*scripts) as running, Proxy(running.uri, retry=retry) as proxy:
            self.assertEqual("moved", getattr(proxy, method)(1))
        return len(server.requests)

    def test_idempotent_methods(self) -> None:
        self.assertEqual(3, self.check(2, "get", Retry(**QUICK)))

    def test_other_methods_are_not_repeated(self) -> None:
        server = Unreliable(1, METADATA)
        with ScriptedServer(server.script) as running, Proxy(running.uri, retry=Retry(**QUICK)) as proxy:
            with self.assertRaises(errors.ConnectionClosedError) as caught:
                proxy.move(1)
        self.assertIsNone(caught.exception.sent)
        self.assertEqual(1, len(server.requests))

    def test_unless_that_is_asked_for(self) -> None:
        self.assertEqual(3, self.check(2, "move", Retry(unsafe=True, **QUICK)))

    def test_a_server_that_is_not_there(self) -> None:
        attempts: List[Any] = []

        class Counting(Proxy):  # type: ignore[misc]
            def _pyroConnect(self, replace_uri: bool = False) -> Any:
                attempts.append(replace_uri)
                return super()._pyroConnect(replace_uri)

        proxy = Counting("PYRO:thing@127.0.0.1:%d" % free_port(), retry=Retry(attempts=3, **QUICK))
        for known in (False, True):
            if known:
                proxy._pyroMethods = {"move"}
            with self.subTest(known=known), self.assertRaises(errors.CommunicationError) as caught:
                proxy.move(1)
            self.assertEqual((3, False), (len(attempts), caught.exception.sent))
            attempts.clear()

    def test_the_budget(self) -> None:
        proxy = Proxy("PYRO:thing@127.0.0.1:%d" % free_port(), retry=Retry(attempts=100, budget=4, **QUICK))
        with self.assertRaises(errors.CommunicationError):
            proxy.move(1)
        self.assertFalse(proxy._pyro.retry_budget.spend(4))
        for _ in range(20):
            proxy._pyro.retry_budget.success()
        self.assertTrue(proxy._pyro.retry_budget.spend(4))

    def test_the_deadline_covers_all_attempts(self) -> None:
        proxy = Proxy("PYRO:thing@127.0.0.1:%d" % free_port())
        proxy._pyroMethods = {"move"}
        retry = Retry(attempts=10 ** 6, budget=10 ** 6, first=0.01, most=0.01)
        with self.assertRaises(errors.CommunicationError):
            proxy.move.options(timeout=0.1, retry=retry)(1)  # a million attempts would take hours

    def test_what_the_method_raised_is_not_repeated(self) -> None:
        calls: List[Any] = []

        def script(peer: Peer) -> None:
            peer.send(2, peer.read(), {"handshake": "hello", "meta": METADATA}, annotations={"FEAT": b"dl cx"})
            calls.append(peer.read_call())
            peer.fail(calls[-1], errors.TimeoutError("of the method"))
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri, retry=Retry(unsafe=True, **QUICK)) as proxy:
            with self.assertRaisesRegex(errors.TimeoutError, "of the method"):
                proxy.get()
        self.assertEqual(1, len(calls))

    def test_push_back(self) -> None:
        calls: List[Any] = []

        def script(peer: Peer) -> None:
            peer.send(2, peer.read(), {"handshake": "hello", "meta": METADATA}, annotations={"FEAT": b"dl cx"})
            for _ in range(2):
                calls.append(peer.read_call())
                peer.fail(calls[-1], errors.BusyError("wait", retry_after=0.001))
            peer.answer(peer.read_call(), "at last")

        with ScriptedServer(script) as server, Proxy(server.uri, retry=Retry(**QUICK)) as proxy:
            self.assertEqual("at last", proxy.move(1))
        self.assertEqual(2, len(calls))

    def test_a_pause_that_makes_no_sense(self) -> None:
        for seconds, expected in ((float("nan"), 0.01), (float("inf"), 10), (-5, 0.01), (10 ** 400, 10), ("x", 0.01), (2, 2)):
            error = errors.BusyError("busy")
            error.__dict__["retry_after"] = seconds
            with self.subTest(seconds):
                self.assertEqual(expected, busy_pause(error))

    def test_the_pause_that_a_full_server_asks_for(self) -> None:
        retry = Retry(first=0.5, jitter=0)
        for asked, expected in ((None, 0.5), (0.0, 0.5), (0.3, 0.5), (0.7, 0.7), (1e9, 10)):
            error = errors.CommunicationError("refused")
            error.retry_after = asked
            with self.subTest(asked):
                self.assertEqual(expected, pause_after(error, retry, 1))
        error.retry_after = 2
        pauses = {pause_after(error, Retry(jitter=0.5), 1) for _ in range(20)}
        self.assertTrue(2 <= min(pauses) < max(pauses) <= 3, pauses)
        self.assertEqual(0.5, pause_after(errors.ConnectionClosedError("lost"), retry, 1))

    def test_an_error_of_the_method_that_only_looks_like_push_back(self) -> None:
        error = ValueError("rate limit")
        error.retry_after = 1  # type: ignore[attr-defined]
        error._pyroTraceback = ["remote\n"]  # type: ignore[attr-defined]
        self.assertFalse(Retry(unsafe=True).allows(error, idempotent=True))

    def test_pauses(self) -> None:
        retry = Retry(first=0.1, factor=2, most=0.5, jitter=0)
        self.assertEqual([0.1, 0.2, 0.4, 0.5, 0.5], [round(retry.pause(n), 6) for n in range(1, 6)])
        pauses = [Retry(first=1, jitter=0.2).pause(1) for _ in range(100)]
        self.assertTrue(0.8 <= min(pauses) < 0.95 and 1.05 < max(pauses) <= 1.2)

    def test_unsuitable_values(self) -> None:
        for options in ({"attempts": 0}, {"first": -1}, {"factor": 0.5}, {"jitter": 2}, {"budget": -1}, {"most": -1}):
            with self.subTest(options), self.assertRaises(ValueError):
                Retry(**options)  # type: ignore[arg-type]


class Waiting(ServerTestCase):
    def test_for_a_server(self) -> None:
        port = free_port()
        daemons: List[Any] = []

        def start() -> None:
            daemon = Daemon("127.0.0.1", port)
            daemons.append(daemon)
            daemon.register(Stage(), "stage")
            daemon.requestLoop()
            daemon.close()

        proxy = Proxy("PYRO:stage@127.0.0.1:%d" % port)
        self.at_end.callback(proxy._pyroRelease)
        proxy._pyroMethods = {"move"}
        future = proxy.move.options(wait_for_ready=True, timeout=PATIENCE_SECONDS).future(5)
        thread = threading.Thread(target=start)
        thread.start()
        self.at_end.callback(thread.join)
        self.at_end.callback(lambda: daemons[0].shutdown())
        self.assertEqual(5, future.result(PATIENCE_SECONDS))
        with wait_for("PYRO:stage@127.0.0.1:%d" % port, timeout=PATIENCE_SECONDS) as ready:
            self.assertEqual(1, ready.move(1))

    def test_nothing_listens(self) -> None:
        uri = "PYRO:stage@127.0.0.1:%d" % free_port()
        with self.assertRaisesRegex(errors.TimeoutError, "not ready in time: cannot connect"):
            wait_for(uri, timeout=0.02)

    def test_a_server_that_does_not_answer(self) -> None:
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with self.assertRaisesRegex(errors.TimeoutError, "not ready in time: .* did not answer the handshake"):
            wait_for("PYRO:stage@127.0.0.1:%d" % silent.getsockname()[1], timeout=0.05)

    def test_for_a_name_that_is_not_registered(self) -> None:
        def check(factor: float) -> None:
            with self.assertRaisesRegex(errors.TimeoutError, "not ready in time: unknown name: later"):
                wait_for("PYRONAME:later@" + names.locationStr, timeout=0.02 * factor)
        names = NameServerDaemon("127.0.0.1", 0)
        with daemon_thread(names):
            with_longer_times(check)

    def test_for_an_object(self) -> None:
        server = self.daemon(Daemon)
        self.run_loop(server)
        uri = "PYRO:later@" + server.locationStr
        waiting = threading.Thread(target=lambda: found.append(wait_for(uri, PATIENCE_SECONDS)))
        found: List[Any] = []
        waiting.start()
        server.register(Stage(), "later")
        self.join(waiting)
        with found[0] as proxy:
            self.assertEqual(2, proxy.move(2))



class Exclusive(StageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.other = Proxy(self.uri)
        self.at_end.callback(self.other._pyroRelease)

    def test_others_are_refused(self) -> None:
        with self.proxy._pyroExclusive():
            self.assertEqual(1, self.proxy.move(1))
            with self.assertRaisesRegex(errors.BusyError, "exclusive use by another client") as caught:
                self.other.move(2)
            self.assertLess(0, caught.exception.retry_after)
            with self.assertRaises(errors.BusyError):
                self.other.move.options(timeout=0.05)(3)
            future = self.other.move.options(timeout=PATIENCE_SECONDS).future(3)
            wait_until(lambda: self.other._pyroSeq > 3, "an attempt")
        self.assertEqual(3, future.result(PATIENCE_SECONDS))
        self.assertEqual([1, 3], self.stage.moves)

    def test_a_retry_waits(self) -> None:
        with self.proxy._pyroExclusive():
            future = self.other.move.options(retry=Retry(attempts=10 ** 6, budget=10 ** 6)).future(2)
            wait_until(lambda: self.other._pyroSeq > 1, "an attempt")
            self.proxy.move(1)
        self.assertEqual(2, future.result(PATIENCE_SECONDS))
        self.assertEqual([1, 2], self.stage.moves)

    def test_waiting_for_exclusive_use(self) -> None:
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with self.other._pyroExclusive():
                entered.set()
                leave.wait(PATIENCE_SECONDS)

        thread = threading.Thread(target=hold)
        thread.start()
        self.assertTrue(entered.wait(PATIENCE_SECONDS))
        with self.assertRaises(errors.BusyError), self.proxy._pyroExclusive(timeout=0.02):
            self.fail("it is in use")
        leave.set()
        with self.proxy._pyroExclusive(timeout=PATIENCE_SECONDS):
            self.proxy.move(1)
        self.join(thread)

    def test_nested_blocks(self) -> None:
        with self.proxy._pyroExclusive():
            with self.proxy._pyroExclusive():
                self.proxy.move(1)
            with self.assertRaises(errors.BusyError):
                self.other.move(2)
        self.other.move(3)

    def test_it_ends_with_the_connection(self) -> None:
        with self.proxy._pyroExclusive():
            self.proxy._pyroRelease()
            wait_until(lambda: not self.server._dispatcher.exclusive.holders, "the end of the connection")
            self.assertEqual(2, self.other.move(2))
        self.assertEqual(3, self.proxy.move(3))

    def test_threads_of_the_holder_take_turns(self) -> None:
        with self.proxy._pyroExclusive():
            threads = [threading.Thread(target=self.proxy.move, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                self.join(thread)
            self.assertEqual(1, len(self.proxy._pyro.pool.connections()))
        self.assertEqual(list(range(6)), sorted(self.stage.moves))

    def test_a_callback_of_the_holder(self) -> None:
        @expose
        class Back:
            def remaining(inner) -> Any:
                return self.proxy.move("back")

        callbacks = self.daemon(Daemon)
        uri = callbacks.register(Back())
        self.run_loop(callbacks)
        self.stage.other = Proxy(uri)
        self.at_end.callback(self.stage.other._pyroRelease)
        with self.proxy._pyroExclusive():
            self.assertEqual("back", self.proxy.remaining_there())

    def test_the_objects_that_all_clients_need(self) -> None:
        daemon_object = Proxy("PYRO:Pyro.Daemon@" + self.server.locationStr)
        self.at_end.callback(daemon_object._pyroRelease)
        with self.assertRaises(errors.SecurityError), daemon_object._pyroExclusive():
            self.fail("it is locked")

    def test_it_can_be_switched_off(self) -> None:
        self.configure(EXCLUSIVE_USE=False)
        with self.assertRaisesRegex(errors.SecurityError, "EXCLUSIVE_USE"), self.proxy._pyroExclusive():
            self.fail("it is locked")

    def test_an_old_server(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["move"])
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            with self.assertRaisesRegex(errors.PyroError, "does not know exclusive use"), proxy._pyroExclusive():
                self.fail("it cannot be")


if __name__ == "__main__":
    unittest.main()
