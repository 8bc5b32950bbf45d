"""Tests for the package itself: version, lazy attributes, logging by environment variables."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import typing
import unittest
from typing import Any

import Pyro5
from Pyro5 import callcontext, configure

from .support import PROJECT
from .test_configure import clean_environment

LOGS = """
import logging, Pyro5
logging.getLogger("Pyro5.tests").debug("detail")
logging.getLogger("Pyro5.tests").warning("trouble")
"""


def run_python(code: str, directory: str, *options: str, **variables: str) -> Any:
    """Run code in a new process, with these PYRO_ variables only, and wait for it."""
    return subprocess.run([sys.executable, "-W", "error", "-X", "dev", *options, "-c", code], cwd=directory,
                          env=clean_environment(**variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=60)


class InDirectory(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name

    def read(self, name: str) -> str:
        with open(os.path.join(self.directory, name), encoding="utf-8") as file:
            return file.read()

    def check_run(self, code: str, **variables: str) -> Any:
        result = run_python(code, self.directory, PYTHONPATH=PROJECT, **variables)
        self.assertEqual(0, result.returncode, result.stderr)
        return result


class Attributes(InDirectory):
    def test_version(self) -> None:
        self.assertRegex(Pyro5.__version__, r"^5\.\d+(\.\d+)?$")

    def test_config_and_context_are_the_global_ones(self) -> None:
        self.assertIs(configure.global_config, Pyro5.config)
        self.assertIs(callcontext.current_context, Pyro5.current_context)

    def test_submodules_load_on_demand(self) -> None:
        self.check_run("import sys, Pyro5\n"
                       "assert not [name for name in sys.modules if name.startswith('Pyro5.') and '._text' not in name]\n"
                       "assert Pyro5.errors.PyroError\n"
                       "from Pyro5 import constants\n"
                       "assert Pyro5.constants is constants\n"
                       "assert 'errors' in dir(Pyro5)")

    def test_unknown_attribute(self) -> None:
        for name in ("nosuch", "_private", "__wrapped__"):
            with self.assertRaisesRegex(AttributeError, "'Pyro5' has no attribute '%s'" % name):
                getattr(Pyro5, name)
            self.assertFalse(hasattr(Pyro5, name))

    def test_a_failed_import_in_a_submodule_is_raised(self) -> None:
        code = ("import sys, Pyro5\n"
                "sys.modules['selectors'] = None\n"
                "try: Pyro5.socketutil\n"
                "except ModuleNotFoundError as x: assert x.name == 'selectors', x\n"
                "else: raise SystemExit('imported')")
        self.check_run(code)


class NamedTuples(unittest.TestCase):
    def test_they_are_those_of_typing(self) -> None:
        def fields_of(base: Any) -> Any:
            class Place(base):  # type: ignore[misc]
                """Where something is."""

                host: str
                port: int = 9090

                def text(self) -> str:
                    return "%s:%d" % self  # type: ignore[str-format]

            return Place

        ours, theirs = fields_of(Pyro5.NamedTuple), fields_of(typing.NamedTuple)
        for place in (ours, theirs):
            self.assertEqual((("host", "port"), {"port": 9090}, "Where something is.", __name__),
                             (place._fields, place._field_defaults, place.__doc__, place.__module__))
            self.assertEqual("here:1", place("here")._replace(port=1).text())
            self.assertIs(tuple, place.__base__)
            self.assertRaises(TypeError, place)
        self.assertEqual(repr(theirs("here")), repr(ours("here")))
        self.assertEqual(theirs.__qualname__, ours.__qualname__)
        self.assertEqual(list(theirs.__annotations__), list(ours.__annotations__))


class WithoutSerpent(InDirectory):
    """Python without the packages that are installed: the sources alone."""

    def test_programs(self) -> None:
        result = run_python("import Pyro5.api", self.directory, "-S", PYTHONPATH=PROJECT)
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr, r"ModuleNotFoundError: Pyro5 needs the package serpent.* -m pip install serpent\n$")

    def test_tools(self) -> None:
        code = "import Pyro5.__main__ as tools; raise SystemExit(tools.main(['ns', '--help']))"
        result = run_python(code, self.directory, "-S", PYTHONPATH=PROJECT)
        self.assertEqual((1, ""), (result.returncode, result.stdout))
        self.assertRegex(result.stderr, r"^Error: Pyro5 needs the package serpent.* -m pip install serpent\n$")


class Logging(InDirectory):
    def test_only_warnings_by_default(self) -> None:
        result = self.check_run(LOGS)
        self.assertEqual(("", "trouble\n"), (result.stdout, result.stderr))
        result = self.check_run(LOGS, PYRO_LOGFILE="some.log")
        self.assertEqual(("", "trouble\n"), (result.stdout, result.stderr))
        self.assertEqual([], os.listdir(self.directory))

    def test_level_alone_logs_to_the_default_file(self) -> None:
        result = self.check_run(LOGS, PYRO_LOGLEVEL="DEBUG")
        self.assertEqual(("", ""), (result.stdout, result.stderr))
        lines = self.read("pyro5.log").splitlines()
        self.assertEqual(2, len(lines))
        self.assertRegex(lines[0], r"^\[.*,Pyro5.tests,DEBUG\] detail$")

    def test_named_file_and_level(self) -> None:
        self.check_run(LOGS, PYRO_LOGLEVEL="WARN", PYRO_LOGFILE="my.log")
        self.assertEqual(["my.log"], os.listdir(self.directory))
        self.assertRegex(self.read("my.log"), r"^\[.*,Pyro5.tests,WARNING\] trouble\n$")

    def test_standard_error(self) -> None:
        result = self.check_run(LOGS, PYRO_LOGLEVEL="debug", PYRO_LOGFILE="{stderr}")
        self.assertEqual(2, result.stderr.count("Pyro5.tests"))
        self.assertEqual([], os.listdir(self.directory))

    def test_the_setup_of_the_program_takes_precedence(self) -> None:
        code = "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='mine %(message)s')\n" + LOGS
        result = self.check_run(code, PYRO_LOGLEVEL="DEBUG")
        self.assertEqual("mine detail\nmine trouble\n", result.stdout)
        self.assertEqual([], os.listdir(self.directory))

    def test_unknown_level(self) -> None:
        result = run_python(LOGS, self.directory, PYTHONPATH=PROJECT, PYRO_LOGLEVEL="NOSUCH")
        self.assertEqual(1, result.returncode)
        self.assertRegex(result.stderr.splitlines()[-1], "^AttributeError: .*PYRO_LOGLEVEL=NOSUCH .*DEBUG")
        self.assertEqual([], os.listdir(self.directory))


if __name__ == "__main__":
    unittest.main()
