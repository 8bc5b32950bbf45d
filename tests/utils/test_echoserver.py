"""The test echo server: its object over the network, and the command line tool as a real process."""
from __future__ import annotations

import math
import os
import re
import signal
import tempfile
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import config
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns
from Pyro5.utils import echoserver
from tests.support import PATIENCE_SECONDS, ToolProcess, daemon_thread, run_tool

TOOL = "Pyro5.utils.echoserver"


class EchoTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())

    def start(self, *args: str) -> Any:
        """Start the server in this process, give a proxy for its object."""
        self.daemon, self.echo, uri = echoserver.main(["-H", "127.0.0.1", "-q", *args], returnWithoutLooping=True)
        running = daemon_thread(self.daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        proxy = Proxy(uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy


class ObjectTests(EchoTestCase):
    def test_values(self) -> None:
        echo = self.start()
        self.assertEqual(echo.echo([1, "two", None]), [1, "two", None])
        self.assertEqual(echo.inf(), math.inf)
        self.assertTrue(math.isnan(echo.nan()))
        self.assertEqual(list(echo.generator()), ["one", "two", "three"])
        self.assertIsInstance(echo.__dunder__(), str)
        self.assertIsNone(echo.oneway_echo("message"))

    def test_errors(self) -> None:
        echo = self.start()
        with self.assertRaises(ValueError) as caught:
            echo.error()
        self.assertEqual(str(caught.exception), "")
        with self.assertRaisesRegex(ValueError, "."):
            echo.error_with_text()

    def test_slow_methods(self) -> None:
        short = mock.patch.object(echoserver, "SLOW_SECONDS", 0.01)
        short.start()
        self.addCleanup(short.stop)      # after the server has ended, so that the oneway call is a short one too
        echo = self.start()
        self.assertEqual("Finally, an answer!", echo.slow())
        self.assertIsNone(echo.oneway_slow())

    def test_exposed_members(self) -> None:
        echo = self.start()
        echo._pyroBind()
        self.assertEqual(echo._pyroMethods, {"__dunder__", "echo", "error", "error_with_text", "generator", "inf", "nan",
                                             "oneway_echo", "oneway_slow", "shutdown", "slow"})
        self.assertEqual(echo._pyroOneway, {"oneway_echo", "oneway_slow"})
        self.assertEqual(echo._pyroAttrs, {"verbose"})

    def test_verbose_attribute(self) -> None:
        said: List[str] = []
        echo = self.start()
        self.assertFalse(echo.verbose)
        with mock.patch.object(echoserver.console, "say", said.append):
            echo.echo("silent")
            echo.verbose = True
            echo.echo("message")
            self.assertTrue(echo.verbose)
        self.assertEqual(said, ["echo server: echo 'message'"])

    def test_shutdown_cuts_slow_methods_short(self) -> None:
        said: List[str] = []
        begun = threading.Event()

        def say(text: str) -> None:
            said.append(text)
            if text.endswith("begins"):
                begun.set()

        with mock.patch.object(echoserver, "SLOW_SECONDS", 1000.0), mock.patch.object(echoserver.console, "say", say):
            echo = self.start()
            echo.verbose = True
            echo.oneway_slow()
            self.assertTrue(begun.wait(PATIENCE_SECONDS))
            self.assertIsNone(echo.shutdown())
            self.doCleanups()
        self.assertEqual(said, ["echo server: oneway_slow begins", "echo server: shutdown",
                                "echo server: oneway_slow is done"])

    def test_always_multiplex(self) -> None:
        config.SERVERTYPE = "thread"
        self.start()
        self.assertIn("multiplex", type(self.daemon.transportServer).__name__.lower())
        self.assertEqual(config.SERVERTYPE, "thread")


class NameServerTests(EchoTestCase):
    def test_own_name_server(self) -> None:
        config.NS_HOST, config.NS_PORT = "127.0.0.1", 0
        with mock.patch.object(echoserver, "start_ns", wraps=start_ns) as starting:
            uris: List[Any] = []
            starting.side_effect = lambda *args: uris.append(start_ns(*args)) or uris[-1]
            echo = self.start("-N")
        ns_uri, ns_daemon, _ = uris[0]
        with Proxy(ns_uri) as ns:
            self.assertEqual(ns.lookup("test.echoserver"), echo._pyroUri)
        self.daemon.shutdown()
        self.daemon.close()
        self.daemon.close()
        self.assertNotIn("Pyro5 name server", [thread.name for thread in threading.enumerate()])
        self.assertEqual(ns_daemon.sock.fileno(), -1)

    def test_another_name_server(self) -> None:
        uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(ns_daemon):
            config.NS_HOST, config.NS_PORT = "127.0.0.1", uri.port
            echo = self.start("--naming")
            self.assertEqual(ns_daemon.nameserver.lookup("test.echoserver"), echo._pyroUri)


class ToolTests(unittest.TestCase):
    """The tool as a process. Those of one test start at the same time: starting is what takes long."""

    def tool(self, *args: Any, **env: str) -> ToolProcess:
        process = ToolProcess(TOOL, *args, env=env)
        self.addCleanup(process.__exit__)
        return process

    def check_lines(self, process: ToolProcess, *expected: str) -> None:
        lines = process.read_until("echoserver running.")
        self.assertEqual([re.sub(r":\d+$", ":<port>", line) for line in lines], list(expected))

    def test_what_it_prints(self) -> None:
        plain = self.tool("-H", "127.0.0.1", "-p", "0")
        verbose = self.tool("-H", "127.0.0.1", "-v", "-q")
        with_names = self.tool("-H", "127.0.0.1", "-N", "-v", PYRO_NS_PORT="0", PYRO_NS_HOST="127.0.0.1")
        begin, name = "Starting Pyro's built-in test echo server.", "object name: test.echoserver"
        uri, end = "echo uri: PYRO:test.echoserver@127.0.0.1:<port>", "echoserver running."
        self.check_lines(plain, begin, name, uri, end)
        self.check_lines(verbose, begin, "not using a name server.", name, uri, end)
        self.check_lines(with_names, begin, "using name server at PYRO:Pyro.NameServer@127.0.0.1:<port>",
                         "not using a broadcast server", name, uri, end)
        self.assertEqual(tuple(plain.stop(signal.SIGINT)), (0, "", ""))
        self.assertEqual(tuple(verbose.stop(signal.SIGTERM)), (0, "", ""))
        self.assertEqual(tuple(with_names.stop(signal.SIGINT)), (0, "", ""))

    def test_remote_shutdown(self) -> None:
        process = self.tool("-H", "127.0.0.1", "-N", PYRO_NS_PORT="0")
        uri = process.read_until("echo uri: ")[-1][len("echo uri: "):]
        with Proxy(uri) as echo:
            self.assertEqual(echo.echo("message"), "message")
            echo.shutdown()
        result = process.wait()
        self.assertEqual(tuple(result), (0, "echoserver running.\n", ""))

    @unittest.skipIf(os.name == "nt", "Windows has no such sockets")
    def test_unix_socket_and_quiet(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "echo")
            with ToolProcess(TOOL, "-u", path) as process:
                process.read_until("echoserver running.")
                with Proxy("PYRO:test.echoserver@./u:" + path) as echo:
                    self.assertEqual(echo.echo(1), 1)
                self.assertEqual(tuple(process.stop()), (0, "", ""))
            self.assertFalse(os.path.exists(path))

    def test_no_name_server(self) -> None:
        result = run_tool(TOOL, "-H", "127.0.0.1", "-n",
                          env={"PYRO_NS_PORT": "1", "PYRO_NS_HOST": "127.0.0.1", "PYRO_BROADCAST_ADDRS": "127.0.0.1"})
        self.assertEqual((result.exit_code, result.out), (1, "Starting Pyro's built-in test echo server.\n"))
        self.assertRegex(result.err, r"\AError: .*name ?server.*\n\Z")


if __name__ == "__main__":
    unittest.main()
