"""Calls of every kind, on both server types: oneway, streams and their settings, attributes, callbacks, circles of calls."""
from __future__ import annotations

import contextlib
import threading
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import errors, serializers
from Pyro5._calls import streams as stream_table
from Pyro5._objects.exposure import callback, expose, oneway
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from tests.rawclient import PATIENCE_SECONDS, ServerTestCase, call_request, for_both_types, wait_until

SHORT_SECONDS = 0.05
ONEWAY_CALLS = 50


class CountDown:
    """An iterator that is no generator, and has nothing to close."""

    def __init__(self, start: int) -> None:
        self._left = start

    def __iter__(self) -> CountDown:
        return self

    def __next__(self) -> int:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._left + 1


@expose
class Desk:
    """What the clients of this module call; private names are for the tests themselves."""

    def __init__(self) -> None:
        self._freed = threading.Event()
        self._ran_in: List[str] = []
        self._heard: List[Any] = []
        self._items: List[int] = [3, 1, 2]

    @oneway
    def note_thread(self) -> None:
        self._ran_in.append(threading.current_thread().name)

    def thread(self) -> str:
        return threading.current_thread().name

    def count(self) -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self._freed.set()

    def count_down(self, start: int) -> Iterator[int]:
        return CountDown(start)

    def lazily(self, kind: str) -> Any:
        return {"map": map(str, self._items), "reversed": reversed(self._items), "zip": zip("abc", self._items),
                "list": list(self._items), "range": range(3)}[kind]

    @property
    def numbers(self) -> Iterator[int]:
        return iter(self._items)

    def sorted(self) -> Any:
        """Return the items, by a name that a builtin has too."""
        return sorted(self._items)

    def ring(self, bell: Any, times: int) -> List[Any]:
        """Call back an object of the client."""
        with bell:
            return [bell.ring(number) for number in range(times)]

    def ring_broken(self, bell: Any) -> str:
        with bell:
            try:
                bell.ring_and_fail()
            except ZeroDivisionError as x:
                return "the bell said: %s" % x
        return "nothing"

    def pass_on(self, stations: List[Any], value: Any) -> Any:
        """Call the next of the objects with the rest of them."""
        self._heard.append(value)
        if not stations:
            return [value]
        with stations[0] as station:
            return [value, *station.pass_on(stations[1:], value + 1)]

    @oneway
    def pass_on_later(self, stations: List[Any], value: Any) -> None:
        self._heard.append(value)
        if stations:
            with stations[0] as station:
                station.pass_on_later(stations[1:], value + 1)


@expose
class Bell:
    """An object of the client; its methods are called by the server."""

    def __init__(self) -> None:
        self._rung: List[Any] = []

    def ring(self, number: int) -> str:
        self._rung.append(number)
        return "ring %d" % number

    @callback
    def ring_and_fail(self) -> float:
        return 1 / 0


@expose
class Keywords:
    """Takes whatever it is given by name."""

    def give(self_, **values: int) -> Any:  # noqa: N805
        return values


@expose
class Visitor:
    """An object that keeps a proxy from one call to the next; private names are for the tests themselves."""

    def __init__(self) -> None:
        self._staying = threading.Event()
        self._go = threading.Event()

    def stay(self) -> None:
        self._staying.set()
        self._go.wait(PATIENCE_SECONDS)

    def meet(self, desk: Any) -> None:
        self._desk = desk

    def talk(self) -> Any:
        return [self._desk.sorted(), threading.get_ident()]


class DeskTestCase(ServerTestCase):
    def serve_desk(self, **settings: Any) -> Any:
        """Start a server, and give a proxy for its desk."""
        server = self.serving(**settings)
        self.desk = Desk()
        server.register(self.desk, "desk")
        return self.proxy(server.uriFor("desk"))

    def proxy(self, uri: Any) -> Any:
        proxy = Proxy(uri)
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")


class KeywordArguments(DeskTestCase):
    def test_they_may_have_any_name(self) -> None:
        values = {"self": 1, "name": 2, "args": 3, "kwargs": 4, "flags": 5}
        server = self.serving()
        proxy = self.proxy(server.register(Keywords()))
        self.assertEqual(values, proxy.give(**values))
        batch = BatchProxy(proxy)
        batch.give(**values)
        self.assertEqual([values], list(batch()))


class OnewayCalls(DeskTestCase):
    def test_with_and_without_threads_of_their_own(self) -> None:
        for threaded in (True, False):
            proxy = self.serve_desk(ONEWAY_THREADED=threaded)
            self.assertIsNone(proxy.note_thread())
            self.assertIsNone(proxy.note_thread())
            wait_until(lambda: len(self.desk._ran_in) == 2)
            self.assertEqual([threaded, threaded], [name.startswith("Pyro-oneway") for name in self.desk._ran_in])
            self.assertFalse(proxy.thread().startswith("Pyro-oneway"))

    def test_without_threads_the_next_call_waits_for_them(self) -> None:
        proxy = self.serve_desk(ONEWAY_THREADED=False)
        for _ in range(ONEWAY_CALLS):
            proxy.note_thread()
        proxy.thread()
        self.assertEqual(ONEWAY_CALLS, len(self.desk._ran_in))

    def test_what_was_sent_before_a_release_still_runs(self) -> None:
        for threaded in (True, False):
            proxy = self.serve_desk(ONEWAY_THREADED=threaded)
            for _ in range(ONEWAY_CALLS):
                proxy.note_thread()
            proxy._pyroRelease()
            wait_until(lambda: len(self.desk._ran_in) == ONEWAY_CALLS)

    def test_the_context_outlives_the_connection(self) -> None:
        gone = threading.Event()
        seen: List[Any] = []

        @expose
        class Late:
            @oneway
            def look(self) -> None:
                if gone.wait(PATIENCE_SECONDS):
                    seen.append((current_context.client_sock_addr, str(current_context.correlation_id),
                                 dict(current_context.annotations)))

        server = self.serving()
        with Proxy(server.register(Late())) as proxy:
            proxy._pyroBind()
            address = proxy._pyroLocalSocket
            current_context.annotations = {"LATE": b"still here"}
            self.addCleanup(setattr, current_context, "annotations", {})
            proxy.look()
        server.wait_for_gone(1)
        gone.set()
        wait_until(lambda: seen)
        self.assertEqual(address, seen[0][0])
        self.assertEqual({"LATE": b"still here"}, seen[0][2])

    def test_a_batch_of_them(self) -> None:
        batch = BatchProxy(self.serve_desk())
        for _ in range(ONEWAY_CALLS):
            batch.note_thread()
        self.assertIsNone(batch(oneway=True))
        wait_until(lambda: len(self.desk._ran_in) == ONEWAY_CALLS)


class Streaming(DeskTestCase):
    def test_every_kind_of_iterator(self) -> None:
        proxy = self.serve_desk()
        self.assertEqual([3, 2, 1], list(proxy.count_down(3)))
        self.assertEqual(["3", "1", "2"], list(proxy.lazily("map")))
        self.assertEqual([2, 1, 3], list(proxy.lazily("reversed")))
        self.assertEqual([("a", 3), ("b", 1), ("c", 2)], list(proxy.lazily("zip")))
        self.assertEqual([3, 1, 2], list(proxy.numbers))  # what a property gives
        self.assertEqual([3, 1, 2], proxy.lazily("list"))  # what is all there already comes as it is
        self.assertEqual([1, 2, 3], proxy.sorted())

    def test_switched_off(self) -> None:
        proxy = self.serve_desk(ITER_STREAMING=False)
        with self.assertRaisesRegex(errors.ProtocolError, "iterator.*ITER_STREAMING"):
            proxy.count()
        with self.assertRaisesRegex(errors.ProtocolError, "ITER_STREAMING"):
            proxy.numbers  # noqa: B018
        self.assertEqual([3, 1, 2], proxy.lazily("list"))

    def test_lifetime(self) -> None:
        stream = self.serve_desk(POLLTIMEOUT=0.01).count()
        self.assertEqual(0, next(stream))  # a generator that was never begun does not notice that it is closed
        self.configure(ITER_STREAM_LIFETIME=SHORT_SECONDS)
        with self.assertRaisesRegex(errors.PyroError, "expired"):
            for _ in stream:
                pass
        self.wait_for(self.desk._freed)

    def test_number_of_streams_of_one_client(self) -> None:
        proxy = self.serve_desk(MAX_STREAMS=2)
        other = self.proxy(proxy._pyroUri)
        streams = [proxy.count(), proxy.count()]
        with self.assertRaisesRegex(errors.PyroError, "MAX_STREAMS"):
            proxy.count()
        self.assertEqual([0, 0, 0], [next(stream) for stream in (*streams, other.count())])
        streams.pop().close()
        wait_until(lambda: self.can_count(proxy))

    def can_count(self, proxy: Any) -> bool:
        try:
            return next(proxy.count()) == 0
        except errors.PyroError:
            return False

    def test_reconnecting_goes_on_where_it_was(self) -> None:
        proxy = self.serve_desk()
        stream = proxy.count()
        self.assertEqual([0, 1], [next(stream), next(stream)])
        proxy._pyroRelease()
        with self.assertRaisesRegex(errors.ConnectionClosedError, "_pyroReconnect"):
            next(stream)
        proxy._pyroReconnect()
        self.assertEqual([2, 3], [next(stream), next(stream)])
        stream.close()
        self.wait_for(self.desk._freed)

    def test_after_the_linger_time_it_is_gone(self) -> None:
        for linger in (0.0, 0.01):
            proxy = self.serve_desk(ITER_STREAM_LINGER=linger, POLLTIMEOUT=0.01)
            stream = proxy.count()
            next(stream)
            proxy._pyroRelease()
            self.wait_for(self.desk._freed)
            proxy._pyroReconnect()
            with self.assertRaisesRegex(errors.PyroError, "terminated"):
                next(stream)

    def test_several_items_per_round_trip(self) -> None:
        proxy = self.serve_desk()
        self.configure(ITER_STREAM_BATCH=4)
        # A batch is sent when it is complete, or after this time, which passes sooner on a busy machine.
        self.at_end.enter_context(mock.patch.object(stream_table, "MAX_ITEMS_SECONDS", PATIENCE_SECONDS))
        for serializer in serializers.serializers:
            proxy._pyroSerializer = serializer
            stream = proxy.count()
            first = next(stream)
            fetched = proxy._pyroSeq
            following = [next(stream) for _ in range(3)]
            self.assertEqual((list(range(first, first + 4)), fetched), ([first, *following], proxy._pyroSeq))
            stream.close()

    def test_leaving_the_loop_frees_the_generator(self) -> None:
        for number in self.serve_desk().count():
            if number == 3:
                break
        self.wait_for(self.desk._freed)


class Callbacks(DeskTestCase):
    def own_daemon(self) -> Any:
        """Return a second daemon: the one of the client."""
        daemon = self.daemon()
        self.run_loop(daemon)
        return daemon

    def test_the_server_calls_an_object_of_the_client(self) -> None:
        proxy = self.serve_desk()
        bell = Bell()
        self.own_daemon().register(bell)
        self.assertEqual(["ring 0", "ring 1"], proxy.ring(bell, 2))  # it travels as a proxy
        self.assertEqual([0, 1], bell._rung)
        self.assertEqual(["ring 0"], proxy.ring(Proxy(bell._pyroDaemon.uriFor(bell)), 1))

    def test_its_errors_are_logged_where_it_lives(self) -> None:
        proxy = self.serve_desk()
        bell = Bell()
        self.own_daemon().register(bell)
        with self.assertLogs("Pyro5.server.dispatch", "WARNING") as logs:
            self.assertEqual("the bell said: division by zero", proxy.ring_broken(bell))
        (line,) = logs.output
        self.assertIn("ring_and_fail", line)
        self.assertIn("return 1 / 0", line)


class KeptProxies(DeskTestCase):
    def serve_visitor(self, visitor: Any) -> Any:
        """Start two servers; give a proxy for the visitor in one, who has met the desk in the other."""
        desk = self.serve_desk()
        server = self.daemon()
        proxy = self.proxy(server.register(visitor))
        self.run_loop(server)
        proxy.meet(desk)
        return proxy

    def test_for_the_calls_of_one_client(self) -> None:
        """A thread server runs calls of one client in other threads only if there are more clients than threads."""
        visitor = Visitor()
        with mock.patch("Pyro5.svr_threads.KEEP_SECONDS", 0.0005):
            self.configure(THREADPOOL_SIZE_MIN=1, THREADPOOL_SIZE=2)
            proxy = self.serve_visitor(visitor)
            before, _ = proxy.talk()
            with self.another_client_stays(visitor):
                after, _ = proxy.talk()
        self.assertEqual([[1, 2, 3]] * 2, [before, after])

    @contextlib.contextmanager
    def another_client_stays(self, visitor: Any) -> Iterator[None]:
        """Keep a thread of the server's pool at work; it is the one that was idle for the shortest time."""
        if self.servertype == "multiplex":
            yield
            return
        server = visitor._pyroDaemon.transportServer
        wait_until(lambda: not server.calls_running())
        with self.client(visitor._pyroDaemon) as other:
            other.send(call_request("stay", object_id=visitor._pyroId))
            self.wait_for(visitor._staying)
            try:
                yield
            finally:
                visitor._go.set()
            other.reply()

    def test_in_strict_mode_other_threads_are_refused(self) -> None:
        self.configure(PROXY_SHARING="strict")
        visitor = Visitor()
        proxy = self.serve_visitor(visitor)
        proxy.talk()
        with self.assertRaisesRegex(errors.PyroError, "not the owner"):
            visitor.talk()
        if self.servertype == "thread":
            visitor._desk._pyroClaimOwnership()
            self.assertEqual([1, 2, 3], visitor.talk()[0])
            with self.assertRaisesRegex(errors.PyroError, "not the owner"):
                proxy.talk()

    def test_the_first_user_becomes_the_owner(self) -> None:
        visitor = Visitor()
        self.serve_visitor(visitor)
        self.assertEqual([1, 2, 3], visitor.talk()[0])
        visitor._desk._pyroRelease()


class Circles(DeskTestCase):
    def stations(self, count: int) -> List[Any]:
        """Return objects in a daemon each, and proxies for them."""
        self.desks = [Desk() for _ in range(count)]
        proxies = []
        for desk in self.desks:
            daemon = self.daemon()
            proxies.append(self.proxy(daemon.register(desk)))
            self.run_loop(daemon)
        return proxies

    def test_from_server_to_server(self) -> None:
        first, second, third = self.stations(3)
        self.assertEqual([1, 2, 3], first.pass_on([second, third], 1))

    def test_a_circle_is_no_deadlock_with_threads(self) -> None:
        first, second = self.stations(2)
        if self.servertype == "thread":
            self.assertEqual([1, 2, 3, 4], first.pass_on([second, first, second], 1))

    def test_a_timeout_breaks_a_circle(self) -> None:
        self.configure(COMMTIMEOUT=SHORT_SECONDS)
        first, second = self.stations(2)
        if self.servertype == "multiplex":
            with self.assertRaises(errors.CommunicationError):
                first.pass_on([second, first], 1)
            wait_until(lambda: self.desks[0]._heard == [1])
        self.configure(COMMTIMEOUT=0.0)

    def test_oneway_calls_make_no_deadlock(self) -> None:
        first, second = self.stations(2)
        first.pass_on_later([second, first, second], 1)
        wait_until(lambda: [desk._heard for desk in self.desks] == [[1, 3], [2, 4]])


for base in (KeywordArguments, OnewayCalls, Streaming, Callbacks, KeptProxies, Circles):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, DeskTestCase
