"""Daemons with several processes."""
from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import signal
import socket
import tempfile
import unittest
import urllib.error
import urllib.request
from typing import Any, Iterator, List, Tuple

from Pyro5 import errors
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon, expose
from tests.rawclient import wait_until
from tests.support import PATIENCE_SECONDS, ToolProcess, daemon_thread

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "processes_program.py")


@expose
class Greeter:
    def greet(self, pid: int) -> str:
        return "hello %d" % pid


@contextlib.contextmanager
def server(*args: Any, **settings: str) -> Iterator[Tuple[ToolProcess, str]]:
    """Run the program; return its process and the URI of its shared object."""
    with ToolProcess(PROGRAM, *args, env=settings) as process:  # what follows the URI is left to the test
        yield process, process.readline().strip()


@unittest.skipUnless(hasattr(os, "fork"), "this system cannot fork")
class ProcessesTest(unittest.TestCase):
    def connect(self, uri: str) -> Any:
        proxy = Proxy(uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def pids(self, uri: str, clients: int) -> List[int]:
        """Connect clients, one after the other; return the processes that serve them."""
        return [self.connect(uri).pid() for _ in range(clients)]

    def wait_for_new_process(self, uri: str, old: List[int]) -> None:
        """Connect clients until one is served by another process than the old ones."""
        while True:
            # a process that is just ending may still accept a client
            with contextlib.suppress(errors.CommunicationError), Proxy(uri) as proxy:
                if proxy.pid() not in old:
                    return

    def test_clients_and_their_objects_in_two_processes(self) -> None:
        with server(2) as (process, uri):
            # A process that is just starting, or busy, gets fewer.
            first = self.connect(uri)
            self.wait_for_new_process(uri, [first.pid()])
            more = [self.connect(uri) for _ in range(5)]
            by_process = collections.Counter(proxy.pid() for proxy in [first, *more])
            self.assertEqual(2, len(by_process))
            self.assertNotIn(first.supervisor(), by_process)
            self.assertEqual({first.supervisor()}, {proxy.supervisor() for proxy in more})
            # the instance of mode single is one per process
            counts = [proxy.count() for proxy in [first, *more]]
            self.assertEqual(sorted(n + 1 for count in by_process.values() for n in range(count)), sorted(counts))
            # that of mode session belongs to its connection
            of_session = [self.connect(uri.replace("shared", "session")) for _ in range(3)]
            self.assertEqual([1, 1, 1, 2, 2, 2], [proxy.count() for proxy in of_session * 2])
            self.assertEqual(list(range(5)), list(more[0].numbers()))
            with self.assertRaisesRegex(errors.DaemonError, "has several processes"):
                with first._pyroExclusive():
                    pass
            result = process.stop(signal.SIGINT)
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertEqual(1, result.out.count("ended in process %d" % first_pid(result.out)), result.out)
        self.assertIn("threads: 1\n", result.out)

    def two_processes(self, uri: str) -> List[Any]:
        """Return proxies that are connected to different processes."""
        proxies = [self.connect(uri)]
        while True:
            proxies.append(self.connect(uri))
            if proxies[-1].pid() != proxies[0].pid():
                return [proxies[0], proxies[-1]]

    def test_objects_that_are_registered_in_one_process(self) -> None:
        for server_type in ("thread", "multiplex"):
            with self.subTest(server_type), server(2, PYRO_SERVERTYPE=server_type) as (process, uri):
                for proxy in self.two_processes(uri):
                    # the first connection is one with the process that has more clients, so with the other one
                    made = [proxy.make() for _ in range(3)]
                    self.assertEqual([1, 1, 1, 2, 2, 2], [each.count() for each in made * 2])
                    for each in made:
                        each._pyroRelease()
                unknown = self.connect("PYRO:nothing" + uri[len("PYRO:shared"):])
                with self.assertRaisesRegex(errors.CommunicationError, "unknown object"):
                    unknown._pyroBind()
                self.assertEqual(0, process.stop().exit_code)

    def test_callbacks_over_connections_of_the_client(self) -> None:
        with server(2) as (process, uri):
            for proxy in self.two_processes(uri):
                callback = proxy._pyroCallback(Greeter())
                for _ in range(2):
                    self.assertEqual("hello %d" % proxy.pid(), proxy.call(callback))
            self.assertEqual((0, ""), process.stop()[::2])

    def test_statistics_and_health_of_all_processes(self) -> None:
        with server(2) as (process, uri):
            first, other = self.two_processes(uri)
            pids = sorted([first.pid(), other.pid()])
            own = self.connect("PYRO:Pyro.Daemon" + uri[len("PYRO:shared"):])
            before = own.stats()
            self.assertEqual(pids, before["processes"])
            for proxy in (first, other):
                proxy.pid()
            after = own.stats()
            calls = [report["objects"]["shared"]["pid"]["calls"] for report in (before, after)]
            self.assertEqual(2, calls[1] - calls[0])
            self.assertGreaterEqual(sum(after["connections"].values()), 3)
            self.assertEqual("SERVING", own.health("session"))
            # from both: one of them is not the process that answers
            for proxy in (first, other):
                proxy.set_health()
            self.assertEqual("NOT_SERVING", own.health("session"))

    def test_metrics_of_all_processes(self) -> None:
        with server(2, "", "127.0.0.1:0") as (process, uri):
            port = int(process.read_until("ready")[0])
            proxy = self.connect(uri)
            old = [proxy.pid()]
            os.kill(old[0], signal.SIGTERM)  # its end must not be that of the server for metrics
            self.wait_for_new_process(uri, old)
            with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=PATIENCE_SECONDS) as answer:
                self.assertIn('rpc_method="pid"} ', answer.read().decode())
            with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % port, timeout=PATIENCE_SECONDS) as answer:
                self.assertEqual(b"SERVING\n", answer.read())
            # What a method says also holds in the process that answers here, and in those that are started later.
            proxy = self.connect(uri)
            old.append(proxy.pid())
            proxy.set_daemon_health(False)
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen("http://127.0.0.1:%d/readyz" % port, timeout=PATIENCE_SECONDS)
            with caught.exception as answer:
                self.assertEqual((503, b"NOT_SERVING\n"), (answer.code, answer.read()))
            os.kill(old[1], signal.SIGKILL)
            self.wait_for_new_process(uri, old)
            for _ in range(4):  # processes get clients in turn
                self.assertEqual("NOT_SERVING", self.connect("PYRO:Pyro.Daemon" + uri[len("PYRO:shared"):]).health())
            self.connect(uri).set_daemon_health(True)
            self.assertEqual("SERVING", self.connect("PYRO:Pyro.Daemon" + uri[len("PYRO:shared"):]).health())
            self.assertEqual((0, ""), process.stop()[::2])

    def test_a_method_drains_all_processes(self) -> None:
        names_uri, names, _ = start_ns("127.0.0.1", 0, enableBroadcast=False)
        with names, daemon_thread(names), server(2, "", "", names_uri, PYRO_POLLTIMEOUT="0.05") as (process, uri):
            process.read_until("ready")
            proxy = self.connect(uri)
            self.assertIn("shared", names.nameserver.list())
            proxy.drain(PATIENCE_SECONDS)
            wait_until(lambda: "shared" not in names.nameserver.list())
            self.assertEqual(proxy.pid(), proxy.pid())  # it still serves
            proxy.drain(0)
            self.assertEqual((0, ""), process.wait()[::2])

    def test_cancellation_reaches_the_process_of_the_call(self) -> None:
        with server(2, PYRO_SERVERTYPE="multiplex") as (process, uri):
            call = self.connect(uri).wait_for_cancel.future()
            process.read_until("waiting")
            self.assertTrue(call.cancel())
            self.assertEqual("cancelled: True", process.read_until("cancelled")[-1])
            self.assertEqual(0, process.stop().exit_code)

    def test_process_that_was_killed_is_replaced(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with server(2, path) as (process, uri):
                proxy = self.connect(uri)
                pid = proxy.pid()
                os.kill(pid, signal.SIGKILL)
                with self.assertRaises(errors.ConnectionClosedError):
                    proxy.wait_for_cancel()
                # one that SIGTERM has ended as well
                other = self.connect(uri)
                pids = [pid, other.pid()]
                os.kill(pids[1], signal.SIGTERM)
                self.wait_for_new_process(uri, pids)
                result = process.stop()
            self.assertEqual(0, result.exit_code, result.err)
            self.assertFalse(os.path.exists(path))

    def test_processes_that_keep_dying(self) -> None:
        with server(2, PYRO_PROCESS_RESTARTS="1") as (process, uri):
            for _ in range(2):
                with self.assertRaises(errors.CommunicationError):
                    Proxy(uri).exit(7)
            result = process.wait()
        self.assertEqual(1, result.exit_code)
        self.assertIn("DaemonError: processes of the daemon on", result.err)
        self.assertIn("keep ending: more than 1 within 60 seconds", result.err)

    def test_running_calls_finish_on_signals(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signum), server(2) as (process, uri):
                call = self.connect(uri).wait_for_end.future()
                process.read_until("waiting")
                result = process.stop(signum)
                self.assertEqual("finished", call.result(PATIENCE_SECONDS))
                self.assertEqual((0, ""), (result.exit_code, result.err))
                self.assertIn("ended in process", result.out)

    def test_shutdown_in_a_method_ends_all(self) -> None:
        with server(3) as (process, uri):
            self.connect(uri).shut_down()
            result = process.wait()
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertIn("ended in process", result.out)

    def test_processes_end_with_their_supervisor(self) -> None:
        with server(2) as (process, uri):
            proxy = self.connect(uri)
            os.kill(proxy.supervisor(), signal.SIGKILL)
            # its process closes the connection in the end
            sock = proxy._pyroConnection.sock
            sock.settimeout(PATIENCE_SECONDS)
            self.assertEqual(b"", sock.recv(1))
            # the pipes are closed when all processes have ended
            self.assertEqual(-signal.SIGKILL, process.wait().exit_code)

    def test_refused_arguments_and_methods(self) -> None:
        for wrong, exception in ((0, ValueError), (-1, ValueError), (100000, ValueError), ("2", TypeError), (True, TypeError)):
            with self.subTest(wrong), self.assertRaises(exception):
                Daemon(processes=wrong)  # type: ignore[arg-type]
        here, there = socket.socketpair()
        with here, there, self.assertRaisesRegex(ValueError, "connected_socket"):
            Daemon(connected_socket=here, processes=2)
        loop = asyncio.new_event_loop()
        with Daemon(processes=2) as daemon, Daemon() as other, contextlib.closing(loop):
            for refused in (lambda: daemon.events([]), lambda: daemon.sockets, lambda: daemon.attach(loop),
                            lambda: daemon.combine(other), lambda: other.combine(daemon)):
                with self.assertRaisesRegex(errors.DaemonError, "several processes"):
                    refused()
            self.assertIn("0 processes", repr(daemon.transportServer))
        with Daemon() as other, self.assertRaisesRegex(OSError, "cannot listen"):
            Daemon(port=other.sock.getsockname()[1], processes=2)


def first_pid(text: str) -> int:
    return int(text.split("ended in process ")[1].split(",")[0])


if __name__ == "__main__":
    unittest.main()
