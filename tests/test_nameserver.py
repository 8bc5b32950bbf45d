"""The name server over the network: its daemon, start_ns, and the command line tool as a real process."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import tempfile
import threading
import unittest
from typing import Any, Dict, List, Tuple
from unittest import mock

from Pyro5 import config, errors, nameserver
from Pyro5._values.uri import URI
from Pyro5.client import Proxy, locate_ns
from Pyro5.nameserver import MemoryStorage, NameServerDaemon, Storage, start_ns
from Pyro5.serializers import serializers
from tests.support import PATIENCE_SECONDS, ToolProcess, daemon_thread, run_main, search_patiently

ONE = "PYRO:one@127.0.0.1:5000"
TOOL = "Pyro5.nameserver"


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


class NameServerTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        search_patiently(self)

    def start(self, host: str = "127.0.0.1", port: int = 0, **kwargs: Any) -> Tuple[URI, NameServerDaemon, Any]:
        uri, daemon, responder = start_ns(host, port, **kwargs)
        self.addCleanup(daemon.close)
        if responder is not None:
            self.addCleanup(responder.close)
        return uri, daemon, responder

    def proxy(self, uri: Any) -> Any:
        proxy = Proxy(uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy


class StartTests(NameServerTestCase):
    def test_result(self) -> None:
        uri, daemon, responder = self.start()
        self.assertRegex(str(uri), r"^PYRO:Pyro\.NameServer@127\.0\.0\.1:[1-9]\d*$")
        self.assertIsInstance(daemon, NameServerDaemon)
        self.assertIsNone(responder)
        self.assertEqual(daemon.nameserver.lookup("Pyro.NameServer", True),
                         (uri, {"class:Pyro5.nameserver.NameServer"}))

    def test_settings(self) -> None:
        config.HOST, config.NS_PORT = "127.0.0.1", 0
        config.NATHOST, config.NATPORT = "nat.example", 7777
        uri, daemon, _ = start_ns()
        self.addCleanup(daemon.close)
        self.assertEqual(str(uri), "PYRO:Pyro.NameServer@nat.example:7777")
        self.assertEqual(daemon.nameserver.lookup("Pyro.NameServer"), uri)

    def test_nat_port_defaults_to_the_internal_one(self) -> None:
        uri, daemon, _ = self.start(nathost="nat.example")
        self.assertEqual(str(uri), "PYRO:Pyro.NameServer@nat.example:%d" % daemon.sock.getsockname()[1])

    def test_port_in_use_leaves_nothing_open(self) -> None:
        closed: List[Any] = []
        with socket.socket() as taken, mock.patch.object(MemoryStorage, "close", lambda storage: closed.append(storage)):
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            with self.assertRaisesRegex(OSError, "127.0.0.1:%d" % port):
                start_ns("127.0.0.1", port)
        self.assertEqual(len(closed), 1)

    def test_several_in_one_process(self) -> None:
        first, second = self.start(), self.start()
        first[1].nameserver.register("name", ONE)
        self.assertNotIn("name", second[1].nameserver.list())


class StorageTests(NameServerTestCase):
    def test_unknown_type_before_anything_else(self) -> None:
        with self.assertRaisesRegex(ValueError, "invalid storage type 'bogus'"):
            start_ns("no..such..host", 0, storage="bogus")

    def test_own_mapping_survives(self) -> None:
        names: Dict[str, Any] = {"old": (ONE, {"tag"})}
        _, daemon, _ = self.start(storage=names)
        daemon.nameserver.register("new", ONE)
        self.assertEqual(daemon.nameserver.yplookup({"tag"}), {"old": (ONE, {"tag"})})
        daemon.close()
        self.assertEqual(sorted(names), ["Pyro.NameServer", "new", "old"])

    def test_only_a_storage_of_its_own_is_closed(self) -> None:
        closed: List[Any] = []
        with mock.patch.object(MemoryStorage, "close", lambda storage: closed.append(storage)):
            self.start(storage=MemoryStorage())[1].close()
            self.assertEqual(closed, [])
            self.start(storage="memory")[1].close()
            self.assertEqual(len(closed), 1)

    def test_all_storages_are_here(self) -> None:
        for name in ("MemoryStorage", "SqlStorage", "DbmStorage"):
            self.assertTrue(issubclass(getattr(nameserver, name), Storage))
        with self.assertRaisesRegex(AttributeError, "no attribute 'nosuch'"):
            nameserver.nosuch  # noqa: B018

    def test_a_storage_that_fails_at_the_start(self) -> None:
        class Failing(MemoryStorage):
            def __setitem__(self, name: str, registration: Any) -> None:
                raise errors.NamingError("the disk is full")

        with mock.patch.object(NameServerDaemon, "close", autospec=True, side_effect=NameServerDaemon.close) as close:
            with self.assertRaisesRegex(errors.NamingError, "^the disk is full$"):
                start_ns("127.0.0.1", 0, storage=Failing())
        self.assertEqual(close.call_count, 1)


class AutocleanTests(NameServerTestCase):
    def cleaning_threads(self) -> List[str]:
        return [thread.name for thread in threading.enumerate() if "autoclean" in thread.name]

    def test_off_by_default(self) -> None:
        self.start()
        self.assertEqual(self.cleaning_threads(), [])

    def test_runs_as_long_as_the_daemon(self) -> None:
        config.NS_AUTOCLEAN = 3.0
        _, daemon, _ = self.start()
        self.assertEqual(len(self.cleaning_threads()), 1)
        daemon.close()
        daemon.close()
        self.assertEqual(self.cleaning_threads(), [])

    def test_period_too_short(self) -> None:
        config.NS_AUTOCLEAN = 1.0
        with self.assertRaisesRegex(ValueError, "^NS_AUTOCLEAN cannot be smaller than 3$"):
            start_ns("127.0.0.1", 0)


class BroadcastTests(NameServerTestCase):
    def ask(self, responder: Any) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.sendto(b"GET_NSURI", responder.sock.getsockname())
            return asker.recv(200)

    def test_runs_in_the_loop_of_the_daemon(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            _, daemon, responder = self.start("0.0.0.0", bchost="127.0.0.1", bcport=0)
            daemon.combine(responder)
            with daemon_thread(daemon):
                answer = self.ask(responder).decode()
                self.assertEqual(answer, "PYRO:Pyro.NameServer@127.0.0.1:%d" % daemon.sock.getsockname()[1])
                self.assertEqual(self.proxy(answer).count(), 1)

    def test_answers_with_the_internal_address(self) -> None:
        _, daemon, responder = self.start("0.0.0.0", bchost="127.0.0.1", bcport=0, nathost="nat.example", natport=1)
        responder.runInThread()
        self.assertIn(b"@127.0.0.1:%d" % daemon.sock.getsockname()[1], self.ask(responder))

    def test_no_reverse_lookups(self) -> None:
        """A name service that does not know an address, or does not answer, is never asked for its name."""
        forbidden = AssertionError("a reverse lookup")
        with contextlib.ExitStack() as patches:
            for name in ("gethostbyaddr", "getnameinfo", "getfqdn"):
                patches.enter_context(mock.patch.object(socket, name, side_effect=forbidden))
            _, daemon, responder = self.start("0.0.0.0", bchost="127.0.0.1", bcport=0)
            daemon.combine(responder)
            config.BROADCAST_ADDRS = ["127.0.0.1"]
            config.NS_HOST, config.NS_PORT = "127.0.0.1", 1
            with daemon_thread(daemon):
                with locate_ns(port=responder.sock.getsockname()[1]) as ns:
                    ns.ping()

    def test_not_wanted(self) -> None:
        self.assertIsNone(self.start("0.0.0.0", enableBroadcast=False)[2])

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
    def test_not_on_ipv6(self) -> None:
        uri, _, responder = self.start("::1")
        self.assertIsNone(responder)
        self.assertEqual(uri.host, "::1")

    def test_port_in_use_closes_the_daemon(self) -> None:
        config.SOCK_REUSE = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            with mock.patch.object(NameServerDaemon, "close", autospec=True, side_effect=NameServerDaemon.close) as close:
                with self.assertRaises(OSError):
                    start_ns("0.0.0.0", 0, bchost="127.0.0.1", bcport=taken.getsockname()[1])
            self.assertEqual(close.call_count, 1)


class RemoteTests(NameServerTestCase):
    """Calls through a proxy, with every serializer there is."""

    def setUp(self) -> None:
        super().setUp()
        self.uri, self.daemon, _ = self.start()
        self.enterContext_(daemon_thread(self.daemon))

    def enterContext_(self, context: Any) -> None:
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def test_every_serializer(self) -> None:
        for name in serializers:
            with self.subTest(serializer=name):
                ns = self.proxy(self.uri)
                ns._pyroSerializer = name
                ns.register("plain", ONE)
                ns.register("tagged", URI(ONE), metadata=["b", "a"])
                self.assertEqual(ns.lookup("plain"), URI(ONE))
                self.assertEqual(ns.list(prefix="t"), {"tagged": ONE})
                found = ns.list(return_metadata=True)
                self.assertEqual({key: (uri, set(tags)) for key, (uri, tags) in found.items()}, {
                    "Pyro.NameServer": (str(self.uri), {"class:Pyro5.nameserver.NameServer"}),
                    "plain": (ONE, set()), "tagged": (ONE, {"a", "b"})})
                uri, metadata = ns.lookup("plain", return_metadata=True)
                self.assertEqual((uri, set(metadata)), (URI(ONE), set()))
                self.assertEqual(ns.yplookup(meta_any=["a"], return_metadata=False), {"tagged": ONE})
                self.assertEqual((ns.remove(regex=".*"), ns.count()), (2, 1))

    def test_errors_arrive_as_they_are(self) -> None:
        ns = self.proxy(self.uri)
        with self.assertRaisesRegex(errors.NamingError, "^unknown name: nosuch$"):
            ns.lookup("nosuch")
        with self.assertRaisesRegex(errors.NamingError, "^invalid regex: missing "):
            ns.list(regex="(")
        with self.assertRaises(TypeError):
            ns.register(5, ONE)
        self.assertEqual(ns.remove("Pyro.NameServer"), 0)

    def test_what_is_not_exposed(self) -> None:
        ns = self.proxy(self.uri)
        for method in ("close", "register_self", "remove_unchanged"):
            with self.assertRaises(AttributeError):
                getattr(ns, method)()

    def test_locating_and_resolving(self) -> None:
        with locate_ns("127.0.0.1", self.uri.port) as ns:
            ns.register("the.ns", self.uri, metadata=["meta"])
        location = "@127.0.0.1:%d" % (self.uri.port or 0)
        self.assertEqual(self.proxy("PYRONAME:the.ns" + location).count(), 2)
        self.assertEqual(self.proxy("PYROMETA:meta" + location).count(), 2)


class ToolTests(unittest.TestCase):
    """The tool as a process. Those of one test start at the same time: starting is what takes long."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def tool(self, *args: Any, **env: str) -> ToolProcess:
        process = ToolProcess(TOOL, *args, env=env, cwd=self.directory)
        self.addCleanup(process.__exit__)
        return process

    def check_lines(self, process: ToolProcess, *expected: str) -> None:
        """Compare the lines of the start with the expected ones, which have <port> for the port."""
        lines = process.read_until(expected[-1].split(" ")[0])
        while len(lines) < len(expected):
            lines += process.read_until("")
        match = re.search(r"NS running on [^ ]*:(\d+) ", "\n".join(lines))
        port = match.group(1) if match else "none"
        self.assertEqual([line.replace(port, "<port>") for line in lines], list(expected))

    def check_end(self, process: ToolProcess, signum: int) -> None:
        self.assertEqual(tuple(process.stop(signum)), (0, "NS shut down.\n", ""))

    def test_what_it_prints(self) -> None:
        plain = self.tool("-n", "127.0.0.1", "-p", "0")
        nat = self.tool("-n", "127.0.0.1", "-p", "0", "--nathost", "nat.example", "--natport", "7777", "-x")
        nat_same_port = self.tool("--host", "127.0.0.1", "--port", "0", "--nathost", "nat.example")
        unix = self.tool("-u", "ns.sock", "--storage=memory")
        everywhere = self.tool("-n", "0.0.0.0", "-p", "0", "--bchost", "127.0.0.1", "--bcport", "0")
        local = "Not starting broadcast server for localhost."
        running = "NS running on 127.0.0.1:<port> (127.0.0.1)"
        self.check_lines(plain, local, running, "URI = PYRO:Pyro.NameServer@127.0.0.1:<port>")
        self.check_lines(nat, local, running, "internal URI = PYRO:Pyro.NameServer@127.0.0.1:<port>",
                         "external URI = PYRO:Pyro.NameServer@nat.example:7777")
        self.check_lines(nat_same_port, local, running, "internal URI = PYRO:Pyro.NameServer@127.0.0.1:<port>",
                         "external URI = PYRO:Pyro.NameServer@nat.example:<port>")
        self.check_lines(unix, "NS running on ./u:ns.sock (Unix domain socket)", "URI = PYRO:Pyro.NameServer@./u:ns.sock")
        self.assertTrue(os.path.exists(os.path.join(self.directory, "ns.sock")))
        self.assertRegex(everywhere.readline(), r"^Broadcast server running on 127\.0\.0\.1:[1-9]\d*\n$")
        self.check_lines(everywhere, "NS running on 0.0.0.0:<port> (0.0.0.0)",
                         "URI = PYRO:Pyro.NameServer@0.0.0.0:<port>")
        for process, signum in ((plain, signal.SIGINT), (nat, signal.SIGTERM), (nat_same_port, signal.SIGTERM),
                                (unix, signal.SIGTERM), (everywhere, signal.SIGINT)):
            self.check_end(process, signum)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_host_name_that_no_other_machine_can_reach(self) -> None:
        ipv4 = {"PYRO_PREFER_IP_VERSION": "4"}
        by_default = self.tool("-p", "0", **ipv4)
        by_name = self.tool("-n", "localhost", "-p", "0", **ipv4)
        with_nat = self.tool("-n", "localhost", "-p", "0", "--nathost", "nat.example", **ipv4)
        local = "Not starting broadcast server for localhost."
        start = [local, "NS running on localhost:<port> (127.0.0.1)"]
        hint = ("NS is reachable from this machine only, because 'localhost' is 127.0.0.1 here. For other machines, use the "
                "option -n with an address of this machine, or -n 0.0.0.0 for all of them.")
        for process in (by_default, by_name):
            self.check_lines(process, *start, "URI = PYRO:Pyro.NameServer@localhost:<port>", hint)
        self.check_lines(with_nat, *start, "internal URI = PYRO:Pyro.NameServer@localhost:<port>",
                         "external URI = PYRO:Pyro.NameServer@nat.example:<port>")
        for process in (by_default, by_name, with_nat):
            self.check_end(process, signal.SIGTERM)

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_a_service_manager_is_told(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            path = os.path.join(self.directory, "notify")
            manager.bind(path)
            manager.settimeout(PATIENCE_SECONDS)
            process = self.tool("-n", "127.0.0.1", "-p", "0", NOTIFY_SOCKET=path)
            ready, status = manager.recv(1000).decode().split("\n")
            self.assertEqual(ready, "READY=1")
            uri = status[len("STATUS=Serving "):]
            with Proxy(uri) as ns:
                ns.ping()
            process.read_until("URI = %s" % uri)
            self.check_end(process, signal.SIGTERM)
            self.assertEqual(manager.recv(1000), b"STOPPING=1")

    @unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
    def test_ipv6(self) -> None:
        process = self.tool("-n", "::1", "-p", "0")
        self.check_lines(process, "Not starting broadcast server for localhost.", "NS running on [::1]:<port> (::1)",
                         "URI = PYRO:Pyro.NameServer@[::1]:<port>")
        self.check_end(process, signal.SIGTERM)

    def test_serves_clients_and_ends_while_they_are_connected(self) -> None:
        process = self.tool("-n", "127.0.0.1", "-p", "0", PYRO_NS_AUTOCLEAN="3")
        uri = process.read_until("URI = ")[-1][len("URI = "):]
        with Proxy(uri) as ns:
            ns.register("name", ONE)
            self.assertEqual(ns.count(), 2)
            self.assertEqual(ns.list(regex="(name)"), {"name": ONE})  # it has started a process for that
            self.check_end(process, signal.SIGTERM)

    def test_errors_are_one_line(self) -> None:
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        cases = [
            (self.tool("-n", "127.0.0.1", "-p", "0", "-s", "bogus"), "invalid storage type 'bogus'"),
            (self.tool("-n", "127.0.0.1", "-p", port), "127.0.0.1:%d" % port),
            (self.tool("-n", "no..such..host", "-p", "0"), "no..such..host"),
            (self.tool("-u", "no/such/directory/ns.sock"), "no/such/directory/ns.sock"),
            (self.tool("-n", "127.0.0.1", "-p", "0", PYRO_NS_AUTOCLEAN="1"), "NS_AUTOCLEAN cannot be smaller than 3"),
        ]
        for process, text in cases:
            result = process.wait()
            self.assertEqual((result.exit_code, result.out), (1, ""), result.err)
            self.assertRegex(result.err, r"\AError: .*%s.*\n\Z" % re.escape(text))

    def test_autoclean(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        with mock.patch.object(nameserver, "start_ns_loop"):
            self.assertEqual(0, run_main(nameserver.main, "--autoclean", "60").exit_code)
        self.assertEqual(60, config.NS_AUTOCLEAN)
        self.assertEqual((1, "Error: NS_AUTOCLEAN cannot be smaller than 3\n"),
                         run_main(nameserver.main, "--autoclean", "1")[::2])

    def test_write_token(self) -> None:
        with open(os.path.join(self.directory, "token"), "w") as file:
            file.write("a-token-that-nobody-can-guess\n")
        process = self.tool("-n", "127.0.0.1", "-p", "0", "-x", "--write-token-file", "token")
        missing = self.tool("-n", "127.0.0.1", "-p", "0", "--write-token-file", "nosuch")
        self.check_lines(process, "Only clients with the write token can change registrations.",
                         "Not starting broadcast server for localhost.", "NS running on 127.0.0.1:<port> (127.0.0.1)",
                         "URI = PYRO:Pyro.NameServer@127.0.0.1:<port>")
        self.check_end(process, signal.SIGTERM)
        self.assertEqual(tuple(missing.wait()), (1, "", "Error: [Errno 2] No such file or directory: 'nosuch'\n"))

    def test_wrong_option(self) -> None:
        result = self.tool("--nosuch").wait()
        self.assertEqual((result.exit_code, result.out), (2, ""))
        self.assertIn("pyro5-ns: error: unrecognized arguments: --nosuch", result.err)


class LoopTests(NameServerTestCase):
    def test_returns_after_shutdown(self) -> None:
        said: List[str] = []
        ready = threading.Event()
        daemons: List[Any] = []

        def say(text: str) -> None:
            said.append(text)
            if text.startswith("URI"):
                ready.set()

        def start(*args: Any, **kwargs: Any) -> Any:
            result = start_ns(*args, **kwargs)
            daemons.append(result[1])
            return result

        names = {"found": (ONE, frozenset())}
        with mock.patch.object(nameserver.console, "say", say), mock.patch.object(nameserver, "start_ns", start):
            thread = threading.Thread(target=nameserver.start_ns_loop, args=("127.0.0.1", 0), kwargs={"storage": names})
            thread.start()
            self.assertTrue(ready.wait(PATIENCE_SECONDS))
            daemons[0].shutdown()
            thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive())
        self.assertEqual(said[0], "Storage has 1 existing registration.")
        self.assertEqual(said[-1], "NS shut down.")


if __name__ == "__main__":
    unittest.main()
