"""Daemon, name server and broadcast responder in event loops: the program's own ones, of several kinds, and requestLoop."""
from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import unittest
from typing import Any, Callable, Iterable, Iterator, List

from Pyro5 import config, errors
from Pyro5._naming.broadcast import BroadcastServer
from Pyro5._objects.exposure import expose
from Pyro5.client import Proxy
from Pyro5.core import locate_ns
from Pyro5.nameserver import NameServerDaemon
from tests.rawclient import PATIENCE_SECONDS, ServerTestCase, call_request, for_both_types, wait_until

LARGE = 1024 * 1024
MOMENT_SECONDS = 0.005


def readable(sockets: Iterable[Any], seconds: float) -> List[Any]:
    """Wait until some of the sockets can be read, and give these; none if another thread closes one meanwhile."""
    with contextlib.suppress(ValueError, OSError):
        return select.select(list(sockets), [], [], seconds)[0]
    return []


# Each of these turns an event loop for some parts (things with sockets and events) until the condition holds.


def by_select(parts: List[Any], until: Callable[[], Any]) -> None:
    while not until():
        owners = {sock: part for part in parts for sock in part.sockets}
        ready = readable(owners, MOMENT_SECONDS)
        for part in parts:
            its_own = [sock for sock in ready if owners[sock] is part]
            if its_own:
                part.events(its_own)


def by_selector(parts: List[Any], until: Callable[[], Any]) -> None:
    """One selector for the whole time, brought up to date before each turn."""
    with selectors.DefaultSelector() as selector:
        while not until():
            wanted = {sock: part for part in parts for sock in part.sockets}
            for key in list(selector.get_map().values()):
                if key.fileobj not in wanted:
                    selector.unregister(key.fileobj)
            for sock in set(wanted) - {key.fileobj for key in selector.get_map().values()}:
                with contextlib.suppress(ValueError, OSError):  # another thread closes it meanwhile
                    selector.register(sock, selectors.EVENT_READ, wanted[sock])
            for key, _ in selector.select(MOMENT_SECONDS):
                key.data.events([key.fileobj])


def by_timer(parts: List[Any], until: Callable[[], Any]) -> None:
    """What a program with windows does, whose toolkit only offers a timer: it looks at everything with each tick."""
    tick = threading.Event()
    while not until():
        tick.wait(MOMENT_SECONDS / 10)
        for part in parts:
            part.events(part.sockets)


def by_poll_in_the_timer(parts: List[Any], until: Callable[[], Any]) -> None:
    """The same, but it asks the system first, as older programs do."""
    tick = threading.Event()
    while not until():
        tick.wait(MOMENT_SECONDS / 10)
        for part in parts:
            ready = readable(part.sockets, 0)
            if ready:
                part.events(ready)


LOOPS = (by_select, by_selector, by_timer, by_poll_in_the_timer)


@expose
class Counter:
    def count(self, end: int) -> Iterator[int]:
        yield from range(end)


class LoopTestCase(ServerTestCase):
    def office(self) -> List[Any]:
        """Return a daemon, a name server, and the responder that tells where the name server is."""
        daemon = self.daemon()
        daemon.register(Counter(), "counter")
        names = NameServerDaemon("127.0.0.1", 0)
        self.at_end.callback(names.close)
        responder = BroadcastServer(names.uriFor(names.nameserver), "127.0.0.1", 0)
        self.at_end.callback(responder.close)
        return [daemon, names, responder]

    def in_thread(self, run: Callable[..., Any], *args: Any) -> threading.Thread:
        """Run a client; what goes wrong in it shows in `problems`."""
        def work() -> None:
            try:
                run(*args)
            except BaseException as x:  # border of the thread: the test raises it
                self.problems.append(x)

        thread = threading.Thread(target=work, name="client")
        thread.start()
        self.at_end.callback(thread.join, PATIENCE_SECONDS)
        return thread

    def setUp(self) -> None:
        super().setUp()
        self.problems: List[BaseException] = []
        self.addCleanup(lambda: self.assertEqual([], self.problems))

    def ended(self, *threads: threading.Thread) -> Callable[[], bool]:
        return lambda: not any(thread.is_alive() for thread in threads)

    def visit(self, daemon: Any, responder: Any) -> None:
        """Find the name server, the name, and the object; and let it do something of every kind."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.sendto(b"GET_NSURI", responder.sock.getsockname())
            found = asker.recv(200).decode()
        with Proxy(found) as names:
            names.register("the.object", daemon.uriFor("obj"), metadata={"kind"})
            self.assertEqual(["the.object"], list(names.yplookup(meta_all={"kind"})))
            uri = names.lookup("the.object")
        with Proxy(uri) as proxy, Proxy(uri) as other, Proxy(daemon.uriFor("counter")) as counter:
            self.assertEqual(1, proxy.echo(1))
            self.assertEqual(LARGE, len(proxy.large(LARGE)))
            self.assertEqual("x" * LARGE, other.echo("x" * LARGE))
            other.note_oneway("heard")
            self.assertEqual([0, 1, 2], list(counter.count(3)))
            self.assertEqual([2], proxy.echo([2]))


class OwnLoops(LoopTestCase):
    def test_all_parts(self) -> None:
        for loop in LOOPS:
            with self.subTest(loop=loop.__name__):
                daemon, names, responder = parts = self.office()
                clients = [self.in_thread(self.visit, daemon, responder) for _ in range(2)]
                loop(parts, self.ended(*clients))
                self.served._wait_for_notes(2)

    def test_clients_come_and_go(self) -> None:
        for loop in LOOPS:
            with self.subTest(loop=loop.__name__):
                daemon = self.daemon()

                def come_and_go(uri: Any) -> None:
                    for number in range(5):
                        with Proxy(uri) as proxy:
                            self.assertEqual(number, proxy.echo(number))

                clients = [self.in_thread(come_and_go, daemon.uriFor("obj")) for _ in range(3)]
                loop([daemon], self.ended(*clients))
                loop([daemon], lambda daemon=daemon: len(daemon.gone) == 15)
                self.assertEqual([daemon.sock], daemon.sockets)

    def test_housekeeping_and_timeouts_come_with_the_ticks(self) -> None:
        self.configure(COMMTIMEOUT=0.3, POLLTIMEOUT=0.02)
        daemon = self.daemon()
        half_request = call_request("echo", 1)[:10]
        silent = [self.connect(daemon) for _ in range(2)]

        def begin_to_ask() -> None:
            for client in silent:
                client.greet().send(half_request)

        self.in_thread(begin_to_ask)
        by_timer([daemon], lambda: len(daemon.gone) == 2 and daemon.ticks > 2)

    def test_shutdown_inside_a_call(self) -> None:
        for loop in LOOPS:
            with self.subTest(loop=loop.__name__):
                daemon = self.daemon()
                answers: List[Any] = []

                def end(uri: Any, answers: List[Any] = answers) -> None:
                    with Proxy(uri) as proxy:
                        answers.append(proxy.shutdown())

                caller = self.in_thread(end, daemon.uriFor("obj"))
                loop([daemon], self.ended(caller))
                self.assertEqual(["shutting down"], answers)
                wait_until(lambda daemon=daemon: daemon.sock.fileno() == -1)
                self.assertEqual([], daemon.sockets)
                daemon.events([])  # a late event does no harm

    def test_shutdown_between_two_turns(self) -> None:
        for loop in LOOPS:
            with self.subTest(loop=loop.__name__):
                daemon, _, responder = parts = self.office()
                visitor = self.in_thread(self.visit, daemon, responder)
                loop(parts, self.ended(visitor))
                for part in (daemon, parts[1]):
                    part.shutdown()
                    wait_until(lambda part=part: part.sock.fileno() == -1)
                    self.assertEqual([], part.sockets)
                responder.close()
                loop(parts, iter([False, True]).__next__)  # nothing is left that it could wait for

    def test_shutdown_by_another_thread_while_it_turns(self) -> None:
        for loop in LOOPS:
            with self.subTest(loop=loop.__name__):
                daemon = self.daemon()
                turns: List[int] = []

                def ended(daemon: Any = daemon, turns: List[int] = turns) -> bool:
                    turns.append(1)
                    if len(turns) == 3:
                        self.join(self.in_thread(daemon.shutdown))
                    return not daemon.sockets

                loop([daemon], ended)
                daemon.close()
                with self.assertRaises(errors.CommunicationError), Proxy(daemon.uriFor("obj")) as proxy:
                    proxy.echo(1)

    def test_from_the_own_loop_to_the_request_loop(self) -> None:
        daemon = self.daemon()
        proxy = Proxy(daemon.uriFor("obj"))
        self.at_end.callback(proxy._pyroRelease)

        def echo(value: str) -> None:
            proxy._pyroClaimOwnership()
            self.assertEqual(value, proxy.echo(value))

        by_select([daemon], self.ended(self.in_thread(echo, "own loop")))
        self.run_loop(daemon)
        echo("request loop")  # over the same connection


class Combined(LoopTestCase):
    def combined(self) -> List[Any]:
        parts = self.office()
        for part in parts[1:]:
            parts[0].combine(part)
        return parts

    def test_in_the_request_loop(self) -> None:
        daemon, names, responder = self.combined()
        thread = self.run_loop(daemon)
        for visitor in [self.in_thread(self.visit, daemon, responder) for _ in range(2)]:
            self.join(visitor)
        daemon.shutdown()
        self.join(thread)
        self.assertEqual((-1, -1), (daemon.sock.fileno(), names.sock.fileno()))

    def test_ending_one_part(self) -> None:
        daemon, names, _ = self.combined()
        thread = self.run_loop(daemon)
        names.shutdown()
        wait_until(lambda: names.sock.fileno() == -1)
        with Proxy(daemon.uriFor("obj")) as proxy:
            self.assertEqual(1, proxy.echo(1))
            with self.assertRaises(errors.NamingError):
                locate_ns("127.0.0.1", int(str(names.locationStr).rsplit(":", 1)[1]))
            self.assertEqual("shutting down", proxy.shutdown())
        self.join(thread)

    def test_different_server_types(self) -> None:
        daemon = self.daemon()
        config.SERVERTYPE = "thread" if self.servertype == "multiplex" else "multiplex"
        other = self.daemon()
        daemon.combine(other)
        self.run_loop(daemon)
        for part in (daemon, other):
            with Proxy(part.uriFor("obj")) as proxy:
                self.assertEqual(LARGE, len(proxy.large(LARGE)))

    def test_in_loops_of_the_program(self) -> None:
        for loop in (by_timer, by_select):
            with self.subTest(loop=loop.__name__):
                daemon, _, responder = self.combined()
                loop([daemon], self.ended(self.in_thread(self.visit, daemon, responder)))

    def test_after_a_loop_of_the_program_has_served_each(self) -> None:
        daemon, names, responder = parts = self.office()
        by_select(parts, self.ended(self.in_thread(self.visit, daemon, responder)))
        daemon.combine(names)
        daemon.combine(responder)
        self.run_loop(daemon)
        self.join(self.in_thread(self.visit, daemon, responder))


class Conditions(LoopTestCase):
    def test_it_ends_after_the_call_that_changed_the_condition(self) -> None:
        daemon = self.daemon()
        thread = self.run_loop(daemon, lambda: len(self.served._notes) < 3)
        with Proxy(daemon.uriFor("obj")) as proxy:
            for number in range(3):
                proxy.note(number)
            self.join(thread)
            self.run_loop(daemon)  # nothing was closed: it can go on
            self.assertEqual("still connected", proxy.echo("still connected"))

    def test_it_is_asked_without_any_client(self) -> None:
        self.configure(POLLTIMEOUT=0.01)
        asked: List[int] = []
        daemon = self.daemon()
        daemon.requestLoop(lambda: asked.append(1) or len(asked) < 4)  # type: ignore[func-returns-value]
        self.assertEqual(4, len(asked))

    def test_a_condition_that_fails(self) -> None:
        daemon = self.daemon()
        with self.assertRaises(ZeroDivisionError):
            daemon.requestLoop(lambda: bool(1 / 0))
        self.run_loop(daemon)
        with Proxy(daemon.uriFor("obj")) as proxy:
            self.assertEqual(1, proxy.echo(1))

    def test_shutdown_comes_first(self) -> None:
        daemon = self.daemon()
        daemon.shutdown()
        daemon.requestLoop(lambda: self.fail("there is nothing to run any more"))
        self.assertEqual(-1, daemon.sock.fileno())


for base in (OwnLoops, Combined, Conditions):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, LoopTestCase


if __name__ == "__main__":
    unittest.main()
