"""A method that forks and returns in both processes is answered by the parent alone."""
from __future__ import annotations

import os
import tempfile
import unittest

from Pyro5.api import Proxy

from ..support import ToolProcess

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


if __name__ == "__main__":
    unittest.main()
