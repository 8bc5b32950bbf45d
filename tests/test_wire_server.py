"""Golden tests, server role: our daemon answers recorded requests as the recorded release did."""
from __future__ import annotations

import fnmatch
import os
import unittest

from tests.wire import app, differences, recordings
from tests.wire.groups import RecordedGroups
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
    "aio * *daemon_info": "the text names the class of the server",
    "aio exceptions *_multiplex": "the other server type",
    "multiplex exceptions exception_systemexit": "ends this server type, see exception_systemexit_multiplex",
    "multiplex exceptions exception_keyboardinterrupt": "recorded with server type thread only",
    "multiplex exceptions exception_generatorexit": "recorded with server type thread only",
}


def _replayed(scenario: Scenario, server_type: str) -> bool:
    title = "%s %s %s" % (server_type, scenario.group, scenario.name)
    if server_type == "aio" and scenario.serializer not in (None, "serpent"):
        return False  # serializers do not depend on the server: one of them is enough
    return (scenario.server is not None and recordings.runs_here(scenario)
            and any(isinstance(step, Message) for step in scenario.steps)
            and not any(fnmatch.fnmatchcase(title, pattern) for pattern in NOT_REPLAYED))


class OnThreads(RecordedGroups, unittest.TestCase):
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


class OnMultiplex(OnThreads):
    """With server type multiplex."""

    server_type = "multiplex"

    def test_systemexit_ends_the_server(self) -> None:
        scenario = next(each for each in recordings.load("exceptions") if each.name == "exception_systemexit_multiplex")
        with Server(scenario.server or {}, self.server_type) as server:
            Replay(scenario, server, None).run()
            server.wait_for_end()
            self.assertEqual(3, getattr(server.ended_by, "code", None))


class InEventLoop(OnThreads):
    """With a daemon of Pyro5.aio."""

    server_type = "aio"

    def replay(self, group: str) -> None:
        if group != "nameserver":  # the same object
            super().replay(group)


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
