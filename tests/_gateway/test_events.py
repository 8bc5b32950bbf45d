"""Responses that are streams of events: items of streams, changes in the name server, and how they end."""
from __future__ import annotations

import contextlib
import http.client
import json
import threading
import unittest
from typing import Any, Dict, Iterator, List, Optional
from unittest import mock

from Pyro5._gateway import events
from Pyro5._http.server import HttpServer
from Pyro5._objects.exposure import expose, oneway

from ..gateways import Site
from ..support import PATIENCE_SECONDS

WANTED = {"Accept": "text/event-stream"}


@expose
class Ticker:
    def __init__(self) -> None:
        self.ended = threading.Event()
        self.more = threading.Event()
        self.calls = 0

    def count(self, end: int) -> Iterator[Any]:
        self.calls += 1
        yield from range(int(end))
        yield b"end"

    def fail(self) -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    def forever(self) -> Iterator[str]:
        try:
            while True:
                yield "x" * 1000
        finally:
            self.ended.set()

    def pause(self) -> Iterator[int]:
        try:
            yield 1
            self.more.wait(PATIENCE_SECONDS)
            yield 2
        finally:
            self.ended.set()

    def plain(self) -> List[int]:
        return [1, 2]

    @oneway
    def forget(self) -> None:
        pass

    @property
    def rate(self) -> int:
        return 5


def parse(text: str) -> List[Dict[str, Any]]:
    """Return the events in a text, without comments."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


class EventTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.ticker = Ticker()
        self.site = Site({"http.ticker": self.ticker})
        self.addCleanup(self.site.__exit__)
        self.gateway, self.client = self.site.gateway()

    def events(self, target: str) -> List[Dict[str, Any]]:
        answer = self.client.request("GET", "/pyro/" + target, WANTED)
        self.assertEqual((200, "text/event-stream", False), (answer.status, answer.headers["content-type"],
                                                             "content-length" in answer.headers), answer)
        return parse(answer.body.decode())

    @contextlib.contextmanager
    def opened(self, target: str) -> Iterator[Any]:
        """Open a stream for the block; yield the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.client.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/pyro/" + target, headers=WANTED)
            with contextlib.closing(connection.getresponse()) as response:
                self.assertEqual(200, response.status)
                yield response

    def next_event(self, response: Any, kind: Optional[str] = None) -> Dict[str, Any]:
        """Read up to the next event; with a kind, up to that in its data."""
        while True:
            lines = list(iter(lambda: response.readline().decode().rstrip("\n"), ""))
            for event in parse("\n".join(lines)):
                if kind is None or event["data"].get("kind") == kind:
                    return event


class Streams(EventTestCase):
    def test_items(self) -> None:
        *items, last, end = self.events("http.ticker/count?end=3")
        self.assertEqual([{"id": str(number + 1), "data": number} for number in range(3)], items)
        self.assertEqual("ZW5k", last["data"]["data"])
        self.assertEqual({"event": "end", "data": None}, end)

    def test_other_results(self) -> None:
        self.assertEqual([[1, 2], None], [each["data"] for each in self.events("http.ticker/plain")])
        self.assertEqual([5, None], [each["data"] for each in self.events("http.ticker/rate")])
        self.assertEqual(b"", self.client.request("GET", "/pyro/http.ticker/forget", WANTED).body)

    def test_an_exception_after_items(self) -> None:
        first, failure = self.events("http.ticker/fail")
        self.assertEqual((1, "failure", "builtins.ValueError"),
                         (first["data"], failure["event"], failure["data"]["__class__"]))

    def test_failures_before_the_first_item(self) -> None:
        for target, status in (("count", 400), ("nosuch", 404), ("count?end=x", 200)):
            self.assertEqual(status, self.client.request("GET", "/pyro/http.ticker/" + target, WANTED).status)

    def test_a_browser_that_comes_back_does_not_call_again(self) -> None:
        answer = self.client.request("GET", "/pyro/http.ticker/count?end=3", {**WANTED, "Last-Event-ID": "2"})
        self.assertEqual((204, b"", 0), (answer.status, answer.body, self.ticker.calls))

    def test_clients_that_go(self) -> None:
        with self.opened("http.ticker/forever") as response:
            self.next_event(response)
        self.assertTrue(self.ticker.ended.wait(PATIENCE_SECONDS))

    def test_comments_while_there_is_nothing(self) -> None:
        with mock.patch.object(events, "PATIENCE_SECONDS", 0.01), self.opened("http.ticker/pause") as response:
            self.next_event(response)
            self.assertEqual(b": nothing yet\n", response.readline())
            self.ticker.more.set()
            self.assertEqual(2, self.next_event(response)["data"])

    def test_cancelled(self) -> None:
        with self.opened("http.ticker/pause") as response:
            self.next_event(response)
            call, = self.client.get("/pyro/$calls").value["calls"]
            self.client.request("DELETE", "/pyro/$calls?id=" + call["id"])
            self.assertEqual("failure", self.next_event(response)["event"])
            self.ticker.more.set()
        self.assertEqual([], self.client.get("/pyro/$calls").value["calls"])

    def test_the_end_of_the_server(self) -> None:
        server: HttpServer = self.site.servers[0]
        with self.opened("http.ticker/pause") as response:
            self.next_event(response)
            server.close()
            self.assertEqual(b"", response.read())
            self.ticker.more.set()
        self.assertTrue(self.ticker.ended.wait(PATIENCE_SECONDS))


class Watches(EventTestCase):
    def test_changes(self) -> None:
        with self.opened("$watch") as response:
            current = self.next_event(response)
            self.assertEqual(("current", "http.ticker"), (current["data"]["kind"], current["data"]["name"]))
            self.next_event(response, "ready")
            self.site.names.register("hidden.new", "PYRO:x@127.0.0.1:1")
            self.site.names.register("http.new", "PYRO:x@127.0.0.1:1", metadata=["tag"])
            added = self.next_event(response)["data"]
            self.assertEqual(("added", "http.new", ["tag"]), (added["kind"], added["name"], added["metadata"]))
            self.site.names.remove("http.new")
            self.assertEqual("http.new", self.next_event(response, "removed")["data"]["name"])

    def test_of_some_names(self) -> None:
        with self.opened("$watch?prefix=other") as response:
            self.assertEqual("ready", self.next_event(response)["data"]["kind"])

    def test_the_end_of_the_name_server(self) -> None:
        with self.opened("$watch") as response:
            self.next_event(response, "ready")
            self.site.stop_name_server()
            self.assertEqual("failure", self.next_event(response)["event"])
        self.assertEqual(503, self.client.get("/pyro/$watch").status)


class Texts(unittest.TestCase):
    def test_accept(self) -> None:
        self.assertEqual([True, True, False, False], [events.wants_events(text) for text in (
            "text/event-stream", "text/html, Text/Event-Stream;q=0.5", "*/*", "")])

    def test_several_lines(self) -> None:
        self.assertEqual(b"event: a\nid: 5\ndata: [\ndata: ]\n\n", events.event(b"[\n]", "a", 5))


if __name__ == "__main__":
    unittest.main()
