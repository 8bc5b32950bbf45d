"""The event loop: waking it, periodic work, combined loops, and stopping it in all ways."""
from __future__ import annotations

import functools
import select
import socket
import threading
import unittest
from typing import Any, Callable, List, Optional
from unittest import mock

from Pyro5 import config, errors
from Pyro5._server import eventloop
from Pyro5._server.eventloop import READ, EventLoop

from ..peers import settings
from ..rawclient import Clock

PATIENCE_SECONDS = 60.0


class Loop(EventLoop):
    """Records the calls of its methods."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = self.freed = 0
        self.due: Optional[float] = None
        self.done_at: List[float] = []
        self.when_freed: Callable[[], Any] = lambda: None
        self.watch_wakeup()

    def tick(self) -> None:
        self.ticks += 1

    def next_deadline(self) -> float:
        return eventloop.NEVER if self.due is None else self.due

    def handle_expired(self, now: float) -> None:
        if self.due is not None and now >= self.due:
            self.done_at.append(now)
            self.due = None

    def free(self) -> None:
        self.freed += 1
        self.when_freed()


class Entry:
    """An object that is registered in the selector."""

    def __init__(self, on_ready: Callable[[int], Any]) -> None:
        self.on_ready = on_ready


class EventLoopTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.POLLTIMEOUT = 60.0  # a missing wake-up fails the test

    def loop(self) -> Loop:
        loop = Loop()
        self.addCleanup(loop.close)
        return loop

    def pair(self) -> Any:
        pair = socket.socketpair()
        for sock in pair:
            sock.setblocking(False)
            self.addCleanup(sock.close)
        return pair

    def run_in_thread(self, loop: Loop, *args: Any) -> threading.Thread:
        running = threading.Event()
        here, there = self.pair()

        def ready(events: int) -> None:
            there.recv(10)
            running.set()
        loop.register(there, READ, Entry(ready))
        here.send(b"x")
        thread = threading.Thread(target=loop.loop, args=args)
        thread.start()
        self.addCleanup(self.join, thread)
        self.addCleanup(loop.shutdown)
        self.assertTrue(running.wait(PATIENCE_SECONDS))
        return thread

    def join(self, thread: threading.Thread) -> None:
        thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive(), "the loop goes on")


class Running(EventLoopTestCase):
    def setUp(self) -> None:
        super().setUp()
        # However busy the machine is, a turn handles everything that is ready; tests of its end set their own length.
        patch = mock.patch.object(eventloop, "TURN_SECONDS", PATIENCE_SECONDS)
        patch.start()
        self.addCleanup(patch.stop)

    def test_registered_objects_are_called(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        called: List[int] = []
        loop.register(there, READ, Entry(called.append))
        loop.run_once(0)
        self.assertEqual([], called)
        here.send(b"x")
        loop.run_once(PATIENCE_SECONDS)
        self.assertEqual([READ], called)

    def test_the_order_of_ready_connections(self) -> None:
        """Objects without an account first, then by the time that they have used, and that they will need."""
        loop = self.loop()
        called: List[str] = []
        for name, shares in (("long", {"loop_seconds": 0.0, "expected_seconds": 0.5}), ("had much", {"loop_seconds": 9.0}),
                             ("new", {"loop_seconds": 0.0}), ("shareless", {}), ("short", {"loop_seconds": 0.1})):
            here, there = self.pair()
            entry = Entry(lambda events, name=name: called.append(name))  # type: ignore[misc]
            vars(entry).update(shares)
            loop.register(there, READ, entry)
            here.send(b"x")
        loop.run_once(PATIENCE_SECONDS)
        self.assertEqual(["shareless", "new", "short", "long", "had much"], called)

    def test_a_shared_account_comes_after_one_that_used_less(self) -> None:
        loop = self.loop()
        called: List[str] = []
        shared = Entry(lambda events: None)
        vars(shared)["loop_seconds"] = 0.0
        for name in ("one", "two", "three"):
            here, there = self.pair()
            entry = Entry(lambda events, name=name: called.append(name))  # type: ignore[misc]
            vars(entry).update({"loop_account": shared})
            loop.register(there, READ, entry)
            here.send(b"x")
        with mock.patch.object(eventloop, "TURN_SECONDS", -1.0):  # one is handled in each turn
            loop.run_once(PATIENCE_SECONDS)
            self.assertGreater(shared.loop_seconds, 0.0)  # type: ignore[attr-defined]
            here, there = self.pair()
            entry = Entry(lambda events: called.append("connected"))
            vars(entry)["loop_seconds"] = 0.0
            loop.register(there, READ, entry)
            here.send(b"x")
            loop.run_once(PATIENCE_SECONDS)
        self.assertEqual("connected", called[1])

    @unittest.skipUnless(hasattr(select, "poll"), "needs poll")
    def test_one_that_used_far_less_is_handled_again_first(self) -> None:
        loop = self.loop()
        called: List[str] = []
        costly, costly_peer = self.pair()
        entry = Entry(lambda events: called.append("costly"))
        vars(entry).update({"loop_seconds": 10.0, "watched": READ})
        loop.register(costly_peer, READ, entry)
        costly.send(b"x")
        client, server = self.pair()

        def answer(events: int) -> None:
            called.append("cheap")
            server.recv(1)
            if len(called) < 5:
                client.send(b"x")  # the next request arrives as soon as the reply has been read
        cheap = Entry(answer)
        vars(cheap).update({"loop_seconds": 0.0, "watched": READ})
        loop.register(server, READ, cheap)
        client.send(b"x")
        with mock.patch.object(eventloop, "TURN_SECONDS", PATIENCE_SECONDS):
            loop.run_once(PATIENCE_SECONDS)
        self.assertEqual(["cheap"] * 5 + ["costly"], called)

    def test_one_with_costly_requests_comes_after_others_that_used_as_much(self) -> None:
        loop = self.loop()
        called: List[str] = []
        entries = {}
        for name, usual_seconds in (("costly", 0.2), ("cheap", 0.0)):
            here, there = self.pair()
            entries[name] = Entry(lambda events, name=name: called.append(name))  # type: ignore[misc]
            vars(entries[name])["usual_seconds"] = usual_seconds
            loop.register(there, READ, entries[name])
            here.send(b"x")
        for used_by_cheap, order in ((10.1, ["cheap", "costly"]), (20.5, ["costly", "cheap"])):
            vars(entries["costly"]).update({"loop_seconds": used_by_cheap // 10 * 10.0, "usual_seconds": 0.2})
            vars(entries["cheap"])["loop_seconds"] = used_by_cheap
            called.clear()
            loop.run_once(PATIENCE_SECONDS)
            self.assertEqual(order, called)

    def test_parked_connections_wait_for_their_turn(self) -> None:
        loop = self.loop()
        called: List[str] = []
        parked = Entry(lambda events: None)
        vars(parked)["loop_seconds"] = 10.0
        loop.resume_parked = lambda given_back: called.append("parked")  # type: ignore[assignment, method-assign]
        for name in ("first", "second"):
            here, there = self.pair()
            entry = Entry(lambda events, name=name: called.append(name))  # type: ignore[misc]
            vars(entry)["loop_seconds"] = 0.0
            loop.register(there, READ, entry)
            here.send(b"x")
        loop.parked.append(parked)
        loop.run_once(PATIENCE_SECONDS)
        self.assertEqual(["first", "second", "parked"], called)
        self.assertGreater(parked.loop_seconds, 10.0)  # type: ignore[attr-defined]
        loop.parked.append(parked)
        with mock.patch.object(eventloop, "TURN_SECONDS", -1.0):  # one is handled in each turn
            loop.run_once(PATIENCE_SECONDS)
        self.assertEqual(1, called.count("parked"))
        self.assertEqual([parked], list(loop.parked))

    def test_a_wake_up_does_not_share_a_turn(self) -> None:
        loop = self.loop()
        shared: List[bool] = []
        woken = mock.Mock(wraps=loop.woken)
        loop.resume_parked = lambda given_back: shared.append(loop.turn_is_shared)  # type: ignore[method-assign]
        for count in (1, 2):
            loop.parked.extend(Entry(lambda events: None) for _ in range(count))
            loop.wakeup()
            with mock.patch.object(loop, "woken", woken):
                loop.run_once(PATIENCE_SECONDS)
            self.assertEqual(count, woken.call_count)
        self.assertEqual([False, True, True], shared)
        loop.run_once(0)  # there is no further wake-up
        self.assertEqual(2, woken.call_count)

    def test_ended_connections_do_not_wait(self) -> None:
        loop = self.loop()
        called: List[str] = []
        ended = Entry(lambda events: None)
        vars(ended).update({"loop_seconds": 10.0, "ended": True})
        loop.resume_parked = lambda given_back: called.append("ended")  # type: ignore[assignment, method-assign]
        here, there = self.pair()
        loop.register(there, READ, Entry(lambda events: called.append("ready")))
        here.send(b"x")
        loop.parked.append(ended)
        loop.run_once(PATIENCE_SECONDS)
        self.assertEqual(["ended", "ready"], called)

    def test_one_that_is_handled_alone_is_charged_too(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        account, clock = Entry(lambda events: None), Clock()
        vars(account)["loop_seconds"] = 1.0

        def take_long(events: int) -> None:
            there.recv(1)
            clock.now += 5.0
        entry = Entry(take_long)
        vars(entry)["loop_account"] = account
        loop.register(there, READ, entry)
        here.send(b"x")
        with mock.patch("time.monotonic", clock.monotonic):
            loop.run_once(0)
        self.assertEqual(6.0, account.loop_seconds)  # type: ignore[attr-defined]
        self.assertEqual(5.0, entry.loop_seconds)  # type: ignore[attr-defined]

    def test_foreign_entries_of_the_selector_are_ignored(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        loop.selector.register(there, READ, "the user's own")
        here.send(b"x")
        loop.run_once(PATIENCE_SECONDS)

    def test_a_reused_file_descriptor_is_registered_again(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        called: List[str] = []
        loop.register(there, READ, Entry(lambda events: called.append("old")))
        duplicate = socket.socket(fileno=there.fileno())
        loop.register(duplicate, READ, Entry(lambda events: called.append("new")))
        here.send(b"x")
        loop.run_once(PATIENCE_SECONDS)
        duplicate.detach()
        self.assertEqual(["new"], called)

    def test_condition(self) -> None:
        loop = self.loop()
        answers = [True, True, False]

        def condition() -> bool:
            loop.wakeup()
            return answers.pop(0)
        loop.loop(condition)
        self.assertEqual(([], 0, False), (answers, loop.freed, loop.stopping))
        answers.append(False)
        loop.loop(condition)  # it can run again

    def test_wakeup_makes_it_check_the_condition(self) -> None:
        loop = self.loop()
        go_on = [True]
        thread = self.run_in_thread(loop, lambda: bool(go_on))
        go_on.clear()
        loop.wakeup()
        self.join(thread)

    def test_two_threads_cannot_run_it(self) -> None:
        loop = self.loop()
        thread = self.run_in_thread(loop)
        with self.assertRaises(errors.DaemonError):
            loop.loop()
        self.assertTrue(thread.is_alive())

    def test_an_exception_ends_it_without_freeing(self) -> None:
        loop, (here, there) = self.loop(), self.pair()

        def fail(events: int) -> None:
            raise SystemExit
        loop.register(there, READ, Entry(fail))
        here.send(b"x")
        with self.assertRaises(SystemExit):
            loop.loop()
        self.assertEqual(0, loop.freed)
        loop.close()
        self.assertEqual(1, loop.freed)


class Time(EventLoopTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        patched = mock.patch.object(eventloop, "time", self.clock)
        patched.start()
        self.addCleanup(patched.stop)

    def test_ticks(self) -> None:
        for poll_seconds, expected in ((60.0, 2.0), (0.5, 0.5)):
            config.POLLTIMEOUT = poll_seconds
            loop = self.loop()
            for ticks in (1, 2, 3):
                loop.run_once(0)
                self.assertEqual(ticks, loop.ticks)
                self.clock.now += expected * 0.9
                loop.run_once(0)
                self.assertEqual(ticks, loop.ticks)
                self.clock.now += expected * 0.1

    def test_due(self) -> None:
        loop = self.loop()
        loop.due = self.clock.now + 5
        loop.run_once(0)
        self.assertEqual([], loop.done_at)
        self.assertEqual(5, loop._until_deadline(60))
        self.assertEqual(3, loop._until_deadline(3))
        self.clock.now += 5
        loop.run_once(60)  # does not wait
        self.assertEqual([self.clock.now], loop.done_at)

    def test_a_slow_handler_makes_no_deadline_pass(self) -> None:
        loop, (here, there) = self.loop(), self.pair()

        def slow(events: int) -> None:
            there.recv(10)
            self.clock.now += 100
        loop.register(there, READ, Entry(slow))
        loop.due = self.clock.now + 5
        here.send(b"x")
        loop.run_once(0)
        self.assertEqual([], loop.done_at)
        loop.run_once(0)
        self.assertEqual(1, len(loop.done_at))

    def test_deadlines_of_combined_loops(self) -> None:
        master, other, third = self.loop(), self.loop(), self.loop()
        other.combine(third)
        master.combine(other)
        third.due = self.clock.now + 5
        self.assertEqual(5, master._until_deadline(60))
        self.clock.now += 5
        master.run_once(60)
        self.assertEqual((1, 1, 1), (len(third.done_at), third.ticks, other.ticks))


class Stopping(EventLoopTestCase):
    def check_freed(self, loop: Loop) -> None:
        self.assertEqual((1, True), (loop.freed, loop.stopping))
        self.assertEqual(-1, loop._wakeup.fileno())
        loop.wakeup()  # has no effect from now on
        loop.shutdown()
        loop.close()
        self.assertEqual(1, loop.freed)

    def test_before_it_runs(self) -> None:
        loop = self.loop()
        loop.shutdown()
        self.check_freed(loop)
        loop.loop()  # returns at once

    def test_from_another_thread(self) -> None:
        for stop in (EventLoop.shutdown, EventLoop.close):
            loop = self.loop()
            thread = self.run_in_thread(loop)
            stop(loop)
            if stop is EventLoop.close:
                self.assertEqual(1, loop.freed)
            self.join(thread)
            self.check_freed(loop)

    def test_from_inside(self) -> None:
        for stop in (EventLoop.shutdown, EventLoop.close):
            loop, (here, there) = self.loop(), self.pair()
            freed_inside: List[int] = []

            def end(events: int, loop: Loop = loop, stop: Any = stop, freed: List[int] = freed_inside) -> None:
                stop(loop)
                freed.append(loop.freed)
            loop.register(there, READ, Entry(end))
            here.send(b"x")
            loop.loop()
            self.assertEqual([0], freed_inside)
            self.check_freed(loop)

    def test_from_many_threads_at_once(self) -> None:
        for running in (False, True):
            loop = self.loop()
            thread = self.run_in_thread(loop) if running else None
            start = threading.Barrier(6)

            def stop(loop: Loop = loop, start: threading.Barrier = start) -> None:
                start.wait(PATIENCE_SECONDS)
                loop.close()
            stoppers = [threading.Thread(target=stop) for _ in range(6)]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                self.join(stopper)
            self.check_freed(loop)
            if thread is not None:
                self.join(thread)

    def test_shutdown_while_everything_is_freed(self) -> None:
        with settings(SHUTDOWN_TIMEOUT=1000.0):  # waiting for itself would be noticed
            for running in (False, True):
                loop = self.loop()
                loop.when_freed = loop.close
                if running:
                    thread = self.run_in_thread(loop)
                    loop.shutdown()
                    self.join(thread)
                else:
                    self.join(self.started(loop.close))
                self.check_freed(loop)

    def started(self, target: Callable[[], Any]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        return thread

    def test_close_waits_until_everything_is_freed(self) -> None:
        loop, freeing, go_on = self.loop(), threading.Event(), threading.Event()

        def free_slowly() -> None:
            freeing.set()
            go_on.wait(PATIENCE_SECONDS)
        loop.when_freed = free_slowly
        self.run_in_thread(loop)
        closer = self.started(loop.close)
        self.assertTrue(freeing.wait(PATIENCE_SECONDS))
        self.assertTrue(closer.is_alive())
        go_on.set()
        self.join(closer)
        self.check_freed(loop)

    def test_discarded(self) -> None:
        loop = Loop()
        loop.discard()
        self.assertEqual((-1, 0), (loop._wakeup.fileno(), loop.freed))


class Joined(EventLoopTestCase):
    def joined(self, count: int = 3) -> List[Loop]:
        loops = [self.loop() for _ in range(count)]
        for loop in loops[1:]:
            loops[0].combine(loop)
        return loops

    def test_one_loop_serves_all(self) -> None:
        loops = self.joined()
        called: List[int] = []
        for number, loop in enumerate(loops):
            here, there = self.pair()
            loop.register(there, READ, Entry(functools.partial(self.note, called, number)))
            here.send(b"x")
        late, (here, there) = self.loop(), self.pair()
        late.register(there, READ, Entry(functools.partial(self.note, called, 3)))
        here.send(b"x")
        loops[1].combine(late)
        loops[0].run_once(PATIENCE_SECONDS)
        self.assertEqual([0, 1, 2, 3], sorted(called))

    @staticmethod
    def note(called: List[int], number: int, events: int) -> None:
        called.append(number)

    def test_invalid_combinations(self) -> None:
        master, joined, other, ended = (self.loop() for _ in range(4))
        master.combine(joined)
        ended.close()
        for one, another in ((master, master), (other, joined), (joined, master), (master, ended), (ended, master)):
            with self.assertRaises(ValueError):
                one.combine(another)

    def test_ending_the_outer_loop_ends_all(self) -> None:
        loops = self.joined()
        thread = self.run_in_thread(loops[0])
        loops[0].shutdown()
        self.join(thread)
        self.assertEqual([1, 1, 1], [loop.freed for loop in loops])
        loops[0].close()

    def test_ending_a_combined_one_leaves_the_others(self) -> None:
        master, second, third = self.joined()
        thread = self.run_in_thread(master)
        freed_in: List[Any] = []
        second.when_freed = lambda: freed_in.append(threading.current_thread())
        second.close()
        self.assertEqual(([thread], 1, 0, 0), (freed_in, second.freed, master.freed, third.freed))
        self.assertTrue(thread.is_alive())
        second.close()
        master.close()
        self.assertEqual([1, 1, 1], [loop.freed for loop in (master, second, third)])

    def test_ending_them_while_no_loop_runs(self) -> None:
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
            loops = self.joined()
            for number in order:
                loops[number].close()
            self.assertEqual([1, 1, 1], [loop.freed for loop in loops])


class Foreign:
    """Another object with sockets."""

    def __init__(self, sock: socket.socket) -> None:
        self.sockets = [sock]
        self.seen: List[Any] = []
        self.failing = False

    def events(self, ready: List[Any]) -> None:
        self.seen.append(ready)
        if self.failing:
            raise ZeroDivisionError("foreign fault")
        ready[0].recv(10)


class JoinedForeign(EventLoopTestCase):
    def test_its_events_are_called(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        foreign = Foreign(there)
        loop.combine_foreign(foreign)
        here.send(b"x")
        loop.run_once(PATIENCE_SECONDS)
        loop.run_once(0)
        self.assertEqual([[there]], foreign.seen)

    def test_its_errors_only_end_its_own_registration(self) -> None:
        loop, (here, there) = self.loop(), self.pair()
        foreign = Foreign(there)
        foreign.failing = True
        loop.combine_foreign(foreign)
        here.send(b"x")
        with self.assertLogs("Pyro5.server.eventloop", "ERROR") as logged:
            loop.run_once(PATIENCE_SECONDS)
            loop.run_once(0)
        self.assertEqual((1, 1), (len(foreign.seen), len(logged.records)))


if __name__ == "__main__":
    unittest.main()
