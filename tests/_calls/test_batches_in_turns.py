"""On multiplex, a batch is interrupted for other clients; it goes on where it was, in its own context."""
from __future__ import annotations

import threading
import unittest
from typing import Any, List

from Pyro5 import errors
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.server import Daemon, expose

from ..peers import settings
from ..rawclient import RawClient, call_request, connected_to, wait_until
from ..support import PATIENCE_SECONDS

CALLS = 200
FLAGS_ONEWAY, FLAGS_BATCH = 4, 8


@expose
class Slow:
    """Its method takes longer than nothing, without waiting."""

    def __init__(self) -> None:
        self.done: List[int] = []
        self.annotated = 0

    def step(self, number: int) -> int:
        self.done.append(number)
        sum(range(20000))
        self.annotated += current_context.annotations.get("TEST") == b"annotation"
        return number

    def count(self) -> int:
        return len(self.done)

    def fail(self) -> None:
        raise ZeroDivisionError("on purpose")


class BatchesInTurns(unittest.TestCase):
    def setUp(self) -> None:
        self.slow = Slow()
        with settings(SERVERTYPE="multiplex"):
            self.daemon = Daemon("127.0.0.1")
        self.uri = self.daemon.register(self.slow, "slow")
        self.thread = threading.Thread(target=self.daemon.requestLoop)
        self.thread.start()
        self.addCleanup(self.thread.join, PATIENCE_SECONDS)
        self.addCleanup(self.daemon.close)

    def client(self) -> RawClient:
        client = RawClient(connected_to(self.daemon))
        self.addCleanup(client.close)
        return client.greet("slow")

    def batch(self, *last: Any, flags: int = FLAGS_BATCH) -> bytes:
        steps = [("step", [number], {}) for number in range(CALLS)]
        return call_request("<batch>", *steps, *last, object_id="slow", flags=flags)

    def wait_for_the_first(self) -> None:
        wait_until(lambda: bool(self.slow.done))

    def test_another_client_is_served_in_between(self) -> None:
        batching, other = self.client(), self.client()
        batching.send(self.batch())
        self.wait_for_the_first()
        self.assertLess(other.call("count", object_id="slow"), CALLS)
        self.assertEqual(list(range(CALLS)), batching.reply())
        self.assertEqual(list(range(CALLS)), self.slow.done)

    def test_two_batches_take_turns(self) -> None:
        clients = [self.client(), self.client()]
        for client in clients:
            client.send(self.batch())
        for client in clients:
            self.assertEqual(list(range(CALLS)), client.reply())
        self.assertNotEqual(list(range(CALLS)), self.slow.done[:CALLS])

    def test_the_next_request_waits(self) -> None:
        client = self.client()
        client.send(self.batch() + call_request("count", object_id="slow"))
        self.assertEqual(CALLS, len(client.reply()))
        self.assertEqual(CALLS, client.reply())

    def test_an_exception_after_an_interruption(self) -> None:
        with Proxy(self.uri) as proxy, self.assertLogs("Pyro5", "WARNING"):
            batch = BatchProxy(proxy)
            for number in range(CALLS):
                batch.step(number)
            batch.fail()
            batch.step(-1)
            results = batch()
            self.assertEqual(list(range(CALLS)), [next(results) for _ in range(CALLS)])
            with self.assertRaises(ZeroDivisionError):
                next(results)
        self.assertNotIn(-1, self.slow.done)

    def test_the_context_is_kept(self) -> None:
        with Proxy(self.uri) as proxy, Proxy(self.uri) as other:
            proxy._pyroBind()
            current_context.annotations = {"TEST": b"annotation"}
            self.addCleanup(setattr, current_context, "annotations", {})
            other.count()
            batch = BatchProxy(proxy)
            for number in range(CALLS):
                batch.step(number)
            self.assertEqual(CALLS, len(list(batch())))
        self.assertEqual(CALLS, self.slow.annotated)

    def test_a_client_that_disconnects(self) -> None:
        client, other = self.client(), self.client()
        client.send(self.batch() * 3)
        self.wait_for_the_first()
        client.close()
        wait_until(lambda: len(self.daemon.transportServer._connections) == 1)
        self.assertLess(other.call("count", object_id="slow"), 2 * CALLS)

    def test_a_oneway_batch_of_a_client_that_disconnects(self) -> None:
        client, other = self.client(), self.client()
        client.send(self.batch(flags=FLAGS_BATCH | FLAGS_ONEWAY))
        self.wait_for_the_first()
        client.close()
        self.assertLess(other.call("count", object_id="slow"), CALLS)
        wait_until(lambda: len(self.slow.done) == CALLS)

    def test_the_server_stops(self) -> None:
        client = self.client()
        client.send(self.batch())
        self.wait_for_the_first()
        self.daemon.shutdown()
        self.assertEqual(list(range(CALLS)), client.reply())
        with self.assertRaises((errors.CommunicationError, EOFError, OSError)):
            client.call("count", object_id="slow")


if __name__ == "__main__":
    unittest.main()
