"""Showing what a remote object has, whatever the server tells about it."""
from __future__ import annotations

import json
import unittest
from typing import Any

from Pyro5 import config
from Pyro5._objects.exposure import expose, oneway
from Pyro5.client import Proxy
from Pyro5.server import Daemon, DaemonObject
from Pyro5.tools import inspection
from tests.peers import Peer, ScriptedServer
from tests.support import ToolResult, daemon_thread, run_main


@expose
class Printer:
    """Prints.

    On paper.
    """

    def print_text(self, text: str, copies: int = 1) -> bool:
        """Print a text.

        It may \x1b[2J take long.
        """
        return True

    @oneway
    def stop(self) -> None:
        pass

    @property
    def pages(self) -> int:
        """How many so far."""
        return 1

    @property
    def name(self) -> str:
        return ""

    @name.setter
    def name(self, value: str) -> None:
        pass


class OlderInterface(DaemonObject):
    """Knows nothing of descriptions."""

    @expose
    def get_metadata(self, objectId: str) -> Any:  # type: ignore[override]
        return super().get_metadata(objectId)


class InspectTestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.SERVERTYPE = "multiplex"

    def serve(self, **options: Any) -> str:
        daemon = Daemon("127.0.0.1", **options)
        running = daemon_thread(daemon)
        uri = str(daemon.register(Printer, "printer"))
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return uri


class Tool(InspectTestCase):
    def test_for_people(self) -> None:
        uri = self.serve()
        self.assertEqual(run_main(inspection.main, uri), ToolResult(0, """\
%s
    Prints.

    On paper.
Methods:
    print_text(text: str, copies: int = 1) -> bool
        Print a text.

        It may \\x1b[2J take long.
    stop() -> None    [oneway]
Attributes:
    name    [writable]
    pages    [read-only]
        How many so far.
""" % uri, ""))

    def test_json(self) -> None:
        uri = self.serve()
        result = run_main(inspection.main, "--json", uri)
        self.assertEqual((result.exit_code, result.err), (0, ""))
        self.assertEqual(json.loads(result.out), {
            "uri": uri, "doc": "Prints.\n\nOn paper.",
            "methods": {
                "print_text": {"signature": "(text: str, copies: int = 1) -> bool",
                               "doc": "Print a text.\n\nIt may \x1b[2J take long.", "oneway": False},
                "stop": {"signature": "() -> None", "doc": None, "oneway": True}},
            "attributes": {"name": {"doc": None, "writable": True},
                           "pages": {"doc": "How many so far.", "writable": False}}})

    def test_a_server_that_gives_names_only(self) -> None:
        uri = self.serve(interface=OlderInterface)
        self.assertEqual(run_main(inspection.main, uri), ToolResult(
            0, "%s\nMethods:\n    print_text(...)\n    stop(...)    [oneway]\nAttributes:\n    name\n    pages\n" % uri, ""))

    def test_what_a_daemon_has(self) -> None:
        out = run_main(inspection.main, "PYRO:Pyro.Daemon@" + self.serve().partition("@")[2]).out
        self.assertIn("\n    ping() -> None\n", out)
        self.assertTrue(out.endswith("\nObjects here:\n    Pyro.Daemon\n    printer\n"))

    def test_errors(self) -> None:
        uri = self.serve()
        result = run_main(inspection.main, uri.replace("printer", "nobody"))
        self.assertEqual((result.exit_code, result.out), (1, ""))
        self.assertRegex(result.err, r"\AError: CommunicationError - [^\n]*nobody[^\n]*\n\Z")
        self.assertEqual(run_main(inspection.main).exit_code, 2)
        self.assertIn("--timeout: invalid seconds value: '-1'", run_main(inspection.main, "-t", "-1", uri).err)


class Peers(InspectTestCase):
    def inspected(self, answer: Any) -> Any:
        def play(peer: Peer) -> None:
            peer.welcome(["echo"], attrs=["size"])
            request = peer.read_call()
            self.assertEqual((request.object_id, request.method, request.args, request.kwargs),
                             ("Pyro.Daemon", "get_metadata", ["thing"], {"descriptions": True}))
            peer.answer(request, answer)
            peer.wait_for_close()

        with ScriptedServer(play) as server, Proxy(server.uri) as proxy:
            found = inspection.inspect_object(proxy)
        return found["doc"], found["methods"], found["attributes"]

    def test_useless_answers(self) -> None:
        nothing = (None, {"echo": {"signature": None, "doc": None, "oneway": False}},
                   {"size": {"doc": None, "writable": None}})
        for answer in (None, 3, {}, {"descriptions": 1}, {"descriptions": {"doc": 1, "methods": [], "attrs": 5}},
                       {"descriptions": {"methods": {"echo": 3}, "attrs": {"size": {"doc": {}, "writable": "x"}}}},
                       {"descriptions": {"methods": {"echo": {"signature": [], "doc": ""}, "other": {"doc": "x"}}}}):
            self.assertEqual(self.inspected(answer), nothing, answer)


if __name__ == "__main__":
    unittest.main()
