"""Programs with logging of their own, which never asked for the log of this library."""
from __future__ import annotations

import logging
import unittest
from typing import List

from Pyro5 import api

from ..support import daemon_thread
from ..test_init import InDirectory

SERVER = """
import logging, sys, threading
logging.basicConfig(level=logging.%s, stream=sys.stdout, format="%%(levelname)s %%(name)s %%(message)s")
import Pyro5.api
%s

@Pyro5.api.expose
class Store:
    def get(self, key):
        return {}[key]

    def put(self, key):
        raise OSError("full")

with Pyro5.api.Daemon() as daemon:
    uri = daemon.register(Store(), "store")
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    with Pyro5.api.Proxy(uri) as store:
        for key in ("x", "x", "y"):
            try:
                store.get(key)
            except KeyError:
                pass
        try:
            store.put("x")
        except OSError:
            pass
    daemon.shutdown()
    thread.join()
"""


class ProgramsOwnLogging(InDirectory):
    def lines(self, level: str, setup: str = "") -> List[str]:
        done = self.check_run(SERVER % (level, setup))
        return [line for line in done.stdout.splitlines() if "Pyro5" in line]

    def test_warnings_only_and_each_kind_once(self) -> None:
        lines = self.lines("DEBUG")
        self.assertEqual(["WARNING"] * 3, [line.split()[0] for line in lines])
        self.assertRegex(lines[0], r"store\.get from .* raised KeyError: 'x' \(<string>, line \d+\)$")
        self.assertRegex(lines[1], r"store\.put from .* raised OSError: full \(<string>, line \d+\)$")
        self.assertRegex(lines[2], r"store\.get raised KeyError, and 2 more$")

    def test_a_level_for_the_logger_counts(self) -> None:
        self.assertIn("INFO", {line.split()[0] for line in self.lines("DEBUG", "logging.getLogger('Pyro5').setLevel('INFO')")})

    def test_a_program_that_wants_errors_only_gets_no_warnings(self) -> None:
        self.assertEqual([], self.lines("ERROR"))

    def test_levels_below_still_count(self) -> None:
        setup = "logging.getLogger('Pyro5.server.loop').setLevel('DEBUG')"
        names = {line.split()[1] for line in self.lines("WARNING", setup) if line.startswith("DEBUG")}
        self.assertEqual({"Pyro5.server.loop"}, names)


class PyroLogger(unittest.TestCase):
    def test_level_follows_the_root_logger_upwards(self) -> None:
        logger, root = logging.getLogger("Pyro5"), logging.getLogger()
        logger.setLevel(logging.NOTSET)
        for level, expected in ((logging.DEBUG, logging.WARNING), (logging.CRITICAL, logging.CRITICAL)):
            self.addCleanup(root.setLevel, root.level)
            root.setLevel(level)
            self.assertEqual(expected, logger.getEffectiveLevel())
            self.assertEqual(expected, logging.getLogger("Pyro5.some.other").getEffectiveLevel())


@api.expose
class Sensor:
    @property
    def broken(self) -> int:
        raise OSError("no such sensor")

    @property
    def fixed(self) -> int:
        return 1


class Attributes(unittest.TestCase):
    def test_the_log_names_the_attribute(self) -> None:
        daemon = api.Daemon(host="127.0.0.1")
        uri = daemon.register(Sensor(), "sensor")
        with daemon_thread(daemon), api.Proxy(uri) as proxy, self.assertLogs("Pyro5", "WARNING") as logged:
            self.assertRaises(OSError, lambda: proxy.broken)
            with self.assertRaisesRegex(AttributeError, "'fixed' of 'Sensor' is read-only: the property has no setter"):
                proxy.fixed = 2
        self.assertRegex(logged.output[0], r"sensor\.broken from .* raised OSError: no such sensor")
        self.assertRegex(logged.output[1], r"sensor\.fixed from .* raised AttributeError")


if __name__ == "__main__":
    unittest.main()
