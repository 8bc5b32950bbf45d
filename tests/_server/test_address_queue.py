"""The queue that addresses share, and what of an address counts."""
from __future__ import annotations

import unittest
from typing import List

from Pyro5._server.address_queue import AddressQueue, address_key


class Keys(unittest.TestCase):
    def test_ipv4(self) -> None:
        self.assertEqual("192.0.2.1", address_key(("192.0.2.1", 1234)))
        self.assertEqual("192.0.2.1", address_key(("::ffff:192.0.2.1", 1234, 0, 0)))

    def test_the_network_of_an_ipv6_address(self) -> None:
        for address in ("2001:db8:0:7::1", "2001:db8:0:7:1:2:3:4", "2001:db8:0:7:ffff::"):
            self.assertEqual("2001:db8:0:7", address_key((address, 1, 0, 0)), address)
        self.assertEqual("2001:db8:0:0", address_key(("2001:db8::5", 1, 0, 0)))
        self.assertEqual("0:0:0:0", address_key(("::1", 1, 0, 0)))
        self.assertEqual("fe80:0:0:0", address_key(("fe80::1%eth0", 1, 0, 2)))

    def test_unix_domain_sockets(self) -> None:
        for address in ("", b"", "/tmp/client", b"\0abstract", None):
            self.assertEqual("", address_key(address))


class Order(unittest.TestCase):
    def setUp(self) -> None:
        self.queue = AddressQueue()

    def add(self, address: str, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            self.queue.add("%s%d" % (address, number), address)

    def taken(self) -> List[str]:
        return [self.queue.take() for _ in range(len(self.queue))]

    def test_one_address(self) -> None:
        self.add("a", 5)
        self.assertEqual(["a4", "a0", "a3", "a1", "a2"], self.taken())

    def test_each_address_has_the_same_share(self) -> None:
        self.add("a", 50)
        self.add("b", 3)
        self.add("c", 3)
        first = [name[0] for name in self.taken()[:9]]
        self.assertEqual([3, 3, 3], [first.count(address) for address in "abc"])

    def test_a_connection_behind_many_others_of_its_address(self) -> None:
        self.add("a", 500)
        self.queue.take()
        self.add("a", 1, first=500)
        self.assertIn("a500", [self.queue.take(), self.queue.take()])

    def test_an_address_behind_many_others(self) -> None:
        for number in range(500):
            self.add("a%d " % number, 2)
        self.add("b", 1)
        self.assertIn("b0", [self.queue.take(), self.queue.take()])

    def test_the_oldest_are_served_although_others_keep_coming(self) -> None:
        self.add("a", 10)
        served = []
        for number in range(100):
            self.add("a", 1, first=10 + number)
            self.add("other %d " % number, 1)
            served.append(self.queue.take())
        self.assertLessEqual({"a0", "a1", "a2"}, set(served))

    def test_discarded_ones(self) -> None:
        self.add("a", 3)
        self.add("b", 1)
        self.assertTrue(self.queue.discard("a1"))
        self.assertTrue(self.queue.discard("b0"))
        self.assertFalse(self.queue.discard("b0"))
        self.assertFalse("a1" in self.queue)
        self.assertTrue("a2" in self.queue)
        self.assertEqual({"a0", "a2"}, set(self.taken()))
        self.assertEqual(0, len(self.queue))

    def test_an_empty_queue(self) -> None:
        with self.assertRaises(KeyError):
            self.queue.take()

    def test_nothing_is_kept(self) -> None:
        self.add("a", 3)
        self.add("b", 3)
        self.queue.discard("a0")
        self.taken()
        self.assertEqual([{}, {}, {}], [self.queue._addresses, self.queue._unserved, self.queue._keys])


if __name__ == "__main__":
    unittest.main()
