"""A client keeps its thread: sqlite handles, COM apartments and locks of threads insist on that."""
from __future__ import annotations

import sqlite3
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import config, svr_threads
from Pyro5.api import Daemon, Proxy, behavior, expose

from ..rawclient import wait_until
from ..support import daemon_thread


@expose
class Store:
    """An object that is registered once, and used by several clients."""

    def __init__(self) -> None:
        self.handles: List[Any] = []

    def open(self) -> int:
        self.handles.append(sqlite3.connect(":memory:"))
        return len(self.handles) - 1

    def ask(self, number: int) -> int:
        return int(self.handles[number].execute("select 42").fetchone()[0])

    def close(self, number: int) -> None:
        self.handles[number].close()

    def thread(self) -> int:
        return threading.get_ident()


@expose
@behavior(instance_mode="single")
class Single(Store):
    pass


class Noting(Daemon):
    def __init__(self) -> None:
        super().__init__()
        self.threads: List[int] = []

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        self.threads.append(threading.get_ident())
        return "hello"

    def clientDisconnect(self, conn: Any) -> None:
        self.threads.append(threading.get_ident())


class ThreadOfAClient(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.SERVERTYPE, config.THREADPOOL_SIZE, config.THREADPOOL_SIZE_MIN = "thread", 4, 2
        patched = mock.patch.object(svr_threads, "KEEP_SECONDS", 0.0005)  # its thread turns to others very soon
        patched.start()
        self.addCleanup(patched.stop)

    def proxies(self, uri: Any, count: int) -> List[Proxy]:
        found = [Proxy(uri) for _ in range(count)]
        for proxy in found:
            self.addCleanup(proxy._pyroRelease)
        return found

    def rest(self, daemon: Any) -> None:
        """Wait until the loop watches all clients, so that no thread waits for one of them."""
        server = daemon.transportServer
        wait_until(lambda: all(c.watched for c in list(server._connections.values())) and not server.pool.busy())

    def test_handles_stay_in_their_thread(self) -> None:
        for published in (Store(), Single):
            with Daemon() as daemon, daemon_thread(daemon):
                proxies = self.proxies(daemon.register(published), config.THREADPOOL_SIZE)
                numbers = [proxy.open() for proxy in proxies]
                for _ in range(3):
                    self.rest(daemon)
                    for proxy, number in zip(proxies[::-1], numbers[::-1]):
                        self.assertEqual(42, proxy.ask(number))
                for proxy, number in zip(proxies, numbers):
                    proxy.close(number)

    def test_the_hooks_run_in_that_thread_too(self) -> None:
        with Noting() as daemon, daemon_thread(daemon):
            proxies = self.proxies(daemon.register(Store()), config.THREADPOOL_SIZE)
            threads = [proxy.thread() for proxy in proxies]
            self.assertEqual(threads, daemon.threads)
            for proxy in proxies:
                proxy._pyroRelease()
            wait_until(lambda: len(daemon.threads) == 8)
            self.assertEqual(sorted(threads), sorted(daemon.threads[4:]))

    def test_clients_come_and_go_beside_it(self) -> None:
        with Daemon() as daemon, daemon_thread(daemon):
            uri = daemon.register(Store())
            kept = self.proxies(uri, config.THREADPOOL_SIZE - 1)
            threads = [proxy.thread() for proxy in kept]
            for _ in range(10):
                with Proxy(uri) as other:
                    self.assertNotIn(other.thread(), threads)
                connections = daemon.transportServer._connections
                wait_until(lambda connections=connections: sum(not c.ended for c in list(connections.values())) == len(kept))
            self.assertEqual(threads, [proxy.thread() for proxy in kept])

    def test_more_clients_than_threads_are_served(self) -> None:
        with Daemon() as daemon, daemon_thread(daemon):
            proxies = self.proxies(daemon.register(Store()), 3 * config.THREADPOOL_SIZE)
            for _ in range(3):
                self.assertLessEqual(len({proxy.thread() for proxy in proxies}), config.THREADPOOL_SIZE)
