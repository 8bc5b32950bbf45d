"""Objects in other threads and processes: over a socket pair, over an inherited proxy, and in a server that came back."""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
import unittest
from typing import Any, Iterator, List

from Pyro5 import config, errors
from Pyro5._objects.exposure import expose, oneway
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.server import Daemon
from tests.rawclient import PATIENCE_SECONDS, ServerTestCase, for_both_types, wait_until
from tests.support import daemon_thread

START_METHODS = sorted({"fork", "spawn"}.intersection(multiprocessing.get_all_start_methods()))
LARGE = 1024 * 1024


@expose
class Elsewhere:
    """An object that tells where it is, and who calls it."""

    _pyroDaemon: Any = None

    def __init__(self) -> None:
        self._notes: List[Any] = []

    def process(self) -> int:
        return os.getpid()

    def echo(self, value: Any) -> Any:
        return value

    def caller(self) -> Any:
        return current_context.client_sock_addr

    @oneway
    def note(self, value: Any) -> None:
        self._notes.append(value)

    def notes(self) -> List[Any]:
        return self._notes

    def count(self, end: int) -> Iterator[int]:
        yield from range(end)

    def fail(self) -> None:
        raise KeyError("lost")

    def shutdown(self) -> None:
        self._pyroDaemon.shutdown()

    def die(self) -> None:
        os._exit(7)


# ---------------------------------------------------------------- what the other processes run

def serve_pair(sock: socket.socket, *inherited: socket.socket) -> None:
    """Serve one end of a pair until the other one is closed, here too if a fork has brought it along."""
    for other in inherited:
        other.close()
    with sock, Daemon(connected_socket=sock) as daemon:
        daemon.register(Elsewhere(), "obj")
        daemon.requestLoop()


def serve_port(tell: Any, port: int) -> None:
    with Daemon("127.0.0.1", port) as daemon:
        tell.send(str(daemon.register(Elsewhere(), "obj")))
        tell.close()
        daemon.requestLoop()


def call_over_pair(die: bool, sock: socket.socket, *inherited: socket.socket) -> None:
    for other in inherited:
        other.close()
    with sock, Proxy("obj", connected_socket=sock) as proxy:
        proxy.echo(proxy.process())
        proxy.note(os.getpid())
        if die:
            os._exit(7)


def call_over_proxy(proxy: Any, tell: Any, calls: int) -> None:
    """Return where the calls came from, and whether each answer belongs to its own question."""
    mine = [(os.getpid(), number) for number in range(calls)]
    answers = [tuple(proxy.echo(question)) for question in mine]
    tell.send((proxy.caller(), answers == mine))
    tell.close()
    proxy._pyroRelease()


# ---------------------------------------------------------------- threads

class Threads(ServerTestCase):
    def pair(self) -> Any:
        pair = socket.socketpair()
        for sock in pair:
            self.at_end.callback(sock.close)
        return pair

    def test_each_calls_the_other(self) -> None:
        """One pair each way, since an end either asks or answers."""
        proxies = []
        for name in ("one", "two"):
            mine, theirs = self.pair()
            daemon = self.daemon(connected_socket=theirs)
            daemon.register(Elsewhere(), name)
            self.run_loop(daemon)
            proxies.append(Proxy(name, connected_socket=mine))
        answers: List[Any] = []

        def call(proxy: Any, value: Any) -> None:
            proxy._pyroClaimOwnership()
            answers.append(proxy.echo(value))

        callers = [threading.Thread(target=call, args=(proxy, number)) for number, proxy in enumerate(proxies)]
        for caller in callers:
            caller.start()
        for caller in callers:
            self.join(caller)
        self.assertEqual([0, 1], sorted(answers))

    def test_many_pairs_in_one_loop(self) -> None:
        master = self.daemon()
        proxies = []
        for _ in range(5):
            mine, theirs = self.pair()
            daemon = self.daemon(connected_socket=theirs)
            master.combine(daemon)
            proxies.append((mine, Proxy("obj", connected_socket=mine)))
        with daemon_thread(master):
            for number, (_, proxy) in enumerate(proxies):
                self.assertEqual(number, proxy.echo(number))
            proxies[0][0].close()  # the end of one is not the end of the others
            with Proxy(master.uriFor("obj")) as over_tcp:
                self.assertEqual("tcp", over_tcp.echo("tcp"))
            for number, (_, proxy) in enumerate(proxies[1:]):
                self.assertEqual(number, proxy.echo(number))


# ---------------------------------------------------------------- processes

class ProcessTestCase(unittest.TestCase):
    """Starts processes by one of the start methods; each has to end by itself."""

    method = ""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.context: Any = multiprocessing.get_context(self.method)

    def start(self, target: Any, *args: Any) -> Any:
        process = self.context.Process(target=target, args=args)
        process.start()
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process: Any) -> None:
        process.join(PATIENCE_SECONDS)
        alive = process.is_alive()
        if alive:
            process.kill()
            process.join()
        exit_code = process.exitcode
        process.close()
        if alive or exit_code not in (0, 7):
            raise AssertionError("a process did not end by itself, or with an error (%s)" % exit_code)

    @contextlib.contextmanager
    def pair_with(self, target: Any, *args: Any) -> Iterator[socket.socket]:
        """Start a process with one end of a pair, and give the other end."""
        mine, theirs = socket.socketpair()
        with mine:
            with theirs:
                process = self.start(target, *args, theirs, *([mine] if self.method == "fork" else []))
            yield mine
        process.join(PATIENCE_SECONDS)

    def receive(self, pipe: Any) -> Any:
        self.assertTrue(pipe.poll(PATIENCE_SECONDS), "nothing came")
        return pipe.recv()

    def serving(self, port: int = 0) -> str:
        """Return the uri of an object in another process; its `shutdown` ends it."""
        hear, tell = self.context.Pipe(duplex=False)
        with hear:
            self.start(serve_port, tell, port)
            tell.close()
            return str(self.receive(hear))


class Pairs(ProcessTestCase):
    def test_calls_to_another_process(self) -> None:
        with self.pair_with(serve_pair) as sock, Proxy("obj", connected_socket=sock) as proxy:
            self.assertNotEqual(os.getpid(), proxy.process())
            self.assertEqual("x" * LARGE, proxy.echo("x" * LARGE))
            self.assertEqual([0, 1, 2], list(proxy.count(3)))
            with self.assertRaisesRegex(KeyError, "lost"):
                proxy.fail()
            proxy.note("oneway")
            wait_until(proxy.notes)
            batch = BatchProxy(proxy)
            batch.notes()
            batch.echo("end")
            self.assertEqual([["oneway"], "end"], list(batch()))

    def test_calls_from_another_process(self) -> None:
        for die in (False, True):
            elsewhere = Elsewhere()
            with self.pair_with(call_over_pair, die) as sock, Daemon(connected_socket=sock) as daemon:
                daemon.register(elsewhere, "obj")
                daemon.requestLoop()  # ends when the other process is gone
            (caller,) = elsewhere._notes
            self.assertNotEqual(os.getpid(), caller)

    def test_the_other_process_dies_in_the_middle_of_a_call(self) -> None:
        with self.pair_with(serve_pair) as sock, Proxy("obj", connected_socket=sock) as proxy:
            with self.assertRaisesRegex(errors.ConnectionClosedError, "calling die of PYRO:obj"):
                proxy.die()
            with self.assertRaisesRegex(errors.ConnectionClosedError, "create a new proxy"):
                proxy.echo(1)


class Inherited(ProcessTestCase):
    def test_many_processes_with_one_proxy(self) -> None:
        with Proxy(self.serving()) as proxy:
            before = proxy.caller()
            told = []
            with contextlib.ExitStack() as pipes:
                for _ in range(2):
                    hear, tell = self.context.Pipe(duplex=False)
                    pipes.enter_context(hear)
                    self.start(call_over_proxy, proxy, tell, 50)
                    tell.close()
                    told.append(hear)
                for number in range(50):
                    self.assertEqual(number, proxy.echo(number))
                callers, right = zip(*map(self.receive, told))
            self.assertEqual((True, True), right)
            self.assertEqual(before, proxy.caller(), "the parent's own connection was touched")
            self.assertEqual(3, len({before, *callers}), "some processes shared a connection")
            proxy.shutdown()

    def test_a_server_that_was_killed_and_came_back(self) -> None:
        config.MAX_RETRIES = 1
        uri = self.serving()
        with Proxy(uri) as proxy:
            first = proxy.process()
            with self.assertRaises(errors.CommunicationError):
                proxy.die()
            self.assertEqual(uri, self.serving(int(uri.rsplit(":", 1)[1])))
            self.assertNotEqual(first, proxy.process())
            proxy.shutdown()


for base in (Pairs, Inherited):
    for start_method in START_METHODS:
        name = base.__name__ + start_method.capitalize()
        globals()[name] = type(name, (base,), {"method": start_method, "__module__": __name__})
    del globals()[base.__name__]
del base, ProcessTestCase


# ---------------------------------------------------------------- a server that came back

class Restart(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.served_here = Elsewhere()

    def start(self, port: int = 0) -> Any:
        daemon = self.daemon(port=port)
        daemon.register(self.served_here, "here", force=True)
        self.loop = self.run_loop(daemon)
        return daemon

    def stop(self, daemon: Any) -> int:
        """Stop it, and give the port where it was."""
        port: int = daemon.sock.getsockname()[1]
        daemon.shutdown()
        self.join(self.loop)
        daemon.close()
        return port

    def connected(self, daemon: Any, name: str = "here") -> Any:
        proxy = Proxy(daemon.uriFor(name))
        self.at_end.callback(proxy._pyroRelease)
        proxy._pyroBind()
        return proxy

    def test_the_call_after_the_failed_one_connects_again(self) -> None:
        daemon = self.start()
        proxy = self.connected(daemon)
        self.start(self.stop(daemon))
        with self.assertRaisesRegex(errors.ConnectionClosedError, "calling echo of " + str(proxy._pyroUri)):
            proxy.echo(1)
        self.assertEqual(2, proxy.echo(2))

    def test_reconnecting_until_it_is_back(self) -> None:
        daemon = self.start()
        proxy = self.connected(daemon)
        port = self.stop(daemon)
        with self.assertRaisesRegex(errors.ConnectionClosedError, "cannot reconnect, after 1 tries"):
            proxy._pyroReconnect(tries=1)
        with self.assertLogs("Pyro5.client", "INFO") as logged:
            def reconnect() -> None:
                proxy._pyroClaimOwnership()
                proxy._pyroReconnect()

            thread = threading.Thread(target=reconnect)
            thread.start()
            wait_until(lambda: logged.records)
            self.start(port)
            self.join(thread)
        proxy._pyroClaimOwnership()
        self.assertEqual("back", proxy.echo("back"))

    def test_retries_hide_the_restart(self) -> None:
        config.MAX_RETRIES = 1
        daemon = self.start()
        proxy = self.connected(daemon)
        config.MAX_RETRIES = 0
        self.assertEqual(1, proxy._pyroMaxRetries)
        self.start(self.stop(daemon))
        self.assertEqual("back", proxy.echo("back"))
        self.assertEqual([0, 1], list(proxy.count(2)))

    def test_retries_run_out_while_it_is_down(self) -> None:
        daemon = self.start()
        proxy = self.connected(daemon)
        proxy._pyroMaxRetries = 3
        self.stop(daemon)
        with self.assertRaisesRegex(errors.CommunicationError, "cannot connect to .*is the server running"):
            proxy.echo(1)

    def test_an_object_that_is_not_back(self) -> None:
        daemon = self.start()
        proxy = self.connected(daemon)
        generated = self.connected(daemon, daemon.register(Elsewhere()).object)
        self.start(self.stop(daemon))
        proxy._pyroReconnect(tries=1)
        with self.assertRaisesRegex(errors.ConnectionClosedError, "unknown object"):
            generated._pyroReconnect(tries=1)

    def test_more_streams_after_the_restart(self) -> None:
        daemon = self.start()
        proxy = self.connected(daemon)
        stream = proxy.count(3)
        self.assertEqual(0, next(stream))
        self.start(self.stop(daemon))
        with self.assertRaises(errors.PyroError):
            next(stream)
        proxy._pyroReconnect(tries=1)
        self.assertEqual([0, 1, 2], list(proxy.count(3)))


for_both_types(globals(), Restart)
del Restart


if __name__ == "__main__":
    unittest.main()
