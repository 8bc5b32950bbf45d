"""Addresses: resolving, texts, interfaces."""
from __future__ import annotations

import errno
import ipaddress
import socket
import unittest
from unittest import mock

from Pyro5._net import addresses

from ..peers import settings


class TextTests(unittest.TestCase):
    def test_every_kind_of_address_has_a_text(self) -> None:
        self.assertEqual("host:80", addresses.address_text(("host", 80)))
        self.assertEqual("[::1]:80", addresses.address_text(("::1", 80, 0, 0)))
        self.assertEqual("unix socket /tmp/x", addresses.address_text("/tmp/x"))
        self.assertEqual("unix socket @abstract", addresses.address_text("\0abstract"))


class FamilyTests(unittest.TestCase):
    def test_the_flag_or_the_setting_decides(self) -> None:
        self.assertEqual(socket.AF_INET, addresses.wanted_family(False))
        self.assertEqual(socket.AF_INET6, addresses.wanted_family(True))
        for preferred, family in ((0, socket.AF_UNSPEC), (4, socket.AF_INET), (6, socket.AF_INET6)):
            with settings(PREFER_IP_VERSION=preferred):
                self.assertEqual(family, addresses.wanted_family(None))


class ResolveTests(unittest.TestCase):
    def test_a_literal_ipv6_address_needs_no_flag(self) -> None:
        self.assertEqual([(socket.AF_INET6, ("::1", 5, 0, 0))],
                         addresses.resolve_host(("::1", 5), socket.AF_INET, socket.SOCK_STREAM))

    def test_each_address_comes_once(self) -> None:
        found = addresses.resolve_host(("127.0.0.1", 5), socket.AF_UNSPEC, 0)
        self.assertEqual([(socket.AF_INET, ("127.0.0.1", 5))], found)

    def test_no_host_means_any_address_when_listening(self) -> None:
        self.assertEqual([(socket.AF_INET, ("0.0.0.0", 5))],
                         addresses.resolve_host(("", 5), socket.AF_INET, socket.SOCK_STREAM, passive=True))

    def test_an_unknown_host_is_named(self) -> None:
        with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "not known")):
            with self.assertRaisesRegex(socket.gaierror, "host not found: 'nowhere.invalid'"):
                addresses.resolve_host(("nowhere.invalid", 5), socket.AF_INET, socket.SOCK_STREAM)

    def test_an_impossible_host_name_is_named(self) -> None:
        with self.assertRaisesRegex(socket.gaierror, "a{70}"):
            addresses.resolve_host(("a" * 70, 5), socket.AF_INET, socket.SOCK_STREAM)

    def test_a_unix_socket_is_not_looked_up(self) -> None:
        self.assertEqual([(socket.AF_UNIX, "some/file")],
                         addresses.resolve_host("some/file", socket.AF_INET, socket.SOCK_STREAM))


class ExplainedTests(unittest.TestCase):
    def test_class_and_number_are_kept(self) -> None:
        error = addresses.explained(OSError(errno.ECONNREFUSED, "refused"), "cannot connect to x")
        self.assertIsInstance(error, ConnectionRefusedError)
        self.assertEqual(errno.ECONNREFUSED, error.errno)
        self.assertEqual("cannot connect to x: refused", error.strerror)

    def test_timeouts_stay_timeouts(self) -> None:
        error = addresses.explained(socket.timeout("timed out"), "cannot connect to x")
        self.assertIsInstance(error, socket.timeout)
        self.assertEqual("cannot connect to x: timeout", str(error))


class InterfaceTests(unittest.TestCase):
    def test_ip_address_of_this_machine(self) -> None:
        self.assertEqual(ipaddress.IPv4Address("127.0.0.1"), addresses.get_ip_address("127.0.0.1"))
        self.assertEqual(ipaddress.IPv4Address("127.0.0.1"), addresses.get_ip_address("localhost", version=4))
        self.assertEqual(ipaddress.IPv6Address("::1"), addresses.get_ip_address("::1", version=6))
        with settings(PREFER_IP_VERSION=4):
            self.assertEqual(4, addresses.get_ip_address("localhost").version)
        self.assertTrue(addresses.get_ip_address(""))

    def test_other_versions_are_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "5"):
            addresses.get_ip_address("localhost", version=5)

    def test_the_workaround_looks_for_an_address_that_others_can_use(self) -> None:
        outside = ipaddress.ip_interface("192.168.1.5")
        with mock.patch.object(addresses, "get_interface", return_value=outside):
            self.assertEqual(outside.ip, addresses.get_ip_address("127.0.0.1", workaround127=True))
            self.assertEqual(ipaddress.ip_address("127.0.0.1"), addresses.get_ip_address("127.0.0.1"))
            self.assertEqual(ipaddress.ip_address("10.1.2.3"), addresses.get_ip_address("10.1.2.3", workaround127=True))

    def test_the_workaround_makes_do_with_a_machine_without_network(self) -> None:
        with mock.patch.object(addresses, "get_interface", side_effect=OSError(errno.ENETUNREACH, "no route")):
            self.assertEqual(ipaddress.ip_address("127.0.0.1"), addresses.get_ip_address("127.0.0.1", workaround127=True))

    def test_the_interface_that_reaches_an_address(self) -> None:
        self.assertEqual(ipaddress.ip_interface("127.0.0.1"), addresses.get_interface("127.0.0.1"))
        self.assertEqual(ipaddress.ip_interface("127.0.0.1"), addresses.get_interface(ipaddress.ip_address("127.0.0.1")))

    def test_no_name_is_looked_up_backwards(self) -> None:
        lookups = ("gethostbyaddr", "getfqdn", "getnameinfo")
        with mock.patch.multiple(socket, **{name: mock.Mock(side_effect=AssertionError(name)) for name in lookups}):
            addresses.get_ip_address("localhost", workaround127=True)
            addresses.get_interface("127.0.0.1")


if __name__ == "__main__":
    unittest.main()
