"""serve(): publishing objects in one statement, with and without a name server."""
from __future__ import annotations

import contextlib
import inspect
import io
import threading
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

from Pyro5 import config, errors
from Pyro5.client import locate_ns
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon, serve
from tests.support import PATIENCE_SECONDS, daemon_thread
from tests.test_server import DaemonTestCase, Thing


class Output(io.StringIO):
    """Standard output that tells when a server says that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.running = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "running" in self.getvalue():
            self.running.set()
        return written


class ServeTests(DaemonTestCase):
    @contextlib.contextmanager
    def output_of(self, serving: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run it in a thread, give what it prints up to "running"; it must have ended after the block."""
        output = Output()
        thread = threading.Thread(target=serving, args=args, kwargs=kwargs)
        with contextlib.redirect_stdout(output):
            thread.start()
            self.assertTrue(output.running.wait(PATIENCE_SECONDS))
            yield output.getvalue()
            thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive())

    def test_without_name_server(self) -> None:
        for serving, kwargs in ((serve, {"use_ns": False}), (serve, {"ns": False}), (Daemon.serveSimple, {"ns": False})):
            named, unnamed = Thing("named"), Thing("unnamed")
            objects: Dict[Any, Any] = {named: "my.name", unnamed: None}
            with self.output_of(serving, objects, **kwargs) as printed:
                uri, other_uri = self.uris_in(printed)
                self.assertRegex(uri, r"^PYRO:my\.name@localhost:\d+$")
                self.assertRegex(other_uri, r"^PYRO:obj_")
                self.assertEqual(self.proxy(other_uri).who(), "unnamed")
                self.proxy(uri).stop()
            self.assertEqual("my.name", named._pyroId)  # type: ignore[attr-defined]

    @staticmethod
    def uris_in(printed: str) -> List[str]:
        return [line.split("uri = ")[1] for line in printed.splitlines() if "uri = " in line]

    def test_with_name_server(self) -> None:
        uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        self.addCleanup(ns_daemon.close)
        config.NS_HOST, config.NS_PORT = "127.0.0.1", uri.port
        with daemon_thread(ns_daemon), locate_ns() as nameserver:
            for kwargs in ({}, {"use_ns": True}, {"ns": True}):  # type: Dict[str, Any]
                with self.output_of(serve, {Thing("named"): "my.name", Thing("unnamed"): None}, host="127.0.0.1",
                                    **kwargs) as printed:
                    self.assertIn("name = my.name", printed)
                    self.assertEqual(set(nameserver.list()), {"Pyro.NameServer", "my.name"})
                    self.assertIn(str(nameserver.lookup("my.name")), self.uris_in(printed))
                    self.proxy("PYRONAME:my.name").stop()
                self.assertEqual(set(nameserver.list()), {"Pyro.NameServer"})

    def test_names_that_lead_elsewhere_at_the_end_stay(self) -> None:
        uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        self.addCleanup(ns_daemon.close)
        config.NS_HOST, config.NS_PORT = "127.0.0.1", uri.port
        with daemon_thread(ns_daemon), locate_ns() as nameserver:
            with self.output_of(serve, {Thing("one"): "one", Thing("two"): "two"}, host="127.0.0.1"):
                with self.proxy(nameserver.lookup("one")) as proxy:
                    with self.assertRaisesRegex(errors.NamingError, "one is leased to PYRO:"):
                        nameserver.register("one", "PYRO:x@other:1")
                    nameserver.register("one", "PYRO:x@other:1", safe=False)
                    nameserver.remove("two")
                    proxy.stop()
            self.assertEqual(str(nameserver.lookup("one")), "PYRO:x@other:1")

    def test_no_name_server(self) -> None:
        thing = Thing()
        with mock.patch("Pyro5.client.locate_ns", side_effect=errors.NamingError("nobody there")), \
                self.assertRaisesRegex(errors.NamingError, "nobody there"):
            serve({thing: "my.name"})
        self.assertFalse(hasattr(thing, "_pyroId"))

    def test_own_daemon_quietly(self) -> None:
        output = io.StringIO()
        server, thing = self.daemon(host="127.0.0.1"), Thing()
        with contextlib.redirect_stdout(output):
            server.shutdown()
            serve({thing: "quiet"}, daemon=server, use_ns=False, verbose=False)
        self.assertEqual(output.getvalue(), "")

    def test_signature(self) -> None:
        parameters: List[Tuple[str, Any]] = [(p.name, p.default) for p in inspect.signature(serve).parameters.values()]
        self.assertEqual(parameters[1:6], [("host", None), ("port", 0), ("daemon", None), ("use_ns", True), ("verbose", True)])
