"""Text of peers, sent by every way there is: it starts no line of a log, and reaches no terminal as it is."""
from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
import tempfile
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import config, errors, nsc
from Pyro5._objects.exposure import callback, expose, oneway
from Pyro5._text import LOGGERS, PrintableText, one_line, printable, printable_lines, traceback_text
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from Pyro5.tools import call, inspection

from ..gateways import Clerk, Site
from ..rawclient import wait_until
from ..support import PATIENCE_SECONDS, daemon_thread
from ..test_logging import loggers_of_the_package

BREAKS = "\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"
EVIL = "x" + "".join(each + "FORGED" for each in BREAKS) + "\x1b[2J\x9b31m\x07\u202eFORGED\u2066\u200b\x00"


def harm_in(text: str) -> List[str]:
    """Return the lines that a peer has begun, and those with characters that control a terminal."""
    return [line for line in text.split("\n") if line.startswith("FORGED") or not line.isprintable()]


@expose
class Thing:
    def fail(self, text: str) -> None:
        raise ValueError(text) from KeyError(text)

    @callback
    def fail_in_callback(self, text: str) -> None:
        raise ValueError(text)

    @oneway
    def exit(self, text: str) -> None:
        raise SystemExit(text)

    def echo(self, text: str) -> str:
        return text

    def list(self, *args: Any, **kwargs: Any) -> Any:
        return {EVIL: (EVIL, [EVIL])}

    def lookup(self, *args: Any, **kwargs: Any) -> Any:
        return (EVIL, [EVIL])

    def remove(self, *args: Any, **kwargs: Any) -> Any:
        raise errors.NamingError(EVIL)


Thing.echo.__doc__ = EVIL


class SuspiciousDaemon(Daemon):
    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data != "hello":
            raise PermissionError("not for %s" % data)
        return "hello"


class Functions(unittest.TestCase):
    def test_printable(self) -> None:
        self.assertEqual("a b\\n\\x1b[2J\\u2028\\x85é\\ud800\\U000e0001\\t",
                         printable("a b\n\x1b[2J\u2028\x85é\ud800\U000e0001\t"))
        self.assertTrue(printable("".join(map(chr, range(sys.maxunicode + 1)))).isprintable())
        self.assertEqual("a\n\tb\\x1b\\r\n", printable_lines("a\n\tb\x1b\r\n"))
        self.assertEqual("xxx... (5 characters)", one_line("xxxxx", 3))

    def test_tracebacks(self) -> None:
        try:
            Thing().fail(EVIL)
        except ValueError as x:
            x.__notes__ = [EVIL, "noted"]  # type: ignore[attr-defined]
            text = traceback_text(x)
        self.assertEqual([], harm_in(text))
        self.assertEqual(2, text.count("\nTraceback (most recent call last):\n") + text.startswith("Traceback") +
                         text.startswith("KeyError"))
        self.assertIn("\nValueError: x\\nFORGED", text)
        self.assertIn("raise ValueError(text) from KeyError(text)", text)
        if sys.version_info >= (3, 11):
            self.assertIn("\n    noted", text)
        self.assertEqual([], harm_in(traceback_text(SyntaxError(EVIL, (EVIL, 1, 2, EVIL)))))

    def test_circular_causes(self) -> None:
        one, two = ValueError("one"), ValueError("two")
        one.__context__, two.__context__ = two, one
        self.assertIn("ValueError: one", traceback_text(one))

    def test_every_logger_has_the_filter(self) -> None:
        self.assertEqual({"Pyro5", *loggers_of_the_package()}, set(LOGGERS))
        for name in LOGGERS:
            self.assertTrue(any(isinstance(each, PrintableText) for each in logging.getLogger(name).filters), name)

    def test_arguments_whose_str_fails(self) -> None:
        class Broken:
            def __str__(self) -> str:
                raise ValueError("no text")

        record = logging.LogRecord("Pyro5", logging.INFO, "", 1, "a %s", (Broken(),), None)
        self.assertTrue(PrintableText().filter(record))
        self.assertEqual("a %s (ValueError while formatting the arguments)", record.getMessage())

    def test_printed_tracebacks(self) -> None:
        error = ValueError("local \x1b[2J")
        error._pyroTraceback = [EVIL]  # type: ignore[attr-defined]
        self.assertEqual([], harm_in("".join(errors.get_pyro_traceback(error)).replace("\t", "")))


class LogFileTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.path = os.path.join(directory.name, "log")
        handler = logging.FileHandler(self.path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("[%(levelname)s %(name)s] %(message)s"))
        logger = logging.getLogger("Pyro5")
        for undo, value in ((logger.setLevel, logger.level), (lambda value: setattr(logger, "propagate", value),
                                                              logger.propagate)):
            self.addCleanup(undo, value)
        self.addCleanup(handler.close)
        self.addCleanup(logger.removeHandler, handler)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False

    def check_log(self, *expected: str) -> None:
        with open(self.path, encoding="utf-8", newline="") as file:
            text = file.read()
        self.assertEqual([], harm_in(text))
        for each in expected:
            self.assertIn(each, text)


class Servers(LogFileTestCase):
    def test_calls_and_handshakes(self) -> None:
        for server_type in ("thread", "multiplex"):
            config.SERVERTYPE, config.LOGWIRE, config.COMMTIMEOUT = server_type, True, PATIENCE_SECONDS
            with daemon_thread(SuspiciousDaemon("127.0.0.1", 0)) as daemon:
                uri = daemon.register(Thing(), "thing")
                with Proxy(uri) as proxy:
                    for name in ("fail", "fail_in_callback"):
                        self.assertRaises(ValueError, getattr(proxy, name), EVIL)
                    proxy.exit(EVIL)
                    for member in (EVIL, "nosuch"):
                        with self.assertRaises(AttributeError):
                            proxy._pyroInvoke(member, [EVIL], {})
                    with self.assertRaises(errors.DaemonError):
                        proxy._pyroInvoke("get_metadata", [EVIL], {}, objectId="Pyro.Daemon")
                with Proxy(uri) as proxy:
                    proxy._pyroHandshake = EVIL
                    with self.assertRaisesRegex(errors.CommunicationError, "rejected by the server: not for x") as caught:
                        proxy._pyroBind()
                    self.assertTrue(str(caught.exception).replace("\n", "").isprintable())
        self.check_log("raised ValueError: x\\nFORGED", "\nValueError: x\\nFORGED", "refused: PermissionError: not for x\\n")

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "there are no Unix sockets")
    def test_address_of_a_unix_client(self) -> None:
        path = os.path.join(self.directory, "s")
        for server_type in ("thread", "multiplex"):
            config.SERVERTYPE = server_type
            with daemon_thread(Daemon(unixsocket=path)), contextlib.ExitStack() as stack:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.bind(os.path.join(self.directory, server_type + EVIL.replace("\x00", "")[:60]))
                client.settimeout(PATIENCE_SECONDS)
                client.connect(path)
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(60))
                with contextlib.suppress(ConnectionError):
                    while client.recv(4096):
                        continue
        self.check_log("closing the connection with ", "threadx\\nFORGED", "multiplexx\\nFORGED")

    def test_http(self) -> None:
        with Site({"http.clerk": Clerk()}) as site:
            client = site.gateway()[1]
            encoded = "".join("%%%02x" % byte for byte in EVIL.encode("utf-8"))
            for target in ("/pyro/http.%s/x" % encoded, "/pyro/http.clerk/" + encoded, "/" + encoded,
                           "/pyro/$objects?name=http." + encoded, "/pyro/http.clerk/fill_in?a=" + encoded):
                client.get(target, X_Pyro_Correlation_Id="x\x85FORGED")
                client.get(target)
            for line in ("\x1b[2J /", "GET\u2028 /", "G\x85FORGED / HTTP/1.1", "GET /\x9b\x1b\x85FORGED HTTP/1.1"):
                with socket.create_connection(("127.0.0.1", client.port), PATIENCE_SECONDS) as sock:
                    sock.sendall(line.encode("utf-8") + b"\r\n\r\n")
                    while sock.recv(4096):
                        continue
            wait_until(lambda: len(site.servers[0]._threads) <= 1, "the end of the connections")
        self.check_log("GET")


class Tools(unittest.TestCase):
    """Command line tools that talk with a server that sends such text."""

    def output_of(self, tool: Any, *args: str, tty: bool = False) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.object(out, "isatty", lambda: tty):
            tool(list(args))
        self.assertEqual([], harm_in(out.getvalue()))
        self.assertEqual([], harm_in(err.getvalue().replace("\t", "")))
        return out.getvalue() + err.getvalue()

    def test_all(self) -> None:
        with daemon_thread(Daemon("127.0.0.1", 0)) as daemon:
            uri = str(daemon.register(Thing(), "Pyro.NameServer"))
            host, port = daemon.locationStr.split(":")
            for command in (["list"], ["lookup", "a"], ["remove", "a"]):
                for options in ([], ["--json"], ["-v"]):
                    self.output_of(nsc.main, "-n", host, "-p", port, *options, *command)
            self.assertIn("\\nFORGED", self.output_of(nsc.main, "-n", host, "-p", port, "list"))
            for arguments in (["echo", EVIL], ["list"], ["fail", EVIL], [EVIL]):
                for options in ([], ["-i"]):
                    self.assertIn("FORGED", self.output_of(call.main, *options, uri, *arguments))
            self.assertIn("\\x1b[2J", self.output_of(call.main, "-v", uri, "fail", EVIL.lstrip("x")))
            self.assertIn("\\x1b[2J", self.output_of(call.main, "-r", uri, "echo", "\x1b[2J", tty=True))
            for options in ([], ["--json"]):
                self.assertIn("FORGED", self.output_of(inspection.main, *options, uri))


if __name__ == "__main__":
    unittest.main()
