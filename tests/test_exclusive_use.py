"""Exclusive use of objects: what threads of the owner, other clients, late calls and lost connections do to it."""
from __future__ import annotations

import threading
import unittest
from typing import Any, List

from Pyro5 import errors, protocol
from Pyro5.api import Daemon, Proxy, expose
from Pyro5.constants import ACQUIRE_METHOD, DAEMON_NAME
from Pyro5.nameserver import NameServerDaemon

from .rawclient import PATIENCE_SECONDS, wait_until
from .support import daemon_thread
from .test_shared_failures import MachineTestCase


class ExclusiveTestCase(MachineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.owner = self.proxy()
        self.other = self.proxy()

    def holders(self) -> Any:
        return self.server._dispatcher.exclusive.holders

    def check_others_are_refused(self) -> None:
        with self.assertRaisesRegex(errors.BusyError, "in exclusive use by another client"):
            self.other.echo(1)

    def check_released(self) -> None:
        wait_until(lambda: not self.holders(), "the release")
        self.assertEqual(2, self.other.echo(2))


class Threads(ExclusiveTestCase):
    def test_blocks_of_two_threads_overlap(self) -> None:
        first_inside, first_left = threading.Event(), threading.Event()

        def first() -> None:
            with self.owner._pyroExclusive():
                first_inside.set()
                second_inside.wait(PATIENCE_SECONDS)
            first_left.set()

        second_inside = threading.Event()
        thread = self.in_thread(first)
        self.assertTrue(first_inside.wait(PATIENCE_SECONDS))
        with self.owner._pyroExclusive():
            second_inside.set()
            self.assertTrue(first_left.wait(PATIENCE_SECONDS))
            self.check_others_are_refused()
            results: List[int] = []
            threads = [self.in_thread(lambda number=number: results.append(self.owner.echo(number))) for number in range(4)]
            for each in threads:
                self.join(each)
            self.assertEqual([0, 1, 2, 3], sorted(results))
        self.join(thread)
        self.check_released()
        self.assertIsNone(self.owner._pyro.exclusive)

    def test_a_block_begins_when_the_calls_of_other_threads_have_ended(self) -> None:
        self.owner._pyroBind()
        threads = [self.busy(self.owner) for _ in range(2)]
        with self.assertRaisesRegex(errors.TimeoutError, "while"), self.owner._pyroExclusive(timeout=0.05):
            self.fail("calls are running")
        self.assertEqual({}, self.holders())
        self.machine.gate.set()
        with self.owner._pyroExclusive(timeout=PATIENCE_SECONDS):
            self.check_others_are_refused()
        for thread in threads:
            self.join(thread)

    def test_the_end_of_a_block_while_another_thread_is_calling(self) -> None:
        self.owner._pyroTimeout = 0.05
        with self.owner._pyroExclusive():
            thread = self.in_thread(self.owner.wait.options(timeout=PATIENCE_SECONDS))
            self.assertTrue(self.machine.entered.acquire(timeout=PATIENCE_SECONDS))
        self.check_others_are_refused()
        self.machine.gate.set()
        self.join(thread)
        self.check_released()


class OtherClients(ExclusiveTestCase):
    def test_a_block_begins_when_their_calls_have_ended(self) -> None:
        thread = self.busy(self.other)
        with self.assertRaisesRegex(errors.BusyError, "calls of other clients are still running"):
            with self.owner._pyroExclusive(timeout=0.05):
                self.fail("a call is running")
        self.check_released()
        began = threading.Event()

        def hold() -> None:
            with self.owner._pyroExclusive(timeout=PATIENCE_SECONDS):
                began.set()

        holding = self.in_thread(hold)
        wait_until(self.holders, "the reservation")
        third = self.proxy()
        with self.assertRaises(errors.BusyError):
            third.echo(3)  # no more calls begin
        self.assertFalse(began.is_set())
        self.machine.gate.set()
        self.assertTrue(began.wait(PATIENCE_SECONDS))
        self.join(holding)
        self.join(thread)

    def test_a_oneway_call_cannot_acquire_an_object(self) -> None:
        self.owner._pyroInvoke(ACQUIRE_METHOD, ["machine"], {}, flags=protocol.FLAGS_ONEWAY, objectId=DAEMON_NAME)
        self.owner._pyroRelease()
        self.check_released()

    def test_a_method_that_acquires_its_own_object(self) -> None:
        proxy, uri = self.proxy, self.uri

        @expose
        class Calling:
            def answer(self) -> Any:
                with proxy(uri)._pyroExclusive(timeout=PATIENCE_SECONDS):
                    return "acquired"

        callbacks = self.daemon(Daemon)
        calling = Calling()
        callbacks.register(calling)
        self.run_loop(callbacks)
        self.assertEqual("acquired", self.owner.call_back(calling))
        self.check_released()


class Endings(ExclusiveTestCase):
    def test_a_method_that_is_late_releases_what_it_has_acquired(self) -> None:
        late = threading.Event()
        owner = self.owner

        @expose
        class Late:
            def work(self) -> None:
                with owner._pyroExclusive():
                    late.wait(PATIENCE_SECONDS)

        server = self.daemon(Daemon)
        uri = server.register(Late())
        self.run_loop(server)
        with Proxy(uri) as proxy:
            proxy._pyroBind()
            with self.assertRaises(errors.TimeoutError):
                proxy.work.options(timeout=0.1)()
            late.set()
            self.check_released()
        self.assertIsNotNone(self.owner._pyroConnection)

    def test_calls_in_a_block_whose_connection_was_lost(self) -> None:
        with self.assertRaisesRegex(errors.ConnectionClosedError, "the exclusive use of .* has ended"):
            with self.owner._pyroExclusive():
                self.owner._pyroRelease()
                self.owner.echo(1)
        self.check_released()
        self.assertEqual(3, self.owner.echo(3))

    def test_a_callback_of_a_call_in_flight_cannot_begin_a_block(self) -> None:
        proxy = self.session()

        @expose
        class Answering:
            def answer(self) -> Any:
                with proxy._pyroExclusive(timeout=PATIENCE_SECONDS):
                    return "acquired"

        callbacks = self.daemon(Daemon)
        answering = Answering()
        callbacks.register(answering)
        self.run_loop(callbacks)
        with self.assertRaisesRegex(errors.PyroError, "cannot begin in a callback"):
            proxy.call_back(answering)

    def test_the_name_of_the_object_is_kept(self) -> None:
        names = NameServerDaemon("127.0.0.1", 0)
        with daemon_thread(names):
            names.nameserver.register("machine", self.uri)
            with Proxy("PYRONAME:machine@" + names.locationStr) as proxy:
                with proxy._pyroExclusive():
                    self.check_others_are_refused()
                self.assertEqual("PYRONAME", proxy._pyroUri.protocol)


if __name__ == "__main__":
    unittest.main()
