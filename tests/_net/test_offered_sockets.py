"""The table of the sockets that clients have offered."""
from __future__ import annotations

import socket
import unittest
from unittest import mock

from Pyro5 import errors
from Pyro5._net import offered_sockets
from Pyro5._net.offered_sockets import OfferedSockets


class Table(unittest.TestCase):
    def setUp(self) -> None:
        self.table = OfferedSockets()
        self.addCleanup(self.table.close_all, self)

    def offer(self, host: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.table.expect(host, 10)
        self.table.add(host, ours, self)
        return ours

    def test_many_names_do_not_cost_others_their_sockets(self) -> None:
        honest = self.offer("honest")
        with mock.patch.object(offered_sockets, "MAX_CLIENTS", 5):
            for number in range(100):
                self.table.expect("name %d" % number, 10)  # and no socket follows
            self.assertLessEqual(len(self.table._by_host), 6)
            self.assertIn("name 99", self.table._by_host)
        with self.table.take("honest", 0) as taken:
            self.assertIs(honest, taken)

    def test_limits(self) -> None:
        for _ in range(offered_sockets.MAX_PER_CLIENT):
            self.offer("one")
        with self.assertRaises(errors.DaemonError):
            self.table.expect("one", 10)
        self.offer("another")
        self.offer("another")
        with self.assertRaises(errors.DaemonError):
            self.table.expect("a third one", 10)
        with self.assertRaises(ConnectionRefusedError):
            self.table.take("unknown", 0)


if __name__ == "__main__":
    unittest.main()
