"""Golden tests of the HTTP gateway: recorded requests are answered as the recorded release did, but for what is listed."""
from __future__ import annotations

import json
import os
import unittest
from typing import Any, Dict, List, NamedTuple, Optional

from Pyro5._gateway import calls
from tests.support import PROJECT
from Pyro5.utils import echoserver

from ..gateways import Answer, Client, Site
from ..peers import free_port, settings
from ..test_wire_server import DIFFERENCES_PAGE
from ..wire import app

RECORDINGS = os.path.join(PROJECT, "tests", "wire", "http_gateway.json")

# key of docs/differences.md -> what is answered instead: status, class of the exception
DIFFERENT = {
    "http-unknown-object": {"object_not_in_name_server": (404, "Pyro5.errors.NamingError"),
                            "path_extra_segment": (404, "Pyro5.errors.NamingError"),
                            "expose_all_nested_name": (404, "Pyro5.errors.NamingError")},
    "http-communication-errors": {"remote_communication_error": (500, "Pyro5.errors.TimeoutError")},
    "http-streams": {"generator_result": (200, None)},
    "http-status": {**dict.fromkeys(("call_empty_param", "call_missing_param", "call_unexpected_param",
                                     "no_key_configured_parameter_given"), (400, "builtins.TypeError")),
                    "attribute_with_query": (400, "builtins.AssertionError"),
                    **dict.fromkeys(("method_unknown", "method_private", "method_unexposed", "oneway_option_unknown_method"),
                                    (404, "builtins.AttributeError")),
                    **dict.fromkeys(("object_unreachable", "object_unknown_at_daemon"),
                                    (502, "Pyro5.errors.CommunicationError")),
                    "correlation_id_bad": (400, "builtins.ValueError"),
                    "timeout": (504, "Pyro5.errors.TimeoutError")},
    "http-options-with-spaces": {"oneway_option_with_space": (200, None)},
    "http-name-server-gone": {"name_server_gone_call": (503, "Pyro5.errors.NamingError"),
                              "name_server_gone_home_page": (200, None)},
}
OTHERWISE = {name: what for names in DIFFERENT.values() for name, what in names.items()}
OPTIONS = {"-e": "expose", "-g": "gatewaykey", "-c": "cors", "-t": "timeout"}


class Recorded(NamedTuple):
    """A request, and how it was answered; ``<made up>`` stands for a correlation id."""

    name: str
    options: List[str]
    request: str
    headers: Dict[str, str]
    request_body: str
    status: int
    content_type: Optional[str]
    correlation_id: Optional[str]
    origin: Optional[str]
    location: Optional[str]
    body: Optional[str]      # None: a page


def load() -> List[Recorded]:
    with open(RECORDINGS, encoding="utf-8") as file:
        return [Recorded(*each) for each in json.load(file)]


def options_of(recorded: Recorded) -> Dict[str, Any]:
    """Return the arguments of the gateway for the options of the recorded command line."""
    options: Dict[str, Any] = {"cors": "*"}     # what the recorded release did without that option
    options.update((OPTIONS[name], text) for name, text in zip(recorded.options[::2], recorded.options[1::2]))
    if "timeout" in options:
        options["timeout"] = 0.1
    return options


class Replay(unittest.TestCase):
    def setUp(self) -> None:
        app.register_converters()
        self.addCleanup(app.unregister_converters)
        echo = echoserver.EchoServer()
        self.site = Site({"http." + name: app.OBJECTS[name] for name in ("calls", "access", "errs", "streams")})
        self.addCleanup(self.site.__exit__)
        self.addCleanup(echo._shutting_down.set)  # a call of slow() may be under way
        uri = self.site.daemon.register(echo, "test.echoserver")
        for name, where in (("http.echo", uri), ("hidden.echo", uri), ("http.gone", "PYRO:gone@127.0.0.1:%d" % free_port()),
                            ("http.unknownobj", "PYRO:nosuch@" + self.site.daemon.locationStr)):
            self.site.names.register(name, where)
        self.clients: Dict[str, Client] = {}

    def client_for(self, recorded: Recorded) -> Client:
        key = repr(recorded.options)
        if key not in self.clients:
            self.clients[key] = self.site.gateway(**options_of(recorded))[1]
        return self.clients[key]

    def test_recorded_requests(self) -> None:
        for recorded in load():
            if recorded.name == "name_server_gone_call":
                self.site.stop_name_server()
            with self.subTest(recorded.name):
                method, target = recorded.request.split(" ", 1)
                answer = self.client_for(recorded).request(method, target, recorded.headers, recorded.request_body)
                if recorded.name in OTHERWISE:
                    self.check_difference(answer, *OTHERWISE[recorded.name])
                else:
                    self.check(recorded, answer)

    def check_difference(self, answer: Answer, status: int, error: Optional[str]) -> None:
        self.assertEqual(status, answer.status)
        if error is not None:
            self.assertEqual((error, True), (answer.value["__class__"], answer.value["__exception__"]))

    def check(self, recorded: Recorded, answer: Answer) -> None:
        self.assertEqual((recorded.status, recorded.origin, recorded.location),
                         (answer.status, answer.headers.get("access-control-allow-origin"), answer.headers.get("location")))
        if recorded.body is None:
            self.assertTrue(answer.headers["content-type"].startswith("text/html"))
            return
        if recorded.content_type:
            self.assertEqual(recorded.content_type, answer.headers["content-type"])
        if recorded.correlation_id:
            self.check_correlation_id(recorded.correlation_id, answer)
        if recorded.request.startswith("HEAD"):
            self.assertEqual(b"", answer.body)
            return
        self.assertEqual(str(len(answer.body)), answer.headers["content-length"])
        if recorded.body.startswith("{"):
            self.assertEqual(self.masked(json.loads(recorded.body)), self.masked(answer.value))
        else:
            self.assertEqual(recorded.body, answer.body.decode("utf-8"))

    def check_correlation_id(self, expected: str, answer: Answer) -> None:
        if expected == "<made up>":
            self.assertRegex(answer.headers["x-pyro-correlation-id"], r"^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")
        else:
            self.assertEqual(expected, answer.headers["x-pyro-correlation-id"])

    def masked(self, value: Any) -> Any:
        """Remove what differs between runs, and the wording of errors of Python and of the library."""
        if not isinstance(value, dict):
            return value
        if "methods" in value:
            return {key: sorted(names) for key, names in value.items()}
        if value.get("__class__") == "Pyro5.core.URI":
            return value["state"][:-1]
        if value.get("__exception__"):
            remote = "_pyroTraceback" in value["attributes"]
            own = remote and value["args"][0] in ("the message", "broken property", "custom", "pyro message", "missing")
            return value["__class__"], sorted(value["attributes"]), value["args"] if own else len(value["args"])
        return sorted(value)

    def test_streams_become_lists(self) -> None:
        client = self.site.gateway()[1]
        self.assertEqual([1, 2], client.get("/pyro/http.access/streamprop").value)
        self.assertEqual(["a", "b"], client.get("/pyro/http.streams/listiter").value)
        failed = client.get("/pyro/http.streams/failing")
        self.assertEqual((500, ["mid stream"]), (failed.status, failed.value["args"]))

    def test_too_long_streams(self) -> None:
        client = self.site.gateway()[1]
        self.addCleanup(setattr, calls, "STREAM_ITEMS", calls.STREAM_ITEMS)
        calls.STREAM_ITEMS = 5
        answer = client.post("/pyro/http.streams/gen", [100])
        self.assertEqual((500, "Pyro5.errors.PyroError"), (answer.status, answer.value["__class__"]))
        self.assertEqual([0, 1, 2, 3, 4], client.post("/pyro/http.streams/gen", {"n": 5}).value)

    def test_streams_share_the_memory_of_all_requests(self) -> None:
        gateway, client = self.site.gateway()
        with settings(MAX_GATEWAY_MEMORY=2000):
            answer = client.post("/pyro/http.streams/gen", [100])
            self.assertEqual((503, "2"), (answer.status, answer.headers["retry-after"]))
            self.assertEqual([0, 1, 2], client.post("/pyro/http.streams/gen", [3]).value)
        self.assertEqual(0, gateway._memory.taken)

    def test_differences_are_documented(self) -> None:
        with open(DIFFERENCES_PAGE, encoding="utf-8") as file:
            page = file.read()
        self.assertEqual([], [key for key in DIFFERENT if "`%s`" % key not in page])


if __name__ == "__main__":
    unittest.main()
