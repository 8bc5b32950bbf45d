"""The progress line: on a terminal only, and gone in the end."""
from __future__ import annotations

import contextlib
import io
import sys
import threading
import unittest
from unittest import mock

from Pyro5 import nsc
from Pyro5._cli import progress
from Pyro5.client import Proxy
from Pyro5.protocol import MSG_RESULT, SendingMessage
from tests.peers import PATIENCE_SECONDS, Peer, ScriptedServer
from tests.rawclient import wait_until

BEGIN = "\r\033[K"


class Terminal(io.StringIO):
    """Tells of a text that is waited for."""

    def __init__(self, awaited: str = "") -> None:
        super().__init__()
        self.shown = threading.Event()
        self._awaited = awaited

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        count = super().write(text)
        if self._awaited in self.getvalue():
            self.shown.set()
        return count


class Line(unittest.TestCase):
    def test_each_text_replaces_the_one_before(self) -> None:
        terminal = Terminal()
        line = progress.ProgressLine(terminal)
        line.show("one")
        line.show("two")
        line.clear()
        line.clear()
        self.assertEqual(terminal.getvalue(), BEGIN + "one" + BEGIN + "two" + BEGIN)

    def test_fits_the_terminal(self) -> None:
        terminal = Terminal()
        progress.ProgressLine(terminal).show("x" * 500)
        self.assertEqual(terminal.getvalue(), BEGIN + "x" * 79)

    def test_what_changes_often_is_shown_now_and_then(self) -> None:
        terminal = Terminal()
        line = progress.ProgressLine(terminal)
        with mock.patch.object(progress.time, "monotonic", side_effect=[10.0, 10.1, 10.19, 10.21]):
            for number in range(4):
                line.show_now_and_then(lambda number=number: str(number))  # type: ignore[misc]
        self.assertEqual(terminal.getvalue(), BEGIN + "0" + BEGIN + "3")

    def test_nothing_into_a_pipe_and_without_standard_error(self) -> None:
        pipe = io.StringIO()
        line = progress.ProgressLine(pipe)
        line.show("text")
        line.show_now_and_then(lambda: "text")
        line.clear()
        self.assertEqual(pipe.getvalue(), "")
        with mock.patch.object(sys, "stderr", None):
            progress.ProgressLine().show("text")


class Waiting(unittest.TestCase):
    def test_is_shown_and_cleared(self) -> None:
        terminal = Terminal("step 3")
        numbers = iter(range(1, 1000000))
        with mock.patch.object(progress, "INTERVAL_SECONDS", 0.001), \
                progress.shown_while(lambda: "step %d" % next(numbers), progress.ProgressLine(terminal), 0.001):
            self.assertTrue(terminal.shown.wait(PATIENCE_SECONDS))
        self.assertTrue(terminal.getvalue().startswith(BEGIN + "step 1" + BEGIN + "step 2"))
        self.assertTrue(terminal.getvalue().endswith(BEGIN))

    def test_what_is_fast_shows_nothing(self) -> None:
        terminal = Terminal()
        with progress.shown_while(lambda: "text", progress.ProgressLine(terminal)):
            pass
        self.assertEqual(terminal.getvalue(), "")

    def test_without_a_terminal_there_is_no_thread(self) -> None:
        before = threading.active_count()
        with progress.shown_while(lambda: "text", progress.ProgressLine(io.StringIO()), 0.0):
            self.assertEqual(threading.active_count(), before)


class Answers(unittest.TestCase):
    def test_how_much_of_a_large_one_is_there(self) -> None:
        waiting, terminal = "0:00  waiting for the answer", Terminal("received 0.2 of 4.0 MB")

        def play(peer: Peer) -> None:
            peer.welcome()
            request = peer.read_call().message
            payload = b"'" + 4000000 * b"x" + b"'"
            answer = bytes(SendingMessage(MSG_RESULT, 0, request.seq, request.serializer_id, payload).data)
            wait_until(lambda: waiting in terminal.getvalue())
            peer.sock.sendall(answer[:200000])
            self.assertTrue(terminal.shown.wait(PATIENCE_SECONDS))
            peer.sock.sendall(answer[200000:])
            peer.wait_for_close()

        with ScriptedServer(play) as server, mock.patch.object(sys, "stderr", terminal), \
                mock.patch.multiple(progress, FIRST_SECONDS=0.001, INTERVAL_SECONDS=0.001), Proxy(server.uri) as proxy:
            proxy._pyroBind()
            with progress.answer_shown(proxy):
                self.assertEqual(len(proxy.echo()), 4000000)
        self.assertTrue(terminal.getvalue().endswith(BEGIN))

    def test_listings_of_a_name_server(self) -> None:
        for command in ("list", "yplookup_any", "listmatching"):
            terminal = Terminal("waiting for the answer")

            def play(peer: Peer, terminal: Terminal = terminal) -> None:
                peer.welcome(["list", "yplookup"])
                request = peer.read_call()
                self.assertTrue(terminal.shown.wait(PATIENCE_SECONDS))
                peer.answer(request, {"name": ("PYRO:one@localhost:1", ["tag"])})
                peer.wait_for_close()

            with ScriptedServer(play) as server, mock.patch.object(sys, "stderr", terminal), \
                    contextlib.redirect_stdout(io.StringIO()) as out, \
                    mock.patch.multiple(progress, FIRST_SECONDS=0.001, INTERVAL_SECONDS=0.001):
                self.assertEqual(nsc.main(["-n", "127.0.0.1", "-p", str(server.port), command, "x"]), 0)
            self.assertIn("name --> PYRO:one@localhost:1\n", out.getvalue())
            self.assertTrue(terminal.getvalue().endswith(BEGIN))


if __name__ == "__main__":
    unittest.main()
