"""What programs build on when they serve: Ctrl-C and what follows the loop, counting clients, periodic work."""
from __future__ import annotations

import os
import signal
import socket
import threading
import unittest
from typing import Any, List

from Pyro5 import config, errors
from Pyro5.api import Daemon, Proxy, expose, serve

from ..rawclient import wait_until
from ..support import daemon_thread

SERVER_TYPES = ("thread", "multiplex")


@expose
class Thing:
    def ping(self) -> str:
        return "pong"


class ServingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())


@unittest.skipUnless(hasattr(signal, "pthread_kill"), "signals cannot be sent to a thread here")
class CtrlC(ServingTestCase):
    def interrupt_when_asked(self) -> Any:
        """Return a loop condition that presses Ctrl-C when it is first called."""
        pressed: List[bool] = []

        def condition() -> bool:
            if not pressed:
                pressed.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            return True
        return condition

    def test_the_loop_returns_and_the_daemon_still_serves(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Daemon() as daemon:
                uri = daemon.register(Thing())
                daemon.requestLoop(self.interrupt_when_asked())
                with daemon_thread(daemon), Proxy(uri) as proxy:
                    self.assertEqual("pong", proxy.ping())

    def test_while_the_loop_waits(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Daemon() as daemon:
                thread = threading.Thread(target=self.interrupt_while_it_waits, args=(daemon,))
                thread.start()
                daemon.requestLoop()
                thread.join()

    def interrupt_while_it_waits(self, daemon: Daemon) -> None:
        wait_until(lambda: daemon.transportServer._loop_thread is not None, "the beginning of the loop")
        threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    def test_combined_daemons(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Daemon() as daemon, Daemon() as other:
                daemon.combine(other)
                daemon.requestLoop(self.interrupt_when_asked())

    def test_serve_returns(self) -> None:
        class Interrupted(Daemon):
            def requestLoop(this, loopCondition: Any = None) -> None:
                super().requestLoop(self.interrupt_when_asked())

        serve({Thing(): None}, daemon=Interrupted(), use_ns=False, verbose=False)

    def test_two_interrupts_end_two_loops(self) -> None:
        with Daemon() as daemon:
            for _ in range(2):
                daemon.requestLoop(self.interrupt_when_asked())


class Counting(Daemon):
    """A daemon that counts its clients by its hooks, in a thread that it notes."""

    def __init__(self) -> None:
        super().__init__()
        self.here = 0
        self.events: List[str] = []
        self.threads: List[int] = []

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data == "wrong":
            raise ValueError("not you")
        self.here += 1
        self.events.append("in")
        self.threads.append(threading.get_ident())
        return "hello"

    def clientDisconnect(self, conn: Any) -> None:
        self.here -= 1
        self.events.append("out")
        self.threads.append(threading.get_ident())


class CountingClients(ServingTestCase):
    def test_port_probes_garbage_and_refused_handshakes_are_no_clients(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Counting() as daemon:
                uri = daemon.register(Thing())
                with daemon_thread(daemon):
                    for junk in (b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 50, b"PYRO"):
                        with socket.create_connection(daemon.sock.getsockname()) as probe:
                            probe.sendall(junk)
                    with Proxy(uri) as refused:
                        refused._pyroHandshake = "wrong"
                        self.assertRaises(errors.CommunicationError, refused._pyroBind)
                    with Proxy(uri) as proxy:
                        proxy.ping()
                        self.assertEqual(1, daemon.here)
                    wait_until(lambda daemon=daemon: not daemon.transportServer._connections)
                    wait_until(lambda daemon=daemon: "out" in daemon.events)
                self.assertEqual(["in", "out"], daemon.events)

    def test_a_client_that_sends_garbage_after_it_was_let_in(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Counting() as daemon:
                uri = daemon.register(Thing())
                with daemon_thread(daemon), Proxy(uri) as proxy:
                    proxy.ping()
                    proxy._pyroConnection.sock.sendall(b"x" * 100)
                    wait_until(lambda daemon=daemon: "out" in daemon.events)
                self.assertEqual(["in", "out"], daemon.events)


class BeforeTheLoopRuns(ServingTestCase):
    def test_the_timeout_of_the_client_says_so(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with Daemon() as daemon, Proxy(daemon.register(Thing())) as proxy:
                proxy._pyroTimeout = 0.02
                with self.assertRaisesRegex(errors.TimeoutError, "is its request loop running"):
                    proxy._pyroBind()


class Housekeeping(ServingTestCase):
    class Tidy(Daemon):
        calls = 0
        locked = False

        def housekeeping(self) -> None:
            self.calls += 1
            with self.housekeeper_lock:  # reentrant
                self.done.set()
        done: Any = None

    def test_the_interval_can_be_set(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with self.Tidy() as daemon:
                daemon.done = threading.Event()
                assert daemon.transportServer.housekeeper is not None
                daemon.transportServer.housekeeper.waittime = 0.01
                with daemon_thread(daemon):
                    wait_until(lambda daemon=daemon: daemon.calls > 3)

    def test_none_switches_it_off(self) -> None:
        for config.SERVERTYPE in SERVER_TYPES:
            with self.Tidy() as daemon:
                daemon.transportServer.housekeeper = None
                uri = daemon.register(Thing())
                with daemon_thread(daemon), Proxy(uri) as proxy:
                    self.assertEqual("pong", proxy.ping())
                self.assertEqual(0, daemon.calls)

    def test_a_long_interval_is_kept(self) -> None:
        config.POLLTIMEOUT = 0.005
        rounds: List[int] = []
        with self.Tidy() as daemon:
            daemon.done = threading.Event()
            assert daemon.transportServer.housekeeper is not None
            daemon.transportServer.housekeeper.waittime = 600
            daemon.requestLoop(lambda: len(rounds) < 10 and not rounds.append(1))  # type: ignore[func-returns-value]
            self.assertEqual(1, daemon.calls)

    def test_the_pool_of_the_thread_server(self) -> None:
        config.SERVERTYPE = "thread"
        with Daemon() as daemon:
            uri = daemon.register(Thing())
            with daemon_thread(daemon), Proxy(uri) as proxy:
                proxy.ping()
                self.assertGreaterEqual(len(daemon.transportServer.pool), 1)
