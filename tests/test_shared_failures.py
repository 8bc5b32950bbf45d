"""One proxy in many threads: calls that fail, threads that are stopped, servers that go, and what the other threads see."""
from __future__ import annotations

import threading
import time
import unittest
from typing import Any, Dict, List, Optional
from unittest import mock

from Pyro5 import errors
from Pyro5._client import holders, pool
from Pyro5.api import Daemon, Proxy, behavior, expose

from .peers import free_port
from .rawclient import PATIENCE_SECONDS, ServerTestCase, wait_until


@expose
class Machine:
    """Methods that wait do so until the gate is opened."""

    def __init__(self, other: Optional[Machine] = None) -> None:
        self.gate = other.gate if other else threading.Event()
        self.entered = other.entered if other else threading.Semaphore(0)

    def wait(self) -> str:
        self.entered.release()
        self.gate.wait(PATIENCE_SECONDS)
        return "waited"

    def echo(self, value: Any) -> Any:
        return value

    def parts(self, count: int) -> Any:
        yield from range(count)

    def call_back(self, other: Any) -> Any:
        return other.answer()


class MachineTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = Machine()
        self.server, self.uri = self.start(self.machine)

    def start(self, machine: Machine, port: int = 0) -> Any:
        server = self.daemon(Daemon, port=port)
        uri = server.register(machine, "machine")
        session = type("Session", (Machine,), {})
        server.register(behavior(instance_mode="session", instance_creator=lambda clazz: clazz(machine))(session), "session")
        self.run_loop(server)
        self.at_end.callback(machine.gate.set)
        return server, uri

    def proxy(self, uri: Any = None, **options: Any) -> Any:
        proxy = Proxy(uri or self.uri, **options)
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def session(self, **options: Any) -> Any:
        return self.proxy(self.server.uriFor("session"), **options)

    def in_thread(self, work: Any) -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def busy(self, proxy: Any, machine: Optional[Machine] = None) -> threading.Thread:
        """Return a thread whose call is being run."""
        thread = self.in_thread(proxy.wait)
        self.assertTrue((machine or self.machine).entered.acquire(timeout=PATIENCE_SECONDS))
        return thread


class StoppedThreads(MachineTestCase):
    def test_a_thread_that_ends_while_it_holds_the_only_connection(self) -> None:
        proxy = self.session()
        proxy.echo(1)
        lost = proxy._pyroConnection
        # What an exception does that interrupts a thread between two instructions: the connection is never unlocked.
        self.join(self.in_thread(lambda: proxy._pyro.pool.by_thread.clear() or proxy._pyro.acquire(None, None)))
        self.assertTrue(lost.lock.locked())
        with mock.patch.object(pool, "LOOK_SECONDS", 0.01):
            self.assertEqual(2, proxy.echo(2))
        self.assertEqual(-1, lost.sock.fileno())
        self.assertEqual([proxy._pyroConnection], proxy._pyro.pool.connections())

    def test_a_thread_that_was_interrupted_and_calls_again(self) -> None:
        proxy = self.session()
        proxy.echo(1)
        lost = proxy._pyroConnection
        proxy._pyro.acquire_ready()
        self.assertEqual([2, 3], [proxy.echo(2), proxy.echo(3)])
        self.assertEqual(-1, lost.sock.fileno())
        self.assertEqual([proxy._pyroConnection], proxy._pyro.pool.connections())

    def test_a_thread_that_ends_while_it_connects(self) -> None:
        proxy = self.proxy()
        self.join(self.in_thread(proxy._pyro.pool.connecting.acquire))
        with self.assertRaisesRegex(errors.TimeoutError, "while another thread was connecting"):
            proxy._pyroMethods = {"echo"}
            proxy.echo.options(timeout=0.02)(1)
        with mock.patch.object(holders, "LOOK_SECONDS", 0.01):
            self.assertEqual(2, proxy.echo(2))

    def test_a_connection_is_not_taken_from_a_thread_that_uses_it(self) -> None:
        proxy = self.session()
        with mock.patch.object(pool, "LOOK_SECONDS", 0.001):
            thread = self.busy(proxy)
            with self.assertRaisesRegex(errors.TimeoutError, "the only connection of the proxy was in use by another thread"):
                proxy.echo.options(timeout=0.05)(1)
        self.machine.gate.set()
        self.join(thread)
        self.assertEqual(2, proxy.echo(2))

    def test_annotations_that_cannot_be_made(self) -> None:
        class Annotating(Proxy):  # type: ignore[misc]
            fails = False

            def _pyroAnnotations(self) -> Dict[str, bytes]:
                if self.fails:
                    raise KeyError("no token")
                return {}

        with Annotating(self.server.uriFor("session")) as proxy:
            proxy.echo(1)
            Annotating.fails = True
            with self.assertRaises(KeyError):
                proxy.echo(2)
            Annotating.fails = False
            self.assertFalse(proxy._pyroConnection.lock.locked())
            self.assertEqual(3, proxy.echo(3))


class Locks(unittest.TestCase):
    """The lock that a thread holds while it connects."""

    def test_it_is_not_taken_from_a_thread_that_uses_it(self) -> None:
        lock = holders.ReclaimableLock()
        entered, leave = threading.Event(), threading.Event()
        # Only functions of the client count: this one is made to look like one of them.
        code = "def hold(lock, entered, leave):\n    with lock:\n        entered.set()\n        leave.wait(20)\n"
        names = {"__name__": "Pyro5.client"}
        exec(code, names)
        thread = threading.Thread(target=names["hold"], args=(lock, entered, leave))  # type: ignore[arg-type]
        thread.start()
        self.assertTrue(entered.wait(PATIENCE_SECONDS))
        with mock.patch.object(holders, "LOOK_SECONDS", 0.001):
            self.assertFalse(lock.acquire(time.monotonic() + 0.05))
        leave.set()
        self.assertTrue(lock.acquire(time.monotonic() + PATIENCE_SECONDS))
        self.assertTrue(lock.acquire(), "again")
        lock.release()
        lock.release()
        thread.join()

    def test_threads_take_turns(self) -> None:
        lock = holders.ReclaimableLock()
        counted = [0]

        def count() -> None:
            for _ in range(200):
                with lock, lock:
                    value = counted[0]
                    counted[0] = value + 1

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([800], counted)


class LateReplies(MachineTestCase):
    def test_the_next_call_does_not_wait_for_the_late_one(self) -> None:
        proxy = self.proxy()
        with self.assertRaises(errors.TimeoutError):
            proxy.wait.options(timeout=0.05)()
        self.assertEqual(1, proxy.echo(1))
        self.assertEqual(2, len(proxy._pyro.pool.connections()))
        self.machine.gate.set()

    def test_it_waits_if_there_is_only_one_connection(self) -> None:
        proxy = self.session()
        proxy._pyroBind()
        with self.assertRaises(errors.TimeoutError):
            proxy.wait.options(timeout=0.05)()
        self.machine.gate.set()
        self.assertEqual([1, 2], [proxy.echo(1), proxy.echo(2)])
        self.assertEqual(1, len(proxy._pyro.pool.connections()))


class LostServers(MachineTestCase):
    def open_several(self, proxy: Any, machine: Machine) -> None:
        threads = [self.busy(proxy, machine) for _ in range(4)]
        machine.gate.set()
        for thread in threads:
            self.join(thread)
        self.assertEqual(4, len(proxy._pyro.pool.connections()))

    def test_one_call_fails_after_a_restart_however_many_connections_there_were(self) -> None:
        port = free_port()
        machine = Machine()
        server, uri = self.start(machine, port)
        proxy = self.proxy(uri)
        self.open_several(proxy, machine)
        loop = next(thread for thread in threading.enumerate() if getattr(thread, "_target", None) == server.requestLoop)
        server.shutdown()
        self.join(loop)
        server.close()
        self.start(Machine(), port)
        with self.assertRaises(errors.ConnectionClosedError):
            proxy.echo(1)
        self.assertEqual(2, proxy.echo(2))
        self.assertEqual(1, len(proxy._pyro.pool.connections()))

    def test_threads_that_reconnect_keep_the_connection_of_the_first_one(self) -> None:
        proxy = self.proxy()
        self.open_several(proxy, self.machine)
        all_failed = threading.Barrier(4)
        seen: List[Any] = []

        def work() -> None:
            try:
                proxy.wait()
            except errors.ConnectionClosedError:
                all_failed.wait(PATIENCE_SECONDS)
                proxy._pyroReconnect(tries=3)
                seen.append(proxy._pyroConnection)

        self.machine.gate.clear()
        threads = [self.in_thread(work) for _ in range(4)]
        for _ in range(4):
            self.assertTrue(self.machine.entered.acquire(timeout=PATIENCE_SECONDS))
        proxy._pyroRelease()
        for thread in threads:
            self.join(thread)
        self.machine.gate.set()
        self.assertEqual(4, len(seen))
        self.assertEqual(1, len(set(map(id, seen))))
        self.assertEqual(1, proxy.echo(1))

    def test_a_thread_whose_call_did_not_fail_gets_a_new_connection(self) -> None:
        proxy = self.proxy()
        proxy.echo(1)
        first = proxy._pyroConnection
        proxy._pyroReconnect()
        self.assertIsNot(first, proxy._pyroConnection)
        self.assertEqual(-1, first.sock.fileno())
        wait_until(lambda: proxy.echo(2) == 2)


if __name__ == "__main__":
    unittest.main()
