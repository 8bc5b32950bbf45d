"""The tools under one name: ``python -m Pyro5``."""
from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import unittest
from typing import List
from unittest import mock

import Pyro5
from Pyro5 import __main__ as tools
from Pyro5._cli.tool_table import Tool
from Pyro5.nameserver import start_ns
from tests.support import PROJECT, ToolResult, daemon_thread, run_tool
from tests.test_init import run_python


# all but a tool whose module may be left out of an installation
INSTALLED = [tool for tool in tools.TOOLS if tool.name != "http" or importlib.util.find_spec("Pyro5." + tool.module)]


def run(*args: str, program: str = os.path.join(PROJECT, "Pyro5", "__main__.py")) -> ToolResult:
    """Run it in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err, \
            mock.patch.object(sys, "argv", [program, *args]):
        try:
            exit_code = tools.main()
        except SystemExit as x:
            exit_code = int(x.code or 0)
    return ToolResult(exit_code, out.getvalue(), err.getvalue())


class Overview(unittest.TestCase):
    def test_lists_every_tool(self) -> None:
        for args in ((), ("-h",), ("--help",), ("help",)):
            result = run(*args)
            self.assertEqual((result.exit_code, result.err), (0, ""))
            self.assertEqual([line.split()[0] for line in result.out.splitlines()[3:]],
                             [tool.name for tool in tools.TOOLS])
            self.assertIn("config", [tool.name for tool in tools.TOOLS])
        self.assertIn("\n  nsc         python -m Pyro5.nsc  ", result.out)

    def test_the_command_that_it_was_started_with(self) -> None:
        for program, command in (("/x/Pyro5/__main__.py", "python -m Pyro5"), ("/x/pyro5.pyz", "python pyro5.pyz"),
                                 ("/usr/bin/pyro5", "pyro5")):
            self.assertIn(". Usage: %s TOOL " % command, run(program=program).out)

    def test_version(self) -> None:
        self.assertEqual(run("--version"), ToolResult(0, Pyro5.__version__ + "\n", ""))

    def test_every_module_exists(self) -> None:
        for tool in INSTALLED:
            self.assertIsNotNone(importlib.util.find_spec("Pyro5." + tool.module), tool.name)


class Running(unittest.TestCase):
    def test_an_unknown_tool(self) -> None:
        result = run("nsd")
        self.assertEqual((result.exit_code, result.out), (2, ""))
        self.assertRegex(result.err, r"\Aunknown tool 'nsd' \(did you mean ns\?\); the tools are: ns, nsc, .*\n\Z")

    def test_a_tool_that_is_not_installed(self) -> None:
        with mock.patch.object(tools, "TOOLS", [Tool("gone", "utils.gone", "")]):
            self.assertEqual(run("gone"), ToolResult(1, "", "Error: the tool gone is not part of this installation: module "
                                                            "Pyro5.utils.gone not found\n"))

    def test_arguments_and_exit_code_are_those_of_the_tool(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(daemon):
            location = ["-n", "127.0.0.1", "-p", str(uri.port)]
            self.assertEqual(run("nsc", *location, "ping"), ToolResult(0, "Name server ping ok.\n", ""))
            self.assertEqual(run("nsc", *location, "lookup", "nosuch"),
                             ToolResult(1, "", "Error: NamingError - unknown name: nosuch\n"))
        self.assertEqual(run("nsc", "frobnicate").exit_code, 2)

    def test_every_tool_has_a_help_text(self) -> None:
        for tool in INSTALLED:
            result = run(tool.name, "-h")
            self.assertEqual((result.exit_code, result.err), (0, ""), tool.name)
            self.assertTrue(result.out.startswith("usage: pyro5"), result.out)

    def test_an_invalid_setting_is_reported_in_one_line(self) -> None:
        result = run_tool("Pyro5", "config", env={"PYRO_NS_PORT": "many"}, fresh=True)
        self.assertEqual((result.exit_code, result.out), (1, ""))
        self.assertRegex(result.err, r"\AError: invalid Pyro environment config value: PYRO_NS_PORT=many [^\n]*\n\Z")

    def test_only_one_tool_is_loaded(self) -> None:
        code = ("import runpy, sys\nsys.argv = ['x', 'config', '-h']\n"
                "try:\n    runpy.run_module('Pyro5', run_name='__main__')\n"
                "except SystemExit:\n    print(*sorted(name for name in sys.modules if name.startswith('Pyro5.')))")
        done = run_python(code, PROJECT, PYTHONPATH=PROJECT)
        loaded: List[str] = done.stdout.splitlines()[-1].split()
        self.assertEqual(loaded, ["Pyro5._cli", "Pyro5._cli.console", "Pyro5._cli.parser", "Pyro5._cli.tool_table",
                                  "Pyro5._settings", "Pyro5._text", "Pyro5.configure", "Pyro5.constants", "Pyro5.errors",
                                  "Pyro5.tools", "Pyro5.tools.configuration"])


if __name__ == "__main__":
    unittest.main()
