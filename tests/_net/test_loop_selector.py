"""The selector of a server's loop reports what that of the standard library does."""
from __future__ import annotations

import selectors
import socket
import threading
import time
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5._net.busy_poll import _ONLY_READ, loop_selector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class LoopSelector(unittest.TestCase):
    def setUp(self) -> None:
        self.selector, self.other = loop_selector(), selectors.DefaultSelector()
        self.addCleanup(self.selector.close)
        self.addCleanup(self.other.close)

    def pair(self, events: int) -> Tuple[socket.socket, socket.socket]:
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        for selector in (self.selector, self.other):
            selector.register(there, events, (here, there))
        return here, there

    def selected(self) -> List[Tuple[Any, int]]:
        found = [sorted(selector.select(0), key=lambda item: item[0].fd) for selector in (self.other, self.selector)]
        self.assertEqual(*found)
        return found[1]

    def test_the_same_events(self) -> None:
        self.assertEqual([], self.selected())
        for events in (READ, WRITE, READ | WRITE):
            for ends in (False, True):
                here, there = self.pair(events)
                self.selected()
                here.send(b"x")
                self.selected()
                if ends:
                    here.close()
        self.assertEqual({READ, WRITE, READ | WRITE}, {events for _, events in self.selected()})
        for selector in (self.selector, self.other):
            selector.modify(there, WRITE, "changed")
        self.assertIn(("changed", WRITE), [(key.data, events) for key, events in self.selected()])

    def test_waiting(self) -> None:
        here, there = self.pair(READ)
        begin = time.monotonic()
        self.assertEqual([], self.selector.select(0.05))
        self.assertGreaterEqual(time.monotonic() - begin, 0.05)
        self.assertEqual([], self.selector.select(-1))  # not a wait without a limit
        timer = threading.Timer(0.05, here.send, (b"x",))
        timer.start()
        self.assertEqual([READ], [events for _, events in self.selector.select()])
        timer.join()

    def test_a_socket_that_is_unregistered_meanwhile(self) -> None:
        if not isinstance(self.selector, getattr(selectors, "EpollSelector", ())):
            self.skipTest("this system has no epoll")
        here, there = self.pair(READ)
        gone = mock.Mock(poll=lambda *args: [(12345, _ONLY_READ), (there.fileno(), _ONLY_READ)])
        here.send(b"x")
        with mock.patch.object(self.selector, "_selector", gone):
            self.assertEqual([READ], [events for _, events in self.selector.select(0)])

    def test_a_default_selector_that_was_replaced(self) -> None:
        with mock.patch.object(selectors, "DefaultSelector", selectors.SelectSelector):
            replaced = loop_selector()
        self.addCleanup(replaced.close)
        self.assertIs(selectors.SelectSelector, type(replaced))


if __name__ == "__main__":
    unittest.main()
