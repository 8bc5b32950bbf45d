"""Calls that are running: their deadlines, and how they are cancelled."""
from __future__ import annotations

import contextvars
import socket
import threading
import time
import unittest
import uuid
from typing import Any, Iterator, List, Set

from Pyro5 import callcontext, errors
from Pyro5._calls.running_calls import CallWatcher, RunningCall, RunningCalls
from Pyro5._daemon.daemon_object import DaemonObject
from Pyro5.protocol import FLAGS_ONEWAY, MSG_INVOKE, ReceivingMessage, SendingMessage
from Pyro5.server import Daemon

PATIENCE_SECONDS = 60.0
ID, OTHER = b"i" * 16, b"o" * 16


class FakeConnection:
    def __init__(self, sock: Any = None) -> None:
        self.sock = sock
        self.features = self.peer_address = None


class Calls(unittest.TestCase):
    def setUp(self) -> None:
        self.calls = RunningCalls()
        self.addCleanup(self.calls.watcher.stop)
        left, self.client_socket = socket.socketpair()
        self.addCleanup(left.close)
        self.addCleanup(self.client_socket.close)
        self.connection = FakeConnection(left)

    def begin(self, seq: int = 1, correlation_id: bytes = ID, is_oneway: bool = False) -> RunningCall:
        request = SendingMessage(MSG_INVOKE, FLAGS_ONEWAY if is_oneway else 0, seq, 1, b"", correlation_id=correlation_id)
        # In a context of its own: the test is not the method that is called.
        return contextvars.copy_context().run(self.calls.begin, self.connection, ReceivingMessage(request.data[:40], b""))

    def test_the_annotations_of_the_message_stay_as_they_were_received(self) -> None:
        request = ReceivingMessage(SendingMessage(MSG_INVOKE, 0, 1, 1, b"").data)
        request.annotations = {"ABCD": memoryview(b"x")}

        def serve() -> None:
            call = self.calls.begin(self.connection, request)
            self.assertIs(call, callcontext.running_call())
            callcontext.current_context.annotations["MORE"] = b"y"
        contextvars.copy_context().run(serve)
        self.assertEqual({"ABCD": b"x"}, request.annotations)

    def test_cancelled_by_id(self) -> None:
        one, other = self.begin(), self.begin(correlation_id=OTHER)
        self.assertTrue(self.calls.cancel(ID))
        self.assertTrue(one.cancelled.is_set())
        self.assertFalse(other.cancelled.is_set())
        with self.assertRaisesRegex(errors.CancelledError, "cancelled it"):
            one.check()
        other.check()

    def test_one_of_several_calls_with_the_same_id(self) -> None:
        first, second = self.begin(1), self.begin(2)
        self.calls.cancel(ID, 2)
        self.assertEqual([False, True], [first.is_cancelled(), second.is_cancelled()])

    def test_cancelled_before_it_begins(self) -> None:
        self.assertFalse(self.calls.cancel(ID, 1))
        early, later = self.begin(1), self.begin(1)
        self.assertTrue(early.is_cancelled())
        self.assertFalse(later.is_cancelled(), "the number may be used again")
        self.calls.end(early)
        self.calls.end(later)
        self.calls.cancel(ID)
        self.assertTrue(self.begin(8).is_cancelled())

    def test_cancelled_while_it_begins(self) -> None:
        begin = self.begin
        begun: List[RunningCall] = []

        class SlowSet(Set[Any]):
            """A set to which a call is added just after it was read for the first time."""

            def __iter__(self) -> Iterator[Any]:
                found = list(super().__iter__())
                if not begun:
                    begun.append(begin())
                return iter(found)

        self.calls._running = SlowSet()
        self.assertTrue(self.calls.cancel(ID))
        self.assertTrue(begun[0].is_cancelled())

    def test_waiting_for_an_event_that_is_first_used_after_the_cancellation(self) -> None:
        call = self.begin()
        call.cancel("test")
        self.assertTrue(call.cancelled.wait(0))

    def test_what_was_not_found_is_remembered_up_to_a_limit(self) -> None:
        for seq in range(3000):
            self.calls.cancel(ID, seq)
        self.assertLessEqual(len(self.calls._early), 1024)
        self.assertTrue(self.begin(2999).is_cancelled())

    def test_ended_calls_are_not_kept(self) -> None:
        call = self.begin()
        call.cancelled.is_set()
        self.calls.end(call)
        self.assertEqual((set(), set()), (self.calls._running, self.calls.watcher._watched))

    def test_the_event_is_set_when_the_deadline_passes(self) -> None:
        call = self.begin()
        call.deadline = time.monotonic() + 0.02
        self.assertTrue(call.cancelled.wait(PATIENCE_SECONDS))
        with self.assertRaisesRegex(errors.TimeoutError, "deadline has passed"):
            call.check()

    def test_the_event_is_set_when_the_client_hangs_up(self) -> None:
        call = self.begin()
        event = call.cancelled
        self.assertFalse(event.is_set())
        self.client_socket.close()
        self.assertTrue(event.wait(PATIENCE_SECONDS))
        with self.assertRaisesRegex(errors.CancelledError, "connection of its client has ended"):
            call.check()

    def test_asking_looks_at_the_connection(self) -> None:
        call = self.begin()
        self.client_socket.close()
        self.assertTrue(call.cancelled.is_set())
        self.assertIsNone(self.calls.watcher._thread, "no thread is needed for what is known")

    def test_oneway_calls_outlive_their_client(self) -> None:
        call = self.begin(is_oneway=True)
        event = call.cancelled
        self.client_socket.close()
        self.assertFalse(event.is_set())
        self.calls.cancel(ID)
        self.assertTrue(event.is_set())

    def test_a_closed_connection(self) -> None:
        call = self.begin()
        event = call.cancelled
        self.connection.sock.close()
        another = self.begin(2)
        another.deadline = time.monotonic() + 0.02
        self.assertTrue(another.cancelled.wait(PATIENCE_SECONDS))
        self.assertTrue(event.wait(PATIENCE_SECONDS))

    def test_many_calls_are_watched_by_one_thread(self) -> None:
        before = threading.active_count()
        events = [self.begin(seq).cancelled for seq in range(20)]
        self.assertEqual(before + 1, threading.active_count())
        self.client_socket.close()
        self.assertTrue(all([event.wait(PATIENCE_SECONDS) for event in events]))

    def test_the_thread_ends_when_it_is_stopped(self) -> None:
        event = self.begin().cancelled
        self.assertIsNotNone(event)
        self.calls.watcher.stop()
        self.assertIsNone(self.calls.watcher._thread)
        self.calls.watcher.stop()

    def test_the_thread_ends_when_there_is_nothing_to_watch(self) -> None:
        now = [0.0]
        watcher = CallWatcher(lambda: now[0])
        call = self.begin()
        watcher.watch(call)
        thread = watcher._thread
        assert thread is not None and watcher._wakeup is not None
        watcher.forget(call)
        now[0] = 1000.0
        watcher._wakeup.wake()
        thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive())


class CancellationsOfClients(unittest.TestCase):
    def test_a_sequence_number_that_no_message_has(self) -> None:
        """It would be stored for a minute, however long it is."""
        with Daemon("127.0.0.1") as daemon:
            daemon_object = DaemonObject(daemon)
            for seq in (1 << 100000, -1, 65536):
                with self.assertRaisesRegex(ValueError, "seq must be from 0 to 65535"):
                    daemon_object.cancel(str(uuid.uuid4()), seq)
            self.assertFalse(daemon._dispatcher.running._early)
            daemon_object.cancel(str(uuid.uuid4()), 65535)
            self.assertEqual(1, len(daemon._dispatcher.running._early))
