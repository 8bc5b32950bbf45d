"""A method that forks and returns in both processes is answered by the parent alone."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest

from Pyro5.api import Proxy

from ..rawclient import PATIENCE_SECONDS
from ..support import PROJECT, ToolProcess

PROGRAM = """
import os, sys
from Pyro5.api import Daemon, config, expose

config.SERVERTYPE = sys.argv[1]

@expose
class Forking:
    def fork(self):
        self.child = os.fork()
        return self.child

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1]) if sys.version_info >= (3, 9) else 0

    def echo(self, value):
        return value

with Daemon() as daemon:
    print(daemon.register(Forking()), flush=True)
    daemon.requestLoop()
"""

ASIDE = """
import os, threading
from Pyro5._server.oneway import OnewayCalls

calls = OnewayCalls(1)

class Client:
    oneway_calls = 0
    oneway_full = paused = False

client = Client()
queued, done = threading.Event(), threading.Event()

def fork():
    queued.wait()
    child = os.fork()
    if child:
        os.waitpid(child, 0)

def note():
    os.write(1, b"run\\n")
    done.set()

calls.start(client, fork)
calls.start(client, note)
queued.set()
done.wait()
calls.stop(5)
"""


@unittest.skipUnless(hasattr(os, "fork"), "no fork here")
class ForksInCalls(unittest.TestCase):
    def check(self, server_type: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "program.py")
            with open(path, "w") as file:
                file.write(PROGRAM)
            with ToolProcess(path, server_type) as process, Proxy(process.readline().strip()) as proxy:
                for number in range(3):
                    self.assertGreater(proxy.fork(), 0)
                    self.assertEqual(0, proxy.wait())
                    self.assertEqual(number, proxy.echo(number))

    def test_thread(self) -> None:
        self.check("thread")

    def test_multiplex(self) -> None:
        self.check("multiplex")

    def test_oneway_calls_that_wait_are_run_by_the_parent_alone(self) -> None:
        # Python 3.12 and later warn of forks in a process with several threads
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", ASIDE]
        ended = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS)
        self.assertEqual((b"run\n", b"", 0), (ended.stdout, ended.stderr, ended.returncode))


if __name__ == "__main__":
    unittest.main()
