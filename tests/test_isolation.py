"""What one program, process or client does must not reach into another one: forks, nested loops, the surrounding context."""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
import unittest
import uuid
import warnings
import weakref
from typing import Any, Iterator
from unittest import mock

import Pyro5.api as pyro
from Pyro5 import config, errors, protocol, serializers
from Pyro5._messages import replies, requests
from Pyro5._messages.replies import ExceptionWrapper
from Pyro5._server.workers import WorkerPool

from .support import daemon_thread


@pyro.expose
@pyro.behavior(instance_mode="single")
class Target:
    def ping(self) -> str:
        return "pong"

    def call(self, proxy: Any) -> Any:
        with proxy:
            return proxy.leave()

    def fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            sys.exit(0)  # leaves through the daemon's with statement, in a process that does not own it
        return pid

    def odd(self) -> None:
        raise Odd("odd")


class Odd(Exception):
    """An exception that fails whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pyro.expose
@pyro.behavior(instance_mode="single")
class Leaving:
    def leave(self) -> None:
        raise SystemExit(7)


class IsolationTests(unittest.TestCase):
    servertype = "multiplex"

    def setUp(self) -> None:
        before = config.SERVERTYPE
        config.SERVERTYPE = self.servertype
        self.addCleanup(setattr, config, "SERVERTYPE", before)

    def test_exceptions_that_fail_when_they_are_looked_at_are_answered(self) -> None:
        with pyro.Daemon() as daemon, daemon_thread(daemon), pyro.Proxy(daemon.register(Target)) as proxy:
            with self.assertLogs("Pyro5", "WARNING"), self.assertRaises(errors.PyroError) as caught:
                proxy.odd()
            self.assertIn("Odd", str(caught.exception))
            self.assertEqual("pong", proxy.ping())

    def test_annotations_that_raise_are_answered(self) -> None:
        class Annotating(pyro.Daemon):
            broken = False

            def annotations(self) -> Any:
                if self.broken:
                    raise ValueError("no annotations today")
                return {}

        with Annotating() as daemon, daemon_thread(daemon), pyro.Proxy(daemon.register(Target)) as proxy:
            proxy._pyroBind()
            daemon.broken = True
            with self.assertLogs("Pyro5", "WARNING"), self.assertRaisesRegex(ValueError, "no annotations today"):
                proxy.ping()
            daemon.broken = False
            self.assertEqual("pong", proxy.ping())

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_that_leaves_does_not_end_its_parent(self) -> None:
        if self.servertype == "thread":
            self.skipTest("a fork in a worker thread leaves through the thread's end, not through the with statement")
        ready, started = os.pipe()
        server = os.fork()
        if server == 0:
            self.serve_in_child(started)
        os.close(started)
        self.addCleanup(os.waitpid, server, 0)
        self.addCleanup(os.kill, server, signal.SIGKILL)
        with os.fdopen(ready) as lines:
            uri = lines.readline().strip()
        with pyro.Proxy(uri) as other, pyro.Proxy(uri) as caller:
            caller._pyroTimeout = other._pyroTimeout = 10
            other.ping()
            self.assertGreater(caller.fork(), 0)
            self.assertEqual("pong", caller.ping())
            self.assertEqual("pong", other.ping())

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_lets_go_of_a_daemon_whose_loop_is_its_parents(self) -> None:
        with pyro.Daemon() as daemon, daemon_thread(daemon), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads, which the child does not miss
            child = os.fork()
            if child == 0:
                self.close_in_child(daemon)
            self.assertEqual(0, os.waitpid(child, 0)[1])
            with pyro.Proxy(daemon.register(Target)) as proxy:
                self.assertEqual("pong", proxy.ping())

    @staticmethod
    def close_in_child(daemon: Any) -> None:
        try:
            begun = time.monotonic()
            daemon.close()
            os._exit(daemon.sock.fileno() != -1 or time.monotonic() - begun > 2)  # it would wait for longer
        finally:
            os._exit(2)

    @staticmethod
    def serve_in_child(started: int) -> None:
        try:
            with pyro.Daemon() as daemon:
                os.write(started, b"%s\n" % str(daemon.register(Target)).encode())
                os.close(started)
                daemon.requestLoop()
        finally:
            os._exit(0)


class ThreadIsolationTests(IsolationTests):
    servertype = "thread"


class ContextTests(unittest.TestCase):
    def setUp(self) -> None:
        before = config.SERVERTYPE
        config.SERVERTYPE = "multiplex"
        self.addCleanup(setattr, config, "SERVERTYPE", before)

    def test_serving_leaves_the_context_of_the_program_alone(self) -> None:
        context = pyro.current_context
        correlation_id = uuid.uuid4()
        with pyro.Daemon() as daemon:
            uri = daemon.register(Target)
            client = threading.Thread(target=self.ping_and_stop, args=(uri, daemon))
            client.start()
            context.correlation_id = correlation_id
            context.annotations = {"MINE": b"x"}
            try:
                daemon.requestLoop()
                self.assertEqual(correlation_id, context.correlation_id)
                self.assertEqual({"MINE": b"x"}, context.annotations)
            finally:
                context.correlation_id = None
                context.annotations = {}
                client.join()

    @staticmethod
    def ping_and_stop(uri: Any, daemon: Any) -> None:
        with pyro.Proxy(uri) as proxy:
            proxy.ping()
        daemon.shutdown()


class WhatComesOverTheNetworkTests(unittest.TestCase):
    def test_a_remote_exit_is_an_ordinary_error_in_a_batch(self) -> None:
        with self.assertRaises(errors.PyroError) as caught:
            ExceptionWrapper(SystemExit(3)).raise_it()
        self.assertEqual("builtins.SystemExit", caught.exception.remote_class)  # type: ignore[attr-defined]

    def test_a_remote_exit_is_an_ordinary_error(self) -> None:

        serializer = serializers.get_serializer("serpent")
        to = replies.ReplyTo(1, serializer, bytes(16), {}, requests.WireOptions())
        sent = replies.exception_reply(to, KeyboardInterrupt(), [])
        message = protocol.ReceivingMessage(sent.data[:40], sent.data[40:])
        with self.assertRaises(errors.PyroError):
            replies.parse_reply(message, serializer)


class CombineTests(unittest.TestCase):
    def combinations(self) -> Iterator[Any]:
        with pyro.Daemon() as one, pyro.Daemon() as two, pyro.Daemon() as closed:
            closed.close()
            one.combine(two)
            yield from ((one, two), (one, one), (two, one), (one, closed))

    def test_misuse_is_refused_and_harms_nothing(self) -> None:
        for master, other in self.combinations():
            with self.assertRaises(ValueError):
                master.combine(other)

    def test_a_second_thread_cannot_run_the_same_loop(self) -> None:
        with pyro.Daemon() as daemon, daemon_thread(daemon), pyro.Proxy(daemon.register(Target)) as proxy:
            self.assertEqual("pong", proxy.ping())
            with self.assertRaises(errors.DaemonError):
                daemon.requestLoop()


class PoolTests(unittest.TestCase):
    def test_a_system_without_threads_to_spare_delays_jobs_only(self) -> None:
        pool = WorkerPool(1, 10, "test")
        self.addCleanup(pool.stop, 5)
        pool.start()
        go_on, done = threading.Event(), threading.Semaphore(0)
        pool.submit(go_on.wait)
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("no more threads")), \
                self.assertLogs("Pyro5.server.workers", "WARNING"):
            pool.submit(done.release)
        go_on.set()
        self.assertTrue(done.acquire(timeout=5))
        self.assertEqual(1, len(pool))

    def test_without_any_thread_the_job_is_refused(self) -> None:
        pool = WorkerPool(0, 10, "test")
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("no more threads")), \
                self.assertRaises(RuntimeError):
            pool.submit(lambda: None)
        self.assertEqual((0, False), (len(pool), pool.jobs_waiting))


class RegisterTests(unittest.TestCase):
    def test_an_id_that_fits_no_uri_leaves_nothing_behind(self) -> None:
        with pyro.Daemon() as daemon:
            for object_id in (" ", "a\nb", "PYRO:x@h:1", "\ud800"):
                target = Target()
                with self.subTest(object_id), self.assertRaises((errors.PyroError, UnicodeEncodeError)):
                    daemon.register(target, object_id)
                daemon.register(target)

    def test_weak_registrations_that_are_taken_back_leave_nothing_behind(self) -> None:

        target = Target()
        with pyro.Daemon() as daemon:
            daemon.register(target, weak=True)
            daemon.unregister(target)
            gone = weakref.ref(daemon._objects)
        del daemon
        self.assertIsNone(gone() and next((f for f in weakref.finalize._registry if f.peek()  # type: ignore[attr-defined]
                                           and f.peek()[0] is target), None))


if __name__ == "__main__":
    unittest.main()
