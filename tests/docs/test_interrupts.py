"""The servers that the documentation begins with end with a line, and not with a traceback, when Ctrl-C is pressed."""
from __future__ import annotations

import os
import re
import signal
import tempfile
import unittest
from pathlib import Path

from tests.programs import Program
from tests.support import PROJECT

SERVE = """
import Pyro5.api

class Thing:
    @Pyro5.api.expose
    def act(self):
        pass

Pyro5.api.serve({Thing: "thing"}, use_ns=False)
"""


class Interrupts(unittest.TestCase):
    def interrupt(self, code: str, last_line: str) -> None:
        """Run a program, press Ctrl-C when its server runs, and check how it ends."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "server.py")
            # Printed by the loop itself when it runs: before this, Ctrl-C may come too early.
            Path(path).write_text(ANNOUNCED + code, encoding="utf-8")
            with Program(path) as program:
                program.read_until("the loop runs")
                result = program.stop(signal.SIGINT)
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertEqual(last_line, result.out.splitlines()[-1])

    def test_serve(self) -> None:
        self.interrupt(SERVE, "Pyro daemon stopped.")

    def test_the_server_of_the_readme(self) -> None:
        text = Path(PROJECT, "README.md").read_text(encoding="utf-8")
        found = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        assert found is not None
        self.interrupt(found[1], "The thermometer has been stopped.")


ANNOUNCED = """
import Pyro5.server

class Announcing(Pyro5.server.Daemon):
    def housekeeping(self):
        print("the loop runs", flush=True)

Pyro5.server.Daemon = Announcing
import Pyro5.api
Pyro5.api.Daemon = Announcing
Pyro5.api.config.POLLTIMEOUT = 0.05
"""


if __name__ == "__main__":
    unittest.main()
