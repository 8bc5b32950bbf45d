"""Finding the name server, and names and tags in it."""
from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
import unittest
from typing import Any, Dict, Iterator, List, Optional, Tuple
from unittest import mock

from Pyro5 import errors
from Pyro5._client import discovery, ns_places
from Pyro5._values.uri import URI

from ..peers import PATIENCE_SECONDS, Peer, ScriptedServer, free_port, name_server, settings

NS_URI = "PYRO:Pyro.NameServer@192.0.2.7:9090"


class Responder:
    """Answers every datagram with some datagrams of its own; puts down what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.asked: List[bytes] = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="responder")

    def _run(self) -> None:
        while True:
            data, asker = self.sock.recvfrom(1000)
            if data == b"stop":
                return
            self.asked.append(data)
            for answer in self.answers:
                self.sock.sendto(answer, asker)

    def __enter__(self) -> Responder:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join(PATIENCE_SECONDS)
        self.sock.close()


class BroadcastTests(unittest.TestCase):
    def setUp(self) -> None:
        self.ignored: List[Any] = []

    def ask(self, *answers: bytes) -> List[URI]:
        with mock.patch.object(discovery, "BROADCAST_INTERVAL_SECONDS", 0.05), Responder(*answers) as responder:
            found = list(discovery.ask_by_broadcast(["127.0.0.1"], responder.port, self.ignored))
        self.assertEqual([b"GET_NSURI"] * discovery.BROADCASTS, responder.asked)
        return found

    def first(self, addresses: List[str], responder: Responder) -> Optional[URI]:
        return next(discovery.ask_by_broadcast(addresses, responder.port, self.ignored), None)

    def test_the_answer_is_the_uri(self) -> None:
        self.assertEqual([URI(NS_URI)], self.ask(NS_URI.encode()))

    def test_the_first_answer_is_returned_at_once(self) -> None:
        with mock.patch.object(discovery, "BROADCAST_INTERVAL_SECONDS", PATIENCE_SECONDS):
            with Responder(NS_URI.encode()) as responder:
                self.assertEqual(URI(NS_URI), self.first(["127.0.0.1"], responder))

    def test_invalid_answers_are_ignored(self) -> None:
        bad = [b"", b"\xff\x00garbage", b"PYRONAME:other@192.0.2.7:9090", b"PYRO:Pyro.NameServer@./u:/tmp/sock",
               b"PYRO:Pyro.NameServer@192.0.2.7:9090" + b" " * 600, b"PYRO:Pyro.NameServer@192.0.2.7:0",
               b"PYRO:other.object@192.0.2.7:9090", b"PYRO:Pyro.NameServer@0.0.0.0:9090", b"PYRO:Pyro.NameServer@[::]:9090"]
        with self.assertLogs("Pyro5.discovery", "INFO") as logs:
            self.assertEqual([URI(NS_URI)], self.ask(*bad, NS_URI.encode()))
        self.assertGreaterEqual(len(logs.records), len(bad))
        self.assertEqual({"INFO"}, {record.levelname for record in logs.records})
        self.assertEqual(len(logs.records), len(self.ignored))

    def test_an_answer_from_another_port_is_ignored(self) -> None:
        forged = b"PYRO:Pyro.NameServer@192.0.2.66:9090"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, Responder(NS_URI.encode()) as responder:
            asker.bind(("127.0.0.1", 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
                forger.sendto(forged, asker.getsockname())
            asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.port))
            with self.assertLogs("Pyro5.discovery", "INFO") as logs:
                deadline = time.monotonic() + PATIENCE_SECONDS
                self.assertEqual(URI(NS_URI), next(discovery._await_answers(asker, responder.port, deadline, self.ignored)))
        self.assertIn("192.0.2.66", logs.output[0])

    def test_a_flood_of_answers_ends(self) -> None:
        sock = mock.Mock()
        sock.recvfrom.return_value = (b"flood", ("192.0.2.7", 9091))
        with self.assertLogs("Pyro5.discovery", "INFO"):
            self.assertEqual([], list(discovery._await_answers(sock, 9091, 0, self.ignored)))

    def test_several_questions_and_no_answer(self) -> None:
        self.assertEqual([], self.ask())

    def test_several_addresses(self) -> None:
        with Responder(NS_URI.encode()) as responder:
            self.assertEqual(URI(NS_URI), self.first(["127.0.0.2", "127.0.0.1", "127.0.0.3"], responder))
        self.assertEqual([b"GET_NSURI"], responder.asked)

    def test_an_unreachable_address_does_not_prevent_the_others(self) -> None:
        with Responder(NS_URI.encode()) as responder:
            self.assertEqual(URI(NS_URI), self.first(["not an address", "127.0.0.1"], responder))

    def test_no_broadcasts_at_all(self) -> None:
        with mock.patch("Pyro5.socketutil.create_bc_socket", side_effect=OSError("no network")):
            self.assertEqual([], list(discovery.ask_by_broadcast(["127.0.0.1"], 9091, self.ignored)))

    def test_it_ends_at_once_if_nothing_could_be_sent(self) -> None:
        with mock.patch.object(discovery, "_await_answers", side_effect=AssertionError("it waits")):
            self.assertEqual([], list(discovery.ask_by_broadcast(["not an address", "nor is this"], 9091, self.ignored)))
            self.assertEqual([], list(discovery.ask_by_broadcast([], 9091, self.ignored)))

    def test_a_reported_failure_of_an_earlier_datagram_is_no_answer(self) -> None:
        sock = mock.Mock()
        sock.recvfrom.side_effect = [ConnectionResetError(), (NS_URI.encode(), ("192.0.2.7", 9091)), socket.timeout()]
        self.assertEqual([URI(NS_URI)], list(discovery._await_answers(
            sock, 9091, time.monotonic() + PATIENCE_SECONDS, self.ignored)))


class LocateTests(unittest.TestCase):
    """The order of the places."""

    def setUp(self) -> None:
        self.tried: List[Any] = []
        self.listening: List[str] = []
        self.answers: List[URI] = []
        self.forgers: List[Any] = []
        patch = mock.patch.object(discovery, "ask_by_broadcast", self.ask)
        patch.start()
        self.addCleanup(patch.stop)
        usual = settings(NS_HOST="localhost", NS_PORT=9090, NS_BCPORT=9091)
        usual.__enter__()
        self.addCleanup(usual.__exit__, None, None, None)

    def ask(self, addresses: List[str], port: int, ignored: List[Any]) -> List[URI]:
        self.tried.append(("broadcast", port))
        ignored += self.forgers
        return self.answers

    def connect(self, uri: URI, limit_seconds: Optional[float]) -> str:
        self.tried.append((uri.location, limit_seconds))
        if uri.location not in self.listening:
            raise errors.CommunicationError("nobody at %s" % uri.location)
        return "connected to %s" % uri

    def accept(self, uri: URI) -> str:
        if uri.host == "192.0.2.66":
            raise errors.CommunicationError("nobody at %s" % uri.location)
        return "told of %s" % uri

    def locate(self, **arguments: Any) -> str:
        return discovery.locate(self.connect, self.accept, **arguments)

    def test_this_machine_first(self) -> None:
        self.listening = ["localhost:9090"]
        self.assertEqual("connected to PYRO:Pyro.NameServer@localhost:9090", self.locate())
        place, limit_seconds = self.tried.pop()
        self.assertEqual("localhost:9090", place)
        self.assertLessEqual(limit_seconds, discovery.LOOPBACK_SECONDS)
        self.assertEqual([], self.tried)

    def test_then_the_address_of_the_own_host_name(self) -> None:
        self.listening = ["127.0.1.1:9090"]
        self.assertEqual("connected to PYRO:Pyro.NameServer@127.0.1.1:9090", self.locate())

    def test_a_program_that_never_answers_on_this_machine_is_given_up_after_the_limit(self) -> None:
        clock = iter(range(1000))
        with mock.patch("time.monotonic", lambda: next(clock)), self.assertRaises(errors.NamingError):
            self.locate()
        self.assertEqual([("broadcast", 9091)], self.tried)

    def test_then_the_hosts_that_answer_a_broadcast(self) -> None:
        self.answers = [URI(NS_URI)]
        self.assertEqual("told of " + NS_URI, self.locate())

    def test_an_answer_without_a_name_server_does_not_hide_the_others(self) -> None:
        forged = [URI("PYRO:Pyro.NameServer@192.0.2.66:%d" % port) for port in range(1, 9)]
        self.answers = forged[:2] + [URI(NS_URI)]
        self.assertEqual("told of " + NS_URI, self.locate())
        self.answers = forged + [URI(NS_URI)]
        with self.assertRaises(errors.NamingError) as caught:
            self.locate()
        self.assertEqual(discovery.MAX_ANSWERS_TRIED, str(caught.exception).count("the answer to a broadcast: nobody at"))

    def test_a_remote_NS_HOST_is_tried_last(self) -> None:
        self.listening = ["ns.example:9099"]
        with settings(NS_HOST="ns.example", NS_PORT=9099):
            self.assertEqual("connected to PYRO:Pyro.NameServer@ns.example:9099", self.locate())
        self.assertEqual([("broadcast", 9091), ("ns.example:9099", None)], self.tried)

    def test_an_explicit_host_is_the_only_place(self) -> None:
        self.listening = ["ns.example:9090"]
        self.assertTrue(self.locate(host="ns.example"))
        self.tried.clear()
        for host, port, location in (("ns.example", 5, "ns.example:5"), ("::1", None, "[::1]:9090"),
                                     ("./u:/tmp/ns sock", None, "./u:/tmp/ns sock")):
            with self.assertRaisesRegex(errors.NamingError, "nobody at "):
                self.locate(host=host, port=port)
            self.assertEqual((location, None), self.tried.pop())
        self.assertEqual([], self.tried)

    def test_a_port_without_host_is_that_of_the_responder(self) -> None:
        with self.assertRaises(errors.NamingError):
            self.locate(port=1234)
        self.assertIn(("broadcast", 1234), self.tried)

    def test_invalid_ports(self) -> None:
        reason = "^a port is a number from 0 to 65535, not %d$"
        for port in (99999, -1):
            for arguments in ({"port": port}, {"port": port, "broadcast": False}, {"host": "ns.example", "port": port}):
                with self.assertRaisesRegex(ValueError, reason % port):
                    self.locate(**arguments)
        self.assertEqual([], self.tried)
        with settings(NS_BCPORT=99999), self.assertRaisesRegex(ValueError, reason % 99999):
            self.locate()
        with self.assertRaisesRegex(TypeError, "a port is a number from 0 to 65535, not '9090'"):
            discovery.locate(mock.Mock(), mock.Mock(), "127.0.0.1", "9090")  # type: ignore[arg-type]

    def test_without_broadcast(self) -> None:
        with self.assertRaises(errors.NamingError):
            self.locate(broadcast=False)
        self.assertEqual(["localhost:9090", "127.0.1.1:9090"], [place for place, _ in self.tried])

    def test_broadcasts_switched_off(self) -> None:
        self.answers = [URI(NS_URI)]
        with settings(BROADCAST_LOOKUP=False):
            with self.assertRaisesRegex(errors.NamingError, "; no broadcast was sent: the setting BROADCAST_LOOKUP is off. "):
                self.locate()
            with self.assertRaises(errors.NamingError) as caught:
                self.locate(broadcast=False)
            self.listening = ["ns.example:9090"]
            with settings(NS_HOST="ns.example"):
                self.assertEqual("connected to PYRO:Pyro.NameServer@ns.example:9090", self.locate())
        self.assertNotIn("BROADCAST_LOOKUP", str(caught.exception))
        self.assertEqual([], [place for place in self.tried if place[0] == "broadcast"])

    def test_the_error_lists_every_place(self) -> None:
        with settings(BROADCAST_ADDRS=["192.0.2.255"]), self.assertRaises(errors.NamingError) as caught:
            self.locate()
        for place in ("localhost:9090", "127.0.1.1:9090", "port 9091 of 192.0.2.255", "python -m Pyro5.nameserver"):
            self.assertIn(place, str(caught.exception))


    def test_the_error_mentions_ignored_answers(self) -> None:
        with settings(BROADCAST_ADDRS=["192.0.2.255"]):
            with self.assertRaisesRegex(errors.NamingError, "port 9091 of 192.0.2.255: no answer. Start"):
                self.locate()
            self.forgers = [("192.0.2.7", 9091), ("192.0.2.66", 4711)]
            with self.assertRaisesRegex(errors.NamingError, "of 192.0.2.255: no valid answer "
                                                            r"\(2 ignored, the last one from 192.0.2.66:4711\). Start"):
                self.locate()


class SpeedTests(unittest.TestCase):
    def test_a_machine_without_name_server_is_detected_quickly(self) -> None:
        """All the waiting that there is has an end."""
        self.assertLess(discovery.LOOPBACK_SECONDS + discovery.BROADCASTS * discovery.BROADCAST_INTERVAL_SECONDS, 1.7)
        port = free_port()
        with settings(NS_PORT=port, NS_BCPORT=port, BROADCAST_ADDRS=["127.0.0.1"]), \
                mock.patch.object(discovery, "BROADCAST_INTERVAL_SECONDS", 0.01), self.assertRaises(errors.NamingError):
            discovery.resolve("PYRONAME:name")


class NameTests(unittest.TestCase):
    names = {"there": "PYRO:obj@host:1", "indirect": "PYRONAME:there"}

    @contextlib.contextmanager
    def server(self, tags: Any = None, connections: int = 1) -> Iterator[Tuple[ScriptedServer, List[Any]]]:
        asked: List[Any] = []
        with ScriptedServer(*[name_server(self.names, tags, asked)] * connections) as server:
            with settings(NS_PORT=server.port, NS_HOST="127.0.0.1"):
                yield server, asked

    def test_a_PYRO_uri_is_returned_unchanged(self) -> None:
        self.assertEqual(URI("PYRO:obj@host:1"), discovery.resolve("PYRO:obj@host:1"))

    def test_a_name_is_looked_up(self) -> None:
        with self.server() as (_, asked):
            self.assertEqual(URI("PYRO:obj@host:1"), discovery.resolve("PYRONAME:there"))
        self.assertEqual([("lookup", "there")], asked)

    def test_the_uri_may_contain_the_location_of_the_name_server(self) -> None:
        with self.server() as (server, _), settings(NS_PORT=1, NS_HOST="192.0.2.1"):
            self.assertEqual(URI("PYRO:obj@host:1"), discovery.resolve("PYRONAME:there@127.0.0.1:%d" % server.port))

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "needs Unix domain sockets")
    def test_a_name_server_on_a_unix_socket(self) -> None:
        with ScriptedServer(name_server(self.names), family=socket.AF_UNIX) as server:
            self.assertEqual(URI("PYRO:obj@host:1"), discovery.resolve("PYRONAME:there@" + server.location))

    def test_a_name_server_that_answered_a_broadcast(self) -> None:
        with self.server() as (server, _):
            found = URI("PYRO:Pyro.NameServer@127.0.0.1:%d" % server.port)
            with settings(NS_HOST="192.0.2.1"), mock.patch.object(discovery, "ask_by_broadcast", return_value=[found]):
                self.assertEqual(URI("PYRO:obj@host:1"), discovery.resolve("PYRONAME:there"))

    def test_an_unknown_name(self) -> None:
        with self.server(), self.assertRaisesRegex(errors.NamingError, "missing"):
            discovery.resolve("PYRONAME:missing")

    def test_a_name_that_refers_to_another_name(self) -> None:
        with self.server(), self.assertRaisesRegex(errors.NamingError, "'indirect', but PYRONAME:there"):
            discovery.resolve("PYRONAME:indirect")

    def test_tags(self) -> None:
        tags = {"a,b": {"one": "PYRO:one@host:1", "two": "PYRO:two@host:2"}}
        with self.server(tags) as (_, asked):
            self.assertIn(discovery.resolve("PYROMETA:b,a"), (URI("PYRO:one@host:1"), URI("PYRO:two@host:2")))
        self.assertEqual([("yplookup", {"a", "b"}, None, False)], asked)

    def test_unknown_tags(self) -> None:
        with self.server({}), self.assertRaisesRegex(errors.NamingError, "all of the tags a, b"):
            discovery.resolve("PYROMETA:a,b")

    def test_lookup_and_yplookup(self) -> None:
        with self.server({"a": {"one": "PYRO:one@host:1"}}, connections=3) as (_, asked):
            self.assertEqual(URI("PYRO:obj@host:1"), discovery.lookup("there"))
            self.assertEqual({"one": "PYRO:one@host:1"}, discovery.yplookup(meta_any=["a"]))
            with self.assertRaisesRegex(errors.NamingError, "any of the tags z"):
                discovery.yplookup(meta_any={"z"})
        self.assertEqual(("yplookup", None, {"a"}, False), asked[1])
        with self.assertRaises(ValueError):
            discovery.yplookup()

    def test_one_of_the_objects_with_the_tags_is_chosen_at_random(self) -> None:
        uris = ["PYRO:object%d@host:1" % number for number in range(9)]
        with self.server({"a": {uri: uri for uri in uris}}, connections=2):
            for position in (3, 8):
                with mock.patch("random.choice", lambda found, position=position: sorted(found)[position]):
                    self.assertEqual(URI(uris[position]), discovery.resolve("PYROMETA:a"))

    def test_all_lookups_wait_for_a_name_that_is_not_registered_yet(self) -> None:
        for ask, expected in ((lambda delay: discovery.resolve("PYRONAME:late", delay), URI("PYRO:late@host:1")),
                              (lambda delay: discovery.lookup("late", delay), URI("PYRO:late@host:1")),
                              (lambda delay: discovery.resolve("PYROMETA:late", delay), URI("PYRO:late@host:1")),
                              (lambda delay: discovery.yplookup(["late"], delay_time=delay), {"late": "PYRO:late@host:1"})):
            for delay, setting in ((PATIENCE_SECONDS, 0.0), (0.0, PATIENCE_SECONDS)):
                self.check_late(functools.partial(ask, delay), expected, setting)

    def check_late(self, ask: Any, expected: Any, setting: float) -> None:
        names: Dict[str, str] = {}
        tags: Dict[str, Any] = {}

        def appear(seconds: float) -> None:
            names["late"] = "PYRO:late@host:1"
            tags["late"] = dict(names)

        with ScriptedServer(name_server(names, tags)) as server, mock.patch.object(discovery, "threading") as patched:
            patched.Event.return_value.wait = appear  # it appears while it is waited for
            with settings(NS_PORT=server.port, NS_HOST="127.0.0.1", NS_LOOKUP_DELAY=setting):
                self.assertEqual(expected, ask())

    def test_all_lookups_close_their_connection(self) -> None:
        opened: List[Any] = []

        def open_connection(*args: Any) -> Any:
            opened.append(real(*args))
            return opened[-1]

        real = ns_places.open_connection
        with self.server({"a": {"one": "PYRO:one@host:1"}}, connections=8), \
                mock.patch.object(ns_places, "open_connection", open_connection):
            for ask in (lambda: discovery.resolve("PYRONAME:there"), lambda: discovery.resolve("PYROMETA:a"),
                        lambda: discovery.lookup("there"), lambda: discovery.yplookup(["a"])):
                ask()
            for ask in (lambda: discovery.resolve("PYRONAME:missing"), lambda: discovery.resolve("PYROMETA:missing"),
                        lambda: discovery.lookup("missing"), lambda: discovery.yplookup(["missing"])):
                self.assertRaises(errors.NamingError, ask)
            self.assertEqual([-1] * 8, [connection.fileno() for connection in opened])

    def test_another_program_listens_at_the_port(self) -> None:
        def talk_http(peer: Peer) -> None:
            peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.read()
            peer.wait_for_close()

        with ScriptedServer(talk_http) as server:
            with self.assertRaisesRegex(errors.NamingError, "127.0.0.1:%d.*not the Pyro protocol" % server.port):
                discovery.resolve("PYRONAME:there@127.0.0.1:%d" % server.port)


class RetryTests(unittest.TestCase):
    """With a clock that only moves while a thread waits."""

    def setUp(self) -> None:
        self.now = 0.0
        self.waits: List[float] = []
        self.asked = 0

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def retry(self, there_at: float, delay: float) -> Any:
        def ask() -> str:
            self.asked += 1
            if self.now < there_at:
                raise errors.NamingError("not yet")
            return "found"

        return discovery.retry_until_found(ask, delay, clock=lambda: self.now, wait=self.wait)

    def test_no_delay_is_one_attempt(self) -> None:
        with self.assertRaises(errors.NamingError):
            self.retry(there_at=0.1, delay=0)
        self.assertEqual((1, []), (self.asked, self.waits))

    def test_a_name_that_is_registered_in_time(self) -> None:
        self.assertEqual("found", self.retry(there_at=5, delay=10))
        self.assertLess(self.asked, 12)
        self.assertEqual(discovery.MAX_PAUSE_SECONDS, max(self.waits))

    def test_the_time_limit(self) -> None:
        with self.assertRaises(errors.NamingError):
            self.retry(there_at=99, delay=10)
        self.assertAlmostEqual(10, self.now)

    def test_the_setting_is_the_default(self) -> None:
        with settings(NS_LOOKUP_DELAY=3.0), self.assertRaises(errors.NamingError):
            self.retry(there_at=99, delay=0)
        self.assertAlmostEqual(3, self.now)

    def test_other_errors_end_it(self) -> None:
        def ask() -> None:
            raise errors.ConnectionClosedError("gone")

        with self.assertRaises(errors.ConnectionClosedError):
            discovery.retry_until_found(ask, 10, clock=lambda: self.now, wait=self.wait)


if __name__ == "__main__":
    unittest.main()
