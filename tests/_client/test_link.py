"""A proxy's link: ownership, connecting, what a broken exchange leaves behind, forks, ready-made sockets."""
from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import threading
import unittest
from typing import Any, Callable, Optional
from unittest import mock

from Pyro5 import errors
from Pyro5._client.connection import Connection
from Pyro5._client.pool import OPEN_FIRST
from Pyro5._client.connector import connected_socket_uri
from Pyro5._client.link import Link
from Pyro5._values.uri import URI

from ..peers import PATIENCE_SECONDS, Peer, ScriptedServer, name_server, settings
from ..support import PROJECT


def accept_any(response: Any) -> None:
    return


def call(link: Link, method: str = "echo", *args: Any, flags: int = 0) -> Any:
    connection = link.acquire_ready() or link.acquire(lambda: link.connect(accept_any), accept_any)
    return link.call(connection, method, args, {}, flags, None, None)


def echo_script(peer: Peer) -> None:
    peer.welcome()
    peer.serve(lambda method, *args: args[0] if args else None)


class LinkTestCase(unittest.TestCase):
    def link_to(self, server: ScriptedServer) -> Link:
        link = Link(URI(server.uri))
        self.addCleanup(link.release)
        return link


class SettingsTests(unittest.TestCase):
    def test_settings_are_read_once(self) -> None:
        with settings(COMMTIMEOUT=1.5, MAX_RETRIES=3, MAX_MESSAGE_SIZE=5000, COMPRESSION=True, SERIALIZER="json"):
            link = Link(URI("PYRO:thing@host:1"))
        self.assertEqual((1.5, 3, (5000, True), "json"),
                         (link.timeout, link.max_retries, tuple(link.wire), link.serializer.name))

    def test_an_unknown_serializer_is_an_error_at_once(self) -> None:
        with settings(SERIALIZER="nonsense"), self.assertRaisesRegex(ValueError, "nonsense"):
            Link(URI("PYRO:thing@host:1"))


class ConnectTests(LinkTestCase):
    def test_handshake_and_metadata(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["echo", "fire"], ["fire"], ["value"], "the response")
            peer.wait_for_close()

        responses = []
        with ScriptedServer(script) as server:
            link = self.link_to(server)
            link.connect(responses.append)
            link.release()
        self.assertEqual(["the response"], responses)
        self.assertEqual(({"echo", "fire"}, {"fire"}, {"value"}), (link.methods, link.oneway, link.attrs))

    def test_metadata_missing_in_the_handshake_is_requested(self) -> None:
        def script(peer: Peer) -> None:
            request = peer.read()
            peer.send(2, request, {"handshake": "hello", "meta": None})
            question = peer.read_call()
            self.assertEqual(("Pyro.Daemon", "get_metadata", ["thing"], 1),
                             (question.object_id, question.method, list(question.args), question.message.seq))
            peer.answer(question, {"methods": ["echo"], "oneway": [], "attrs": []})
            peer.serve(lambda method, arg: arg)

        with ScriptedServer(script) as server:
            link = self.link_to(server)
            self.assertEqual("x", call(link, "echo", "x"))
            self.assertEqual(2, link.pool.seq)
            link.release()

    def check_refused(self, script: Callable[[Peer], Any], error: type, pattern: str,
                      validate: Callable[[Any], None] = accept_any) -> None:
        def whole_script(peer: Peer) -> None:
            script(peer)
            peer.wait_for_close()

        with ScriptedServer(whole_script) as server:
            link = self.link_to(server)
            with self.assertRaisesRegex(error, pattern):  # type: ignore[arg-type]
                link.connect(validate)
            self.assertIsNone(link.connection)

    def test_an_object_that_exposes_nothing_is_an_error(self) -> None:
        self.check_refused(lambda peer: peer.welcome([]), errors.PyroError, "PYRO:thing.*@expose")

    def test_malformed_metadata(self) -> None:
        for metadata in ({"methods": ["x"]}, {"methods": 5, "oneway": [], "attrs": []},
                         {"methods": [5], "oneway": [], "attrs": []}):
            self.check_refused(lambda peer, m=metadata: peer.send(2, peer.read(), {"handshake": 1, "meta": m}),
                               errors.ProtocolError, "malformed metadata of 'PYRO:thing")
        self.check_refused(lambda peer: peer.send(2, peer.read(), {"handshake": 1, "meta": "text"}),
                           errors.ProtocolError, "'meta' in the server's handshake reply is not a dict: text")

    def test_a_response_that_the_client_refuses(self) -> None:
        def refuse(response: Any) -> None:
            raise errors.SecurityError("not the server I know")

        self.check_refused(lambda peer: peer.welcome(), errors.SecurityError, "not the server I know", refuse)

    def test_a_name_is_resolved_for_every_connection(self) -> None:
        with ScriptedServer(echo_script, echo_script) as server:
            names = name_server({"name": server.uri})
            with ScriptedServer(names, names) as ns:
                link = Link(URI("PYRONAME:name@127.0.0.1:%d" % ns.port))
                link.connect(accept_any)
                self.assertEqual(("PYRONAME", server.uri), (link.uri.protocol, str(link.bound_uri)))
                link.connect(accept_any, replace_uri=True)
                self.assertEqual(server.uri, str(link.uri))
                link.release()


class SequenceTests(LinkTestCase):
    def test_numbers_survive_a_reconnect_and_wrap_around(self) -> None:
        seen = []

        def script(peer: Peer) -> None:
            seen.append(peer.welcome().seq)
            for _ in range(2):
                request = peer.read_call()
                seen.append(request.message.seq)
                peer.answer(request, None)
            peer.wait_for_close()

        with ScriptedServer(script, script) as server:
            link = self.link_to(server)
            call(link)
            call(link)
            link.release()
            link.pool.seq = 65534
            call(link)
            call(link)
            link.release()
        self.assertEqual([0, 1, 2, 65534, 65535, 0], seen)


class BrokenExchangeTests(LinkTestCase):
    """After an exchange that was not completed, the next call never sees the old reply: it has a new connection."""

    def check_recovers(self, first: Callable[[Peer], Any], error: type, prepare: Optional[Callable[[Link], Any]] = None,
                       ) -> None:
        def broken(peer: Peer) -> None:
            peer.welcome()
            first(peer)
            peer.wait_for_close()

        with ScriptedServer(broken, echo_script) as server:
            link = self.link_to(server)
            link.connect(accept_any)
            if prepare:
                prepare(link)
            with self.assertRaises(error):
                call(link, "echo", "first")
            self.assertIsNone(link.connection)
            link.timeout = None
            self.assertEqual("second", call(link, "echo", "second"))
            link.release()

    def test_timeout(self) -> None:
        def prepare(link: Link) -> None:
            assert link.connection is not None
            link.connection.timeout = 0.02

        self.check_recovers(lambda peer: peer.read_call(), errors.TimeoutError, prepare)

    def test_an_interruption(self) -> None:
        def prepare(link: Link) -> None:
            assert link.connection is not None
            link.connection._reader = mock.Mock(expects_large=False, receive_from=mock.Mock(side_effect=KeyboardInterrupt))

        self.check_recovers(lambda peer: peer.read_call(), KeyboardInterrupt, prepare)

    def test_a_reply_to_another_request(self) -> None:
        self.check_recovers(lambda peer: peer.answer(peer.read_call(), "x", seq=77), errors.ProtocolError)

    def test_a_communication_error_of_the_method(self) -> None:
        self.check_recovers(lambda peer: peer.fail(peer.read_call(), errors.TimeoutError("remote")), errors.TimeoutError)

    def test_an_interruption_in_the_middle_of_an_exchange(self) -> None:
        with ScriptedServer(echo_script, echo_script) as server:
            link = self.link_to(server)
            first = link.connect(accept_any)
            first.mid_exchange = True
            self.assertIsNone(link.acquire_ready())
            self.assertEqual("x", call(link, "echo", "x"))
            self.assertIsNot(first, link.connection)
            link.release()


class KeptConnectionTests(LinkTestCase):
    def check_kept(self, fail: Callable[[Link], Any], error: type) -> None:
        with ScriptedServer(echo_script) as server:
            link = self.link_to(server)
            first = link.connect(accept_any)
            with self.assertRaises(error):
                fail(link)
            self.assertEqual("x", call(link, "echo", "x"))
            self.assertIs(first, link.connection)
            link.release()

    def test_arguments_that_cannot_be_sent(self) -> None:
        self.check_kept(lambda link: call(link, "echo", object()), TypeError)

    def test_a_request_over_the_size_limit(self) -> None:
        def too_large(link: Link) -> None:
            wire, link.wire = link.wire, link.wire._replace(max_size=100)
            try:
                call(link, "echo", "x" * 1000)
            finally:
                link.wire = wire

        self.check_kept(too_large, errors.ProtocolError)

    def test_an_exception_of_the_method(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome()
            peer.fail(peer.read_call(), ValueError("remote"))
            peer.wait_for_close()

        with ScriptedServer(script) as server:
            link = self.link_to(server)
            with self.assertRaisesRegex(ValueError, "remote") as caught:
                call(link)
            self.assertEqual(["remote traceback\n"], caught.exception._pyroTraceback)  # type: ignore[attr-defined]
            self.assertTrue(link.is_ready())
            link.release()


class OwnerTests(unittest.TestCase):
    def test_other_threads_are_refused(self) -> None:
        with settings(PROXY_SHARING="strict"):
            self.check_refused(Link(URI("PYRO:thing@host:1")))

    def check_refused(self, link: Link) -> None:
        caught = []

        def use() -> None:
            connect = functools.partial(link.connect, accept_any)
            for step in (link.is_ready, connect, functools.partial(link.acquire, connect, accept_any)):
                try:
                    step()
                except errors.PyroError as x:
                    caught.append(str(x))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        self.assertEqual(3, len(caught))
        self.assertIn("_pyroClaimOwnership", caught[0])
        self.assertIn("PYRO:thing@host:1", caught[0])


class ReadyMadeSocketTests(unittest.TestCase):
    def setUp(self) -> None:
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.link = Link(connected_socket_uri("thing"), self.near)

    def run_script(self, script: Callable[[Peer], Any]) -> threading.Thread:
        thread = threading.Thread(target=script, args=(Peer(self.far),))
        thread.start()
        self.addCleanup(thread.join)
        return thread

    def serve(self, peer: Peer) -> None:
        def answer(method: str, *args: Any) -> Any:
            return {"methods": ["echo"], "oneway": [], "attrs": []} if method == "get_metadata" else args[0]
        peer.serve(answer)

    def test_uri(self) -> None:
        for name in ("thing", "PYRO:thing@host:1", URI("PYRO:thing@host:1")):
            self.assertEqual("PYRO:thing@<<connected-socket>>:0", str(connected_socket_uri(name)))

    def test_there_is_no_handshake_and_the_socket_stays_open(self) -> None:
        thread = self.run_script(self.serve)
        self.assertEqual("x", call(self.link, "echo", "x"))
        self.assertEqual(2, self.link.pool.seq)
        self.link.release()
        self.assertEqual("y", call(self.link, "echo", "y"))
        self.link.release()
        self.near.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_SECONDS)

    def test_a_non_blocking_socket_is_made_blocking(self) -> None:
        self.near.setblocking(False)
        self.run_script(self.serve)
        self.assertEqual("x", call(self.link, "echo", "x"))
        self.near.shutdown(socket.SHUT_RDWR)

    def test_a_socket_that_is_out_of_sync_is_not_used_again(self) -> None:
        self.link.timeout = 0.02
        with self.assertRaises(errors.TimeoutError):
            call(self.link)
        with self.assertRaisesRegex(errors.ConnectionClosedError, "create a new proxy"):
            call(self.link)
        self.assertFalse(self.link.can_reconnect)


FORKING_CLIENT = """
import os, sys
from Pyro5.client import Proxy
proxy = Proxy(sys.argv[1])
print("parent", proxy.echo("a"), flush=True)
child = os.fork()
if child == 0:
    print("child", proxy.echo("b"), flush=True)
    proxy._pyroRelease()
    os._exit(0)
status = os.waitpid(child, 0)[1]
print("parent", proxy.echo("c"), status, flush=True)
quiet = os.fork()
if quiet == 0:
    del proxy
    os._exit(0)
os.waitpid(quiet, 0)
print("parent", proxy.echo("d"), flush=True)
proxy._pyroRelease()
"""


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class ForkTests(unittest.TestCase):
    def test_a_forked_child_makes_its_own_connection_and_does_not_use_that_of_the_parent(self) -> None:
        served = []

        def script(number: int) -> Callable[[Peer], Any]:
            def play(peer: Peer) -> None:
                peer.welcome()
                peer.serve(lambda method, text: served.append((number, text)) or text.upper())
            return play

        with ScriptedServer(script(1), script(2)) as server:
            done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", FORKING_CLIENT, server.uri],
                                  env={**os.environ, "PYTHONPATH": PROJECT}, timeout=PATIENCE_SECONDS,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.assertEqual("", done.stderr)
        self.assertEqual(["parent A", "child B", "parent C 0", "parent D"], done.stdout.splitlines())
        self.assertEqual([(1, "a"), (2, "b"), (1, "c"), (1, "d")], served)


class ReleaseTests(unittest.TestCase):
    def test_a_connection_made_before_a_fork_is_closed_without_shutdown(self) -> None:
        first, second = socket.socketpair()
        self.addCleanup(second.close)
        other = socket.socket(fileno=os.dup(first.fileno()))
        self.addCleanup(other.close)
        link = Link(URI("PYRO:thing@host:1"))
        link.connection = Connection(first, "thing")
        link.pool.add(link.connection, threading.get_ident(), OPEN_FIRST)
        link.fork_count -= 1
        link.release()
        other.sendall(b"still open")
        self.assertEqual(b"still open", second.recv(100))


if __name__ == "__main__":
    unittest.main()
