"""Where a remote exception was raised shows without any setup, and nothing else of the exception changes."""
from __future__ import annotations

import copy
import pickle
import sys
import traceback
import unittest
from typing import Any, List

from Pyro5 import api, errors

from ..support import PROJECT, daemon_thread
from ..test_init import InDirectory, run_python

PROGRAM = """
import threading
import Pyro5.api

@Pyro5.api.expose
class Motor:
    def move(self, steps):
        raise ValueError("too far: %d" % steps)

daemon = Pyro5.api.Daemon()
uri = daemon.register(Motor(), "motor")
thread = threading.Thread(target=daemon.requestLoop, daemon=True)
thread.start()
proxy = Pyro5.api.Proxy(uri)
"""


@api.expose
class Motor:
    def __init__(self, other: Any = None) -> None:
        self._other = other

    def move(self) -> None:
        raise ValueError("too far", 42)

    def move_other(self) -> None:
        with api.Proxy(self._other) as proxy:
            proxy.move()


class Uncaught(InDirectory):
    def test_in_the_main_thread(self) -> None:
        done = self.run_program(PROGRAM + "proxy.move(7)")
        self.assertIn("in move", done)
        self.assertIn("Remote traceback", done)
        self.assertEqual(1, done.count("in move"))

    def test_in_another_thread(self) -> None:
        done = self.run_program(PROGRAM + "proxy._pyroClaimOwnership()\n"
                                          "t = threading.Thread(target=lambda: (proxy._pyroClaimOwnership(), proxy.move(7)))\n"
                                          "t.start(); t.join()")
        self.assertEqual(1, done.count("in move"))

    def test_the_hook_of_programs_shows_it_once(self) -> None:
        setup = "import sys, Pyro5.errors\nsys.excepthook = Pyro5.errors.excepthook\n"
        done = self.run_program(setup + PROGRAM + "proxy.move(7)")
        self.assertEqual(1, done.count("in move"))

    def run_program(self, program: str) -> str:
        return str(run_python(program, self.directory, PYTHONPATH=PROJECT).stderr)


class Caught(unittest.TestCase):
    def raised(self, method: str = "move") -> BaseException:
        daemon = api.Daemon(host="127.0.0.1")
        second = api.Daemon(host="127.0.0.1")
        uri = daemon.register(Motor(), "motor")
        other = second.register(Motor(uri), "other")
        with daemon_thread(daemon), daemon_thread(second), api.Proxy(other) as proxy, self.assertLogs("Pyro5", "WARNING"):
            with self.assertRaises(ValueError) as caught:
                getattr(proxy, method)()
        return caught.exception

    def test_text_and_arguments_stay(self) -> None:
        error = self.raised()
        self.assertEqual(("too far", 42), error.args)
        self.assertEqual("('too far', 42)", str(error))
        self.assertIsNone(error.__cause__)
        self.assertEqual([], errors.notes_of(error))

    @unittest.skipIf(sys.version_info < (3, 11), "notes of exceptions are new in Python 3.11")
    def test_notes_of_a_peer_begin_no_lines(self) -> None:
        error = ValueError("x")
        error.__dict__.update(__notes__=["one\n  File \"/etc/passwd\", line 1"], _pyroTraceback=["remote\n"])
        self.assertIn("one\\n  File \"/etc/passwd\", line 1\n", errors.get_pyro_traceback(error))

    @unittest.skipIf(sys.version_info < (3, 11), "notes of exceptions are new in Python 3.11")
    def test_python_shows_it(self) -> None:
        error = self.raised()
        text = "".join(traceback.format_exception(None, error, error.__traceback__))
        self.assertIn("Remote traceback", text)

    def frames(self, call: Any) -> List[str]:
        """Return the files of the frames in the traceback of what a call raises."""
        try:
            call()
        except Exception as x:
            return [frame.filename for frame in traceback.extract_tb(x.__traceback__)]
        raise AssertionError("nothing was raised")

    def test_one_frame_of_the_library_is_left_in_the_client(self) -> None:
        daemon = api.Daemon(host="127.0.0.1")
        uri = daemon.register(Motor(), "motor")
        with daemon_thread(daemon), api.Proxy(uri) as proxy, self.assertLogs("Pyro5", "WARNING"):
            files = self.frames(lambda: proxy.move())
            batch = api.BatchProxy(proxy)
            batch.move()
            results = batch()
            files_of_batch = self.frames(lambda: next(results))
        self.assertEqual(1, len([name for name in files if "_client" in name]), files)
        self.assertEqual(1, len([name for name in files_of_batch if "Pyro5" in name]), files_of_batch)

    def test_errors_of_the_library_keep_their_traceback(self) -> None:
        with api.Proxy("PYRO:x@127.0.0.1:1") as proxy:
            self.assertGreater(len(self.frames(proxy._pyroBind)), 3)

    def test_the_servers_own_frames_are_left_out(self) -> None:
        remote = "".join(vars(self.raised())["_pyroTraceback"])
        self.assertIn("in move", remote)
        self.assertNotIn("dispatch.py", remote)

    def test_one_that_travelled_on_shows_both_servers_once(self) -> None:
        error = self.raised("move_other")
        shown = "".join(errors.get_pyro_traceback(error))
        self.assertEqual(1, shown.count("in move\n"))
        self.assertEqual(1, shown.count("in move_other\n"))
        self.assertEqual([], errors.notes_of(error))

    def test_copies_are_ordinary(self) -> None:
        for again in (pickle.loads(pickle.dumps(self.raised())), copy.copy(self.raised())):
            self.assertEqual(("too far", 42), again.args)


if __name__ == "__main__":
    unittest.main()
