"""What the library logs: docs/logging.md names every logger and its levels; remote exceptions and the wire log show up."""
from __future__ import annotations

import ast
import logging
import os
import unittest
from pathlib import Path
from typing import Any, Dict, List, Set

from Pyro5 import config
from Pyro5._objects.exposure import callback, expose
from Pyro5.client import Proxy
from Pyro5.server import Daemon

from .support import PROJECT, daemon_thread
from .test_init import InDirectory

LEVELS = ("ERROR", "WARNING", "INFO", "DEBUG")
LEVEL_OF_METHOD = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
WIRE_LOGGERS = ("Pyro5.connection", "Pyro5.server.dispatch")

SERVER = """
import threading
from Pyro5 import api

class Bank:
    @api.expose
    def transfer(self):
        raise ValueError("not enough money")

daemon = api.Daemon(host="127.0.0.1")
uri = daemon.register(Bank(), "bank")
thread = threading.Thread(target=daemon.requestLoop)
thread.start()
with api.Proxy(uri) as bank:
    try:
        bank.transfer()
    except ValueError:
        pass
daemon.shutdown()
thread.join()
daemon.close()
"""


@expose
class Thing:
    def add(self, a: int, b: int) -> int:
        return a + b

    def fail(self) -> None:
        raise ValueError("not enough money")

    @callback
    def fail_in_callback(self) -> None:
        raise ValueError("not called for")


def levels_in(tree: ast.AST) -> Set[str]:
    """Return the levels that the logger of a module is used with."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if getattr(node.func.value, "id", "") == "log":
            found.add(LEVEL_OF_METHOD.get(node.func.attr, ""))
        elif node.func.attr == "log_wiredata":
            found.add("DEBUG")
    return found - {""}


def loggers_of_the_package() -> Dict[str, Set[str]]:
    """Return the levels that each logger is used with, by its name; modules that share one count together."""
    found: Dict[str, Set[str]] = {}
    for path in Path(PROJECT, "Pyro5").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {str(node.args[0].value) for node in ast.walk(tree)
                 if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getLogger"
                 and node.args and isinstance(node.args[0], ast.Constant)} - {"Pyro5"}
        if len(names) > 1:
            raise AssertionError("%s has several loggers" % path)
        for name in names:
            found.setdefault(name, set()).update(levels_in(tree))
    return found


def loggers_in_the_document() -> Dict[str, Set[str]]:
    text = Path(PROJECT, "docs", "logging.md").read_text(encoding="utf-8")
    rows: List[List[str]] = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()
                             if line.startswith("| `Pyro5.")]
    return {row[0].strip("`"): {level for level, cell in zip(LEVELS, row[1:]) if cell} for row in rows}


class Documented(unittest.TestCase):
    maxDiff = None

    def test_every_logger_with_its_levels(self) -> None:
        used = {name: levels for name, levels in loggers_of_the_package().items() if levels}
        self.assertEqual(used, loggers_in_the_document())

    def test_levels_are_seen(self) -> None:
        source = "def f():\n log.info('a')\n self._log.error('b')\n protocol.log_wiredata(log, 'c', d)\n log.exception('e')"
        self.assertEqual({"INFO", "DEBUG", "ERROR"}, levels_in(ast.parse(source)))


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: List[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def lines(self, logger: str = "Pyro5") -> List[str]:
        return [record.getMessage() for record in self.records if record.name.startswith(logger)]


class LoggingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        logger = logging.getLogger("Pyro5")
        self.logged = Records()
        logger.addHandler(self.logged)
        self.addCleanup(logger.removeHandler, self.logged)
        self.addCleanup(logger.setLevel, logger.level)
        self.addCleanup(setattr, logger, "propagate", logger.propagate)
        logger.propagate = False
        logger.setLevel(logging.DEBUG)

    def run_calls(self, *names: str, **settings: Any) -> None:
        """Call methods of a thing on a server of its own; they may raise ValueErrors."""
        for name, value in settings.items():
            setattr(config, name, value)
        daemon = Daemon(host="127.0.0.1")
        uri = daemon.register(Thing(), "thing")
        with daemon_thread(daemon), Proxy(uri) as proxy:
            for name in names:
                if name == "add":
                    self.assertEqual(4568013, proxy.add(123, 4567890))
                else:
                    self.assertRaises(ValueError, getattr(proxy, name))


class WireLog(LoggingTestCase):
    def test_every_message_both_ways(self) -> None:
        for server_type in ("thread", "multiplex"):
            for serializer in ("serpent", "json"):
                with self.subTest(server_type, serializer=serializer):
                    self.logged.records.clear()
                    self.run_calls("add", LOGWIRE=True, SERVERTYPE=server_type, SERIALIZER=serializer)
                    for logger in WIRE_LOGGERS:
                        self.check_exchange(self.logged.lines(logger), client=logger == WIRE_LOGGERS[0])

    def check_exchange(self, lines: List[str], client: bool) -> None:
        """A handshake and a call: request and reply each, with their payloads."""
        messages = [line for line in lines if line.startswith(("sending to", "received from"))]
        ways = ["sending", "received"] if client else ["received", "sending"]
        self.assertEqual(ways * 2, [line.split()[0] for line in messages])
        request, reply = messages[2:]
        for part in ("thing", "add", "123", "4567890"):
            self.assertIn(part, request)
        self.assertIn("4568013", reply)

    def test_failing_calls(self) -> None:
        self.run_calls("fail", LOGWIRE=True)
        for logger in WIRE_LOGGERS:
            reply = [line for line in self.logged.lines(logger) if line.startswith(("sending to", "received from"))][3]
            self.assertIn("not enough money", reply)

    def test_is_at_level_debug(self) -> None:
        self.run_calls("add", LOGWIRE=True)
        wire = [record for record in self.logged.records if "data=" in record.getMessage()]
        self.assertEqual({logging.DEBUG}, {record.levelno for record in wire})

    def test_is_off_without_the_setting(self) -> None:
        self.run_calls("add")
        self.assertEqual([], [line for line in self.logged.lines() if "data=" in line or "4567890" in line])


class RemoteExceptions(LoggingTestCase):
    def warnings(self) -> List[logging.LogRecord]:
        return [record for record in self.logged.records if record.levelno >= logging.WARNING]

    def test_one_line_on_the_server(self) -> None:
        for server_type in ("thread", "multiplex"):
            with self.subTest(server_type):
                self.logged.records.clear()
                self.run_calls("fail", "add", SERVERTYPE=server_type)
                record, = self.warnings()
                self.assertEqual("Pyro5.server.dispatch", record.name)
                self.assertRegex(record.getMessage(), r"^thing\.fail from .*127\.0\.0\.1.* raised ValueError: not enough "
                                                      r"money \(.*test_logging\.py, line \d+\)$")

    def test_traceback_at_level_debug(self) -> None:
        self.run_calls("fail")
        record, = [record for record in self.logged.records if record.exc_info]
        self.assertEqual(("Pyro5.server.dispatch", logging.WARNING), (record.name, record.levelno))
        self.assertNotIn("_server", logging.Formatter().formatException(record.exc_info))

    def test_callbacks_have_it_in_the_warning(self) -> None:
        self.run_calls("fail_in_callback")
        record, = self.warnings()
        self.assertIsNotNone(record.exc_info)
        self.assertIn("not called for", logging.Formatter().format(record))


class Processes(InDirectory):
    WARNING = (r"WARNING:Pyro5\.server\.dispatch:bank\.transfer from .* raised ValueError: not enough money "
               r"\(<string>, line \d\)\n")

    def test_a_program_with_ordinary_logging_sees_remote_exceptions(self) -> None:
        result = self.check_run("import logging; logging.basicConfig()\n" + SERVER)
        self.assertRegex(result.stderr, "^%s$" % self.WARNING)

    def test_a_later_setup_counts_too(self) -> None:
        setup = "import logging; logging.basicConfig()\n"
        result = self.check_run(SERVER.replace("daemon = ", setup + "daemon = ", 1))
        self.assertRegex(result.stderr, "^%s$" % self.WARNING)

    def test_wire_log_into_a_file_by_the_environment_alone(self) -> None:
        result = self.check_run(SERVER, PYRO_LOGLEVEL="DEBUG", PYRO_LOGFILE="wire.log", PYRO_LOGWIRE="true")
        self.assertEqual(("", ""), (result.stdout, result.stderr))
        self.assertEqual(["wire.log"], os.listdir(self.directory))
        text = self.read("wire.log")
        for logger in WIRE_LOGGERS:
            for way in ("sending to", "received from"):
                self.assertRegex(text, r"(?m)^\[.*,%s,DEBUG\] %s .*transfer|,%s,DEBUG\] %s .*not enough money" % (
                    logger, way, logger, way))

    def test_warnings_only(self) -> None:
        self.check_run(SERVER, PYRO_LOGLEVEL="WARNING", PYRO_LOGFILE="my.log")
        line, = self.read("my.log").splitlines()
        self.assertRegex(line, r"^\[.*,Pyro5.server.dispatch,WARNING\] bank\.transfer from .*: not enough money \(<string")


if __name__ == "__main__":
    unittest.main()
