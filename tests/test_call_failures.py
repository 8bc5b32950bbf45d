"""Calls with options, futures and streams when something goes wrong: forks, nested calls, replaced hooks, busy servers."""
from __future__ import annotations

import os
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors
from Pyro5._client import link
from Pyro5.api import Daemon, Proxy, Retry, expose

from .peers import Peer, ScriptedServer, free_port
from .rawclient import PATIENCE_SECONDS, ServerTestCase, wait_until
from .test_shared_failures import MachineTestCase

QUICK = {"first": 0.001, "most": 0.002}


@expose
class Workshop:
    def __init__(self) -> None:
        self.calls: List[str] = []
        self.other: Any = None

    def slow(self) -> str:
        threading.Event().wait(0.1)
        return "done"

    def busy(self) -> None:
        self.calls.append("busy")
        raise errors.BusyError("out of paint", retry_after=0.001)

    @property
    def state(self) -> str:
        self.calls.append("state")
        raise errors.BusyError("out of paint", retry_after=0.001)

    def order(self) -> Any:
        self.calls.append("order")
        return self.other.busy()


class WorkshopTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.workshop = Workshop()
        self.server = self.daemon(Daemon)
        self.uri = self.server.register(self.workshop, "workshop")
        self.run_loop(self.server)
        self.proxy = Proxy(self.uri)
        self.at_end.callback(self.proxy._pyroRelease)


class Timeouts(WorkshopTestCase):
    def test_that_of_a_call_replaces_that_of_the_proxy(self) -> None:
        self.proxy._pyroBind()
        self.proxy._pyroTimeout = 0.02
        self.assertEqual("done", self.proxy.slow.options(timeout=PATIENCE_SECONDS)())
        with self.assertRaises(errors.TimeoutError):
            self.proxy.slow()

    def test_waiting_for_a_server_ends_with_that_of_the_proxy(self) -> None:
        proxy = Proxy("PYRO:thing@127.0.0.1:%d" % free_port(), timeout=0.05)
        proxy._pyroMethods = {"move"}
        with self.assertRaisesRegex(errors.TimeoutError, "is not ready in time: cannot connect"):
            proxy.move.options(wait_for_ready=True)()


class BusyMethods(WorkshopTestCase):
    """A method that raises BusyError itself has begun, so it is not called again."""

    def check(self, expected: str, call: Any) -> None:
        self.workshop.calls.clear()
        with self.assertRaisesRegex(errors.BusyError, "out of paint") as caught:
            call()
        self.assertEqual(([expected], True), (self.workshop.calls, caught.exception.started))

    def test_it_raises_the_error_itself(self) -> None:
        self.proxy._pyroRetry = Retry(**QUICK)
        self.check("busy", self.proxy.busy)
        self.check("busy", self.proxy.busy.options(retry=None, timeout=PATIENCE_SECONDS))
        self.check("state", lambda: self.proxy.state)

    def test_an_object_that_it_calls_raises_the_error(self) -> None:
        other = Workshop()
        server = self.daemon(Daemon)
        self.workshop.other = Proxy(server.register(other))
        self.run_loop(server)
        self.at_end.callback(self.workshop.other._pyroRelease)
        self.proxy._pyroRetry = Retry(**QUICK)
        self.check("order", self.proxy.order)
        self.check("order", self.proxy.order.options(timeout=PATIENCE_SECONDS))

    def test_a_refused_call_has_not_started(self) -> None:
        with Proxy(self.uri) as owner, owner._pyroExclusive(), self.assertRaises(errors.BusyError) as caught:
            self.proxy.slow()
        self.assertFalse(caught.exception.started)


class StrictProxies(WorkshopTestCase):
    def test_futures_of_the_owner(self) -> None:
        self.configure(PROXY_SHARING="strict")
        with Proxy(self.uri) as proxy:
            self.assertEqual("done", proxy.slow.future().result(PATIENCE_SECONDS))
            found: List[Any] = []

            def use() -> None:
                try:
                    proxy.slow.future()
                except errors.PyroError as x:
                    found.append(x)

            thread = threading.Thread(target=use)
            thread.start()
            self.join(thread)
            self.assertIn("not the owner", str(found[0]))
            self.assertEqual("done", proxy.slow())


class ReplacedHooks(WorkshopTestCase):
    def test_options_of_a_proxy_with_a_hook_of_its_own(self) -> None:
        original = self.proxy._pyroInvoke
        seen: List[str] = []

        def invoke(name: str, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return original(name, *args, **kwargs)

        self.proxy._pyroInvoke = invoke
        self.assertEqual("done", self.proxy.slow.options(timeout=PATIENCE_SECONDS)())
        self.assertEqual("done", self.proxy.slow.future().result(PATIENCE_SECONDS))
        self.proxy.slow.tell()
        self.assertEqual(["slow"] * 3, seen)

    def test_methods_without_a_proxy_have_no_options(self) -> None:
        method = type(self.proxy.slow)(mock.Mock(), "slow")
        with self.assertRaisesRegex(TypeError, "without a proxy"):
            method.options(timeout=1)


class Cancellations(unittest.TestCase):
    def test_a_cancelled_call_is_not_repeated(self) -> None:
        error = errors.not_sent(errors.CancelledError("the call was cancelled before it was sent"))
        self.assertFalse(Retry(unsafe=True).allows(error, idempotent=True))

    def test_a_server_that_does_not_answer_keeps_no_thread(self) -> None:
        def first(peer: Peer) -> None:
            peer.send(2, peer.read(), {"handshake": "hello", "meta": {
                "methods": ["work"], "oneway": [], "attrs": [], "session": False}}, annotations={"FEAT": b"dl cx"})
            held.append(peer.read_call())
            begun.set()
            released.wait(PATIENCE_SECONDS)

        def silent(peer: Peer) -> None:
            peer.read()
            peer.wait_for_close()

        held: List[Any] = []
        begun, released = threading.Event(), threading.Event()
        with mock.patch.object(link, "CANCEL_SECONDS", 0.05), ScriptedServer(first, silent) as server:
            proxy = Proxy(server.uri)
            future = proxy.work.future()
            self.assertTrue(begun.wait(PATIENCE_SECONDS))
            with self.assertLogs("Pyro5.link", "INFO") as logged:
                self.assertTrue(future.cancel())
                wait_until(lambda: not proxy._pyro._created["cancellations"]._threads, "the end of the cancellation")
            self.assertIn("cannot be cancelled on the server", logged.output[-1])
            released.set()
            proxy._pyroRelease()
            wait_until(lambda: not proxy._pyro.background._threads, "the end of the call")


class NestedFutures(MachineTestCase):
    def test_a_future_in_a_callback_does_not_wait_for_the_call_that_it_is_part_of(self) -> None:
        proxy = self.session()
        proxy.echo(1)
        waiting: List[Any] = []

        @expose
        class Answering:
            def answer(inner) -> Any:
                waiting.append(proxy.echo.future("queued"))
                return proxy.echo.future("nested").result(PATIENCE_SECONDS)

        callbacks = self.daemon(Daemon)
        answering = Answering()
        callbacks.register(answering)
        self.run_loop(callbacks)
        self.assertEqual("nested", proxy.call_back.future(answering).result(PATIENCE_SECONDS))
        self.assertEqual("queued", waiting[0].result(PATIENCE_SECONDS))


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Forks(MachineTestCase):
    def in_child(self, work: Any) -> None:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if work() else 1)
            except BaseException:
                os._exit(2)
        self.assertEqual(0, os.waitpid(child, 0)[1])

    def test_futures_of_a_child_while_calls_of_the_parent_run(self) -> None:
        proxy = self.session()
        future = proxy.wait.future()
        self.assertTrue(self.machine.entered.acquire(timeout=PATIENCE_SECONDS))
        self.in_child(lambda: proxy.echo.future(3).result(5) == 3)
        self.machine.gate.set()
        self.assertEqual("waited", future.result(PATIENCE_SECONDS))

    def test_a_child_that_drops_a_stream_does_not_close_that_of_the_parent(self) -> None:
        proxy = self.proxy()
        streams = [proxy.parts(3)]
        self.assertEqual(0, next(streams[0]))

        def drop() -> bool:
            proxy.echo(1)
            streams.clear()
            return bool(proxy.echo(2))

        self.in_child(drop)
        self.assertEqual([1, 2], list(streams[0]))

    def test_a_child_goes_on_with_a_stream_that_another_thread_was_reading(self) -> None:
        proxy = self.proxy()
        stream = proxy.parts(3)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with stream._lock:
                held.set()
                release.wait(PATIENCE_SECONDS)

        thread = self.in_thread(hold)
        self.assertTrue(held.wait(PATIENCE_SECONDS))
        self.in_child(lambda: proxy.echo(1) and list(stream) == [0, 1, 2])
        release.set()
        self.join(thread)


if __name__ == "__main__":
    unittest.main()
