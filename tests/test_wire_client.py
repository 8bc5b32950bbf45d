"""Golden tests, client role: our client sends what the recorded one sent, and gets the same from the recorded replies."""
from __future__ import annotations

import unittest

from Pyro5 import api, serializers
from tests.wire import app, client_role, compare, differences, recordings
from tests.wire.groups import RecordedGroups
from tests.wire.client_actions import actions_for
from tests.wire.recordings import Message, Outcome, Scenario
from tests.wire.values import KnownError

KNOWN_TAG = "wire_app.KnownError"


def _replayed(scenario: Scenario) -> bool:
    """Return whether a program that used the client was recorded, and not only a script that sent bytes."""
    results = [step for step in scenario.steps if isinstance(step, Outcome) and step.kind in ("returned", "raised")]
    messages = [step for step in scenario.steps if isinstance(step, Message)]
    return (recordings.runs_here(scenario) and bool(results) and all(step.frame for step in messages if step.side == "C")
            and bool(messages or actions_for(scenario)))


class RecordedReplies(RecordedGroups, unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        app.register_converters()
        cls.addClassCleanup(app.unregister_converters)
        api.register_dict_to_class(KNOWN_TAG, lambda name, data: KnownError(*data["args"]))
        cls.addClassCleanup(api.unregister_dict_to_class, KNOWN_TAG)

    def replay(self, group: str) -> None:
        scenarios = [scenario for scenario in recordings.load(group) if _replayed(scenario)]
        self.assertTrue(scenarios)
        for scenario in scenarios:
            with self.subTest(scenario.title):
                client_role.replay(scenario, differences.find(differences.CLIENT, scenario))

    def test_client_faults(self) -> None:
        self.replay("client_faults")


class RecordedArguments(unittest.TestCase):
    """What a method sees of the recorded arguments."""

    @classmethod
    def setUpClass(cls) -> None:
        app.register_converters()
        cls.addClassCleanup(app.unregister_converters)

    def test_types(self) -> None:
        for scenario in recordings.load("types"):
            seen = [step.values[0] for step in scenario.steps
                    if isinstance(step, Outcome) and step.kind == "seen by the method as"]
            frames = [step.frame for step in scenario.steps if isinstance(step, Message) and step.side == "C" and step.frame]
            if seen and frames and recordings.runs_here(scenario):
                with self.subTest(scenario.title):
                    serializer = serializers.get_serializer(str(scenario.serializer))
                    args = serializer.loadsCall(compare.inflated(frames[0]))[2]
                    self.assertEqual(seen[0], type(args[0]).__name__)
