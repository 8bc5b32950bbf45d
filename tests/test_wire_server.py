"""Golden tests, server role: our daemon answers recorded requests as the recorded release did."""
from __future__ import annotations

import fnmatch
import os
import unittest

from tests.wire import app, differences, recordings
from tests.wire.recordings import Message, Scenario
from tests.wire.server_role import Replay, Server, servers_for

DIFFERENCES_PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "differences.md")

# Scenarios that cannot be replayed in this role, and why; the patterns are for server type, group, and name.
NOT_REPLAYED = {
    "* ping_and_limits client_timeout": "the client gives up in the middle of a call",
    "* connect handshake_nothing_sent": "there is nothing to send and nothing to receive",
    "* ping_and_limits server_commtimeout_*": "is about pauses of some length",
    "* stream used_after_lifetime_lifetime": "is about pauses of some length",
    "* stream resume_too_late_linger_short": "is about pauses of some length",
    "* proxies argument_proxy_called_by_server": "the server connects to a port of the recording",
    "multiplex exceptions exception_systemexit": "ends this server type, see exception_systemexit_multiplex",
    "multiplex exceptions exception_keyboardinterrupt": "recorded with server type thread only",
    "multiplex exceptions exception_generatorexit": "recorded with server type thread only",
}


def _replayed(scenario: Scenario, server_type: str) -> bool:
    title = "%s %s %s" % (server_type, scenario.group, scenario.name)
    return (scenario.server is not None and recordings.runs_here(scenario)
            and any(isinstance(step, Message) for step in scenario.steps)
            and not any(fnmatch.fnmatchcase(title, pattern) for pattern in NOT_REPLAYED))


class OnThreads(unittest.TestCase):
    """With server type thread."""

    server_type = "thread"

    @classmethod
    def setUpClass(cls) -> None:
        app.register_converters()
        cls.addClassCleanup(app.unregister_converters)

    def replay(self, group: str) -> None:
        scenarios = [scenario for scenario in recordings.load(group) if _replayed(scenario, self.server_type)]
        self.assertTrue(scenarios)
        for run in servers_for(scenarios):
            with Server(run[0].server or {}, self.server_type) as server:
                for scenario in run:
                    with self.subTest(scenario.title):
                        Replay(scenario, server, differences.find(differences.SERVER, scenario)).run()

    def test_connect(self) -> None:
        self.replay("connect")

    def test_calls(self) -> None:
        self.replay("calls")

    def test_types(self) -> None:
        self.replay("types")

    def test_serpent_bytes_repr(self) -> None:
        self.replay("serpent_bytes_repr")

    def test_exceptions(self) -> None:
        self.replay("exceptions")

    def test_access(self) -> None:
        self.replay("access")

    def test_oneway(self) -> None:
        self.replay("oneway")

    def test_batch(self) -> None:
        self.replay("batch")

    def test_stream(self) -> None:
        self.replay("stream")

    def test_proxies(self) -> None:
        self.replay("proxies")

    def test_annotations(self) -> None:
        self.replay("annotations")

    def test_compression(self) -> None:
        self.replay("compression")

    def test_ping_and_limits(self) -> None:
        self.replay("ping_and_limits")

    def test_daemon_object(self) -> None:
        self.replay("daemon_object")

    def test_nameserver(self) -> None:
        self.replay("nameserver")

    def test_unixsocket_and_existing(self) -> None:
        self.replay("unixsocket_and_existing")


class OnMultiplex(OnThreads):
    """With server type multiplex."""

    server_type = "multiplex"

    def test_systemexit_ends_the_server(self) -> None:
        scenario = next(each for each in recordings.load("exceptions") if each.name == "exception_systemexit_multiplex")
        with Server(scenario.server or {}, self.server_type) as server:
            Replay(scenario, server, None).run()
            server.wait_for_end()
            self.assertEqual(3, getattr(server.ended_by, "code", None))


class Differences(unittest.TestCase):
    """The list of deliberate differences."""

    def test_all_are_documented(self) -> None:
        with open(DIFFERENCES_PAGE, encoding="utf-8") as file:
            page = file.read()
        self.assertEqual([], [key for key in sorted(differences.REASONS) if "`%s`" % key not in page])

    def test_reasons(self) -> None:
        used = {entry.key for entry in differences.SERVER + differences.CLIENT}
        self.assertEqual(sorted(differences.REASONS), sorted(used))

    def test_all_are_about_recordings(self) -> None:
        scenarios = [scenario for group in recordings.GROUPS for scenario in recordings.load(group)]
        for table in (differences.SERVER, differences.CLIENT):
            found = {differences.find(table, scenario) for scenario in scenarios}
            self.assertEqual([], [entry for entry in table if entry not in found])
