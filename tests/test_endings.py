"""How servers end: shutdown from anywhere, signals, a kill in mid-call; and that an interrupted client goes on."""
from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Callable, Iterator, List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._objects.exposure import expose, oneway
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from tests.conformance.places import UNIX
from tests.conformance.served import Thing
from tests.peers import settings
from tests.support import PATIENCE_SECONDS, ToolProcess, daemon_thread
from tests.test_server import DaemonTestCase

ECHO = "test.echoserver"


@expose
class Mortal(Thing):
    """A `Thing` that can end its server."""

    def end(self, how: str) -> str:
        getattr(self._pyroDaemon, how)()
        return "the end"

    @oneway
    def end_unheard(self) -> None:
        self._pyroDaemon.shutdown()


class EndingTestCase(DaemonTestCase):
    def mortal(self, daemon: Any) -> Any:
        """Register an object in the daemon, and give it and a proxy for it."""
        thing = Mortal()
        return thing, self.proxy(daemon.register(thing))

    @contextlib.contextmanager
    def thread(self, run: Callable[..., Any], *args: Any) -> Iterator[None]:
        """Run something besides the block; it ends before the block is left."""
        thread = threading.Thread(target=run, args=args)
        thread.start()
        try:
            yield
        finally:
            thread.join(PATIENCE_SECONDS)
            self.assertFalse(thread.is_alive(), "it does not end")

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")

    def assert_over(self, daemon: Any, proxy: Any) -> None:
        """The daemon is gone, and its clients are told so."""
        self.assertEqual(daemon.sock.fileno(), -1)
        with self.assertRaises(errors.CommunicationError):
            proxy._pyroReconnect(tries=1)


class ShutdownTests(EndingTestCase):
    def test_from_another_thread(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            daemon = self.daemon()
            with self.thread(daemon.requestLoop):
                _, proxy = self.mortal(daemon)
                self.assertEqual(proxy.give(1), 1)
                daemon.shutdown()
            with self.assertRaisesRegex(errors.ConnectionClosedError, "give of PYRO:"):
                proxy.give(2)
            self.assert_over(daemon, proxy)

    def test_a_loop_that_begins_meanwhile_ends_at_once(self) -> None:
        daemon = self.daemon()
        freeing, go_on = threading.Event(), threading.Event()
        free = daemon.transportServer.free

        def free_slowly() -> None:
            freeing.set()
            go_on.wait(PATIENCE_SECONDS)
            free()
        with mock.patch.object(daemon.transportServer, "free", free_slowly), ThreadPoolExecutor(2) as threads:
            closed = threads.submit(daemon.close)
            self.assertTrue(freeing.wait(PATIENCE_SECONDS))
            ended = threads.submit(daemon.requestLoop)
            self.assertFalse(wait((ended,), timeout=0.02).done)  # it waits for what is being freed
            go_on.set()
            for future in (closed, ended):
                future.result(PATIENCE_SECONDS)

    def test_while_a_call_runs(self) -> None:
        """Its reply is still sent."""
        for config.SERVERTYPE in ("thread", "multiplex"):
            daemon = self.daemon()
            thing, proxy = self.mortal(daemon)

            def end(daemon: Any = daemon, thing: Any = thing) -> None:
                self.wait_for(thing.begun)
                daemon.shutdown()
                thing.go_on.set()

            with self.thread(daemon.requestLoop), self.thread(end):
                self.assertEqual(proxy.wait(), "waited")
            self.assert_over(daemon, proxy)

    def test_calls_under_way_are_answered_and_new_ones_refused(self) -> None:
        with settings(SHUTDOWN_TIMEOUT=PATIENCE_SECONDS):
            daemon = self.daemon()
        thing, proxy = self.mortal(daemon)
        idle = Proxy(proxy._pyroUri)
        with idle, self.thread(daemon.requestLoop):
            idle._pyroBind()
            answers: List[Any] = []
            with self.thread(lambda: answers.append(Proxy(proxy._pyroUri).wait())):
                self.wait_for(thing.begun)
                daemon.shutdown()
                with self.assertRaises(errors.CommunicationError):
                    for _ in range(1000):  # the loop has to hear of it first
                        idle.give(1)
                with self.assertRaises(errors.CommunicationError):
                    idle._pyroReconnect(tries=1)
                self.assertEqual([], answers)
                thing.go_on.set()
            self.assertEqual(["waited"], answers)

    def test_no_longer_than_the_setting_says(self) -> None:
        with settings(SHUTDOWN_TIMEOUT=0.0):
            daemon = self.daemon()
        thing, proxy = self.mortal(daemon)
        self.addCleanup(thing.go_on.set)
        with self.thread(daemon.requestLoop):
            def shut_down() -> None:
                self.wait_for(thing.begun)
                daemon.shutdown()
            with self.thread(shut_down), self.assertRaises(errors.ConnectionClosedError):
                proxy.wait()

    def test_from_inside_a_call(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            for how in ("shutdown", "close"):
                daemon = self.daemon()
                with self.thread(daemon.requestLoop):
                    _, proxy = self.mortal(daemon)
                    self.assertEqual(proxy.end(how), "the end")
                self.assert_over(daemon, proxy)

    def test_from_inside_a_oneway_call(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            daemon = self.daemon()
            with self.thread(daemon.requestLoop):
                _, proxy = self.mortal(daemon)
                self.assertIsNone(proxy.end_unheard())
            self.assert_over(daemon, proxy)

    def test_from_inside_a_call_over_a_ready_made_socket(self) -> None:
        mine, other = socket.socketpair()
        with mine, other:
            daemon = self.daemon(connected_socket=other)
            daemon.register(Mortal(), "mortal")
            with self.thread(daemon.requestLoop):
                self.assertEqual(Proxy("mortal", connected_socket=mine).end("shutdown"), "the end")
            self.assertNotEqual(other.fileno(), -1)

    def test_from_inside_a_call_to_a_combined_daemon(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            for how in ("shutdown", "close"):
                master, daemon = self.daemon(), self.daemon()
                master.combine(daemon)
                with daemon_thread(master):
                    _, proxy = self.mortal(daemon)
                    _, proxy_of_master = self.mortal(master)
                    self.assertEqual(proxy.end(how), "the end")
                    self.assertEqual(proxy_of_master.give("alive"), "alive")
                    daemon.close()
                    self.assert_over(daemon, proxy)

    def test_from_inside_a_call_in_a_foreign_event_loop(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            daemon = self.daemon()
            _, proxy = self.mortal(daemon)
            ended = threading.Event()
            answers: List[Any] = []

            def call(proxy: Any = proxy, ended: Any = ended, answers: Any = answers) -> None:
                proxy._pyroClaimOwnership()
                try:
                    answers.append(proxy.end("shutdown"))
                finally:
                    ended.set()

            with self.thread(call):
                while not ended.is_set():
                    self.turn(daemon)
            self.assertEqual(answers, ["the end"])
            proxy._pyroClaimOwnership()
            daemon.close()
            self.assert_over(daemon, proxy)

    @staticmethod
    def turn(daemon: Any) -> None:
        """Be a foreign event loop, once."""
        with selectors.DefaultSelector() as selector:
            for sock in daemon.sockets:
                if sock.fileno() != -1:
                    selector.register(sock, selectors.EVENT_READ)
            daemon.events([key.fileobj for key, _ in selector.select(0.02)])


@unittest.skipUnless(hasattr(signal, "pthread_kill"), "this system cannot send signals to a thread")
@unittest.skipUnless(threading.current_thread() is threading.main_thread(), "signals go to the main thread")
class SignalTests(EndingTestCase):
    """Signals in the middle of something; the signal is not Ctrl-C's own, so that a failure cannot end the test run."""

    def setUp(self) -> None:
        super().setUp()
        self.handled = threading.Event()

    def on_signal(self, handler: Callable[[], Any]) -> None:
        """Call this in the main thread at the next signal."""
        def handle(signum: int, frame: Any) -> None:
            if not self.handled.is_set():
                self.handled.set()
                handler()

        self.handled.clear()
        before = signal.signal(signal.SIGUSR1, handle)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)

    def send_signal(self, when: threading.Event) -> None:
        """Send the signal, as Ctrl-C does; again if it came just before the main thread began to wait for something."""
        self.wait_for(when)
        while not self.handled.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            self.handled.wait(0.05)

    @staticmethod
    def interrupt() -> None:
        raise KeyboardInterrupt

    def test_shutdown_in_a_signal_handler(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            daemon = self.daemon()
            self.on_signal(daemon.shutdown)
            _, proxy = self.mortal(daemon)
            connected, over = threading.Event(), threading.Event()

            def connect(uri: Any = proxy._pyroUri, connected: Any = connected, over: Any = over) -> None:
                with Proxy(uri) as other:
                    other.give(1)
                    connected.set()
                    self.wait_for(over)

            with self.thread(connect), self.thread(self.send_signal, connected):
                daemon.requestLoop()
                over.set()
            self.assert_over(daemon, proxy)

    @unittest.skipIf(UNIX.why_not, UNIX.why_not)
    def test_interrupted_request_loop(self) -> None:
        """The loop returns, and what follows it is run."""
        for config.SERVERTYPE in ("thread", "multiplex"):
            self.on_signal(self.interrupt)
            now = threading.Event()
            with self.thread(self.send_signal, now), Daemon(**UNIX.daemon_arguments(self.directory)) as daemon:
                self.assertEqual(len(os.listdir(self.directory)), 1)
                daemon.requestLoop(lambda now=now: now.set() or True)  # type: ignore[misc]
            self.assertEqual(os.listdir(self.directory), [])

    def interrupted(self, thing: Thing, how: Callable[[], Any]) -> None:
        self.on_signal(self.interrupt)
        try:
            with self.thread(self.send_signal, thing.begun), self.assertRaises(KeyboardInterrupt):
                how()
        finally:
            thing.go_on.set()  # now its reply is sent, but the client is gone

    def test_interrupted_call(self) -> None:
        """The next call never gets the reply of the one before."""
        for config.SERVERTYPE in ("thread", "multiplex"):
            thing, proxy = self.mortal(self.serving())
            for _ in range(3):
                thing.begun.clear()
                thing.go_on.clear()
                self.interrupted(thing, proxy.wait)
                self.assertEqual(proxy.give("mine"), "mine")
                self.assertEqual([proxy.give(number) for number in range(5)], list(range(5)))

    def test_interrupted_stream(self) -> None:
        thing, proxy = self.mortal(self.serving())
        stream = proxy.count_to(3)
        self.assertEqual(next(stream), 1)
        self.interrupted(thing, proxy.wait)
        proxy._pyroReconnect(tries=1)
        self.assertEqual(list(stream), [2, 3])

    def test_interrupted_handshake(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        class Slow(Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                begun.set()
                go_on.wait(PATIENCE_SECONDS)
                return "hello"

        thing, proxy = self.mortal(self.serving(daemon_class=Slow))
        thing.begun, thing.go_on = begun, go_on
        self.interrupted(thing, proxy._pyroBind)
        self.assertIsNone(proxy._pyroConnection)
        self.assertEqual(proxy.give("mine"), "mine")

    def test_interrupted_call_over_a_ready_made_socket(self) -> None:
        mine, other = socket.socketpair()
        with mine, other, daemon_thread(Daemon(connected_socket=other)) as daemon:
            thing = Mortal()
            daemon.register(thing, "mortal")
            proxy: Any = Proxy("mortal", connected_socket=mine)
            proxy._pyroBind()
            self.interrupted(thing, proxy.wait)
            with self.assertRaisesRegex(errors.ConnectionClosedError, "new proxy"):
                proxy.give("this would get the reply of the other call")


@unittest.skipIf(UNIX.why_not, UNIX.why_not)
class ToolTests(EndingTestCase):
    """The servers of the command line, as real processes."""

    def echoserver(self, *args: str) -> Any:
        tool = ToolProcess("Pyro5.utils.echoserver", "-u", self.path("echo"), *args)
        self.addCleanup(tool.__exit__, None, None, None)
        tool.read_until("echoserver running")
        return tool

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def echo_proxy(self) -> Any:
        return self.proxy("PYRO:%s@./u:%s" % (ECHO, self.path("echo")))

    def test_signals_end_them_cleanly(self) -> None:
        commands = [("Pyro5.nameserver", "NS running", ("-n", "127.0.0.1", "-p", "0")),
                    ("Pyro5.nameserver", "NS running", ("-u", self.path("ns"))),
                    ("Pyro5.utils.echoserver", "echoserver running", ("-H", "127.0.0.1")),
                    ("Pyro5.utils.echoserver", "echoserver running", ("-u", self.path("echo")))]
        for signum in (signal.SIGINT, signal.SIGTERM):
            with contextlib.ExitStack() as running:
                tools = [running.enter_context(ToolProcess(module, *args)) for module, _, args in commands]
                for tool, (_, line, _) in zip(tools, commands):
                    tool.read_until(line)
                self.assertEqual(sorted(os.listdir(self.directory)), ["echo", "ns"])
                with self.echo_proxy() as client:
                    client.echo("connected, and idle")
                    for tool, command in zip(tools, commands):
                        result = tool.stop(signum)
                        self.assertEqual((result.exit_code, result.err), (0, ""), command)
            self.assertEqual(os.listdir(self.directory), [])

    def test_server_that_is_killed_in_mid_call(self) -> None:
        tool = self.echoserver("-v")
        proxy = self.echo_proxy()

        def kill() -> None:
            tool.read_until("echo server: slow begins")
            tool.process.kill()

        with self.thread(kill), self.assertRaisesRegex(errors.ConnectionClosedError, "slow of PYRO:.*echo"):
            proxy.slow()
        tool.wait()
        with self.assertRaisesRegex(errors.CommunicationError, "is the server running"):
            proxy.echo("nobody is there")
        self.echoserver()  # in place of the socket file that is left there
        self.assertEqual(proxy.echo("connected again"), "connected again")
