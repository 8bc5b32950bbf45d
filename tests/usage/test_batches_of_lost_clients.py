"""A batch ends when the client that sent it has gone; a oneway batch does not."""
from __future__ import annotations

import contextlib
import threading
import unittest
from typing import List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._calls import batch_pieces
from Pyro5.api import BatchProxy, Daemon, Proxy, expose

from ..rawclient import PATIENCE_SECONDS, wait_until
from ..support import daemon_thread

CALLS = 200


@expose
class Work:
    def __init__(self) -> None:
        self.done: List[int] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def step(self, number: int) -> None:
        self.done.append(number)
        self.begun.set()
        self.go_on.wait(PATIENCE_SECONDS)


class LostClients(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        patched = mock.patch.object(batch_pieces, "CHECK_SECONDS", 0.0)
        patched.start()
        self.addCleanup(patched.stop)

    def run_batch(self, oneway: bool) -> Work:
        """Send a batch as a client that disconnects while its first call runs."""
        work = Work()
        with Daemon() as daemon:
            uri = daemon.register(work)
            with daemon_thread(daemon):
                proxy = Proxy(uri)
                batch = BatchProxy(proxy)
                for number in range(CALLS):
                    batch.step(number)
                proxy._pyroBind()
                sock = proxy._pyroConnection.sock
                sender = threading.Thread(target=self.send, args=(batch, oneway))
                sender.start()
                self.assertTrue(work.begun.wait(PATIENCE_SECONDS))
                sock.shutdown(2)
                sender.join(PATIENCE_SECONDS)
                work.go_on.set()
                wait_until(lambda: all(c.ended for c in list(daemon.transportServer._connections.values())))
        return work

    @staticmethod
    def send(batch: BatchProxy, oneway: bool) -> None:
        with contextlib.suppress(errors.CommunicationError):
            batch(oneway=oneway)

    def test_it_ends(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            with self.subTest(config.SERVERTYPE):
                self.assertLessEqual(len(self.run_batch(oneway=False).done), batch_pieces.CHECK_STEPS)

    def test_oneway_batches_are_run_to_their_end(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            with self.subTest(config.SERVERTYPE):
                self.assertEqual(list(range(CALLS)), self.run_batch(oneway=True).done)


if __name__ == "__main__":
    unittest.main()
