"""What programs assign to settings: None for those that are not set, numbers as text, addresses as objects."""
from __future__ import annotations

import ipaddress
import unittest
from typing import Any

from Pyro5 import config, socketutil
from Pyro5._net import addresses
from Pyro5.api import Daemon, Proxy, expose

from ..support import daemon_thread, run_tool

UNSET = ("COMMTIMEOUT", "COMPRESSION", "HANDSHAKE_TIMEOUT", "HOST", "ITER_STREAM_LIFETIME", "ITER_STREAM_LINGER", "LOGWIRE",
         "MAX_BUFFERED_SIZE", "MAX_CONNECTIONS", "MAX_CONTAINERS", "MAX_HANDSHAKE_SIZE", "MAX_INFLATED_SIZE",
         "MAX_MESSAGE_SIZE", "MAX_ONEWAY",
         "MAX_RETRIES", "MAX_STREAMS", "NATHOST", "NATPORT", "NS_AUTOCLEAN", "NS_BCHOST", "NS_HOST", "NS_LOOKUP_DELAY",
         "POLLTIMEOUT", "PREFER_IP_VERSION", "SERPENT_BYTES_REPR", "SHUTDOWN_TIMEOUT", "SOCK_REUSE", "SSL", "SSL_CACERTS",
         "SSL_CLIENTCERT", "SSL_CLIENTKEY", "SSL_CLIENTKEYPASSWD", "SSL_SERVERCERT", "SSL_SERVERKEY", "SSL_SERVERKEYPASSWD")


@expose
class Thing:
    def echo(self, value: Any) -> Any:
        return value

    def items(self) -> Any:
        yield from "abc"


class Seconds(int):
    """As numpy has them, for instance."""


class Settings(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())

    def check_talks(self, daemon: Daemon) -> None:
        uri = daemon.register(Thing())
        with daemon_thread(daemon), Proxy(uri) as proxy:
            self.assertEqual("x" * 300000, proxy.echo("x" * 300000))
            self.assertEqual("abc", "".join(proxy.items()))

    def test_everything_works_with_settings_that_are_none(self) -> None:
        for name in UNSET:
            setattr(config, name, None)
        for kind in ("thread", "multiplex"):
            config.SERVERTYPE = kind
            daemon = Daemon()
            self.assertTrue(daemon.locationStr.startswith("localhost:"), daemon.locationStr)
            self.check_talks(daemon)
        self.assertIsNone(Proxy("PYRO:thing@localhost:1")._pyroTimeout)

    def test_tls_files_that_are_none_are_not_set(self) -> None:
        unset: Any = None
        self.assertIs(socketutil.get_ssl_context(), socketutil.get_ssl_context(clientcert=unset, cacerts=unset))

    def test_the_host_of_the_name_server_follows_the_host(self) -> None:
        config.NS_HOST, config.HOST = None, "127.0.0.9"
        self.assertEqual("127.0.0.9", addresses.name_server_host())
        config.HOST = None
        self.assertEqual("localhost", addresses.name_server_host())

    def test_addresses_as_objects_and_numbers_as_text(self) -> None:
        config.HOST = ipaddress.ip_address("127.0.0.1")
        config.COMMTIMEOUT, config.MAX_RETRIES, config.THREADPOOL_SIZE = "20", "1", 5.0
        daemon = Daemon()
        self.assertTrue(daemon.locationStr.startswith("127.0.0.1:"), daemon.locationStr)
        self.check_talks(daemon)
        proxy = Proxy("PYRO:thing@localhost:1")
        self.assertEqual((20.0, 1), (proxy._pyroTimeout, proxy._pyroMaxRetries))

    def test_no_time_limit_in_the_ways_programs_say_it(self) -> None:
        config.COMMTIMEOUT = 20
        daemon = Daemon()
        uri = daemon.register(Thing())
        with daemon_thread(daemon), Proxy(uri) as proxy:
            for seconds, expected in ((0, None), (-1, 20.0), (2, 2.0), (float("inf"), None), (Seconds(3), 3.0), (None, None)):
                for connected in (True, False):
                    if not connected:
                        proxy._pyroRelease()
                    proxy._pyroTimeout = seconds
                    self.assertEqual(seconds, proxy._pyroTimeout)
                    self.assertEqual(1, proxy.echo(1))
                    self.assertEqual(expected, proxy._pyroConnection.timeout)

    def test_variables_that_the_surroundings_set_do_not_stop_a_program(self) -> None:
        result = run_tool("timeit", "-n1", "-r1", "import Pyro5.api; assert Pyro5.config.NS_PORT == 9090", fresh=True,
                          env={"PYRO_SERVICE_HOST": "10.0.0.1", "PYRO_NS_PORT": "tcp://10.0.0.1:9090"})
        self.assertEqual(0, result.exit_code, result.err)
        self.assertIn("PYRO_SERVICE_HOST", result.err)


if __name__ == "__main__":
    unittest.main()
