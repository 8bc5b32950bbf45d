"""Conventions that all command line tools follow: options, suggestions, versions."""
from __future__ import annotations

import io
import os
import unittest
from typing import Any, Dict, Set
from unittest import mock

import Pyro5
from Pyro5 import nsc
from Pyro5._cli import completion_scripts, console
from Pyro5._cli.parser import ToolParser
from Pyro5._cli.tool_table import TOOLS, load
from Pyro5._text import did_you_mean
from Pyro5.tools import doctor, key, user
from tests.support import ToolResult, run_main

# Letters that earlier releases used for another option in one of their tools, or the ping of the system does.
OTHER_MEANINGS = {("ns", "-n"), ("nsc", "-n"), ("echo", "-n"), ("ping", "-c")}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Conventions(unittest.TestCase):
    def test_every_tool_has_the_common_parser(self) -> None:
        for tool in TOOLS:
            self.assertIs(ToolParser, type(load(tool).make_parser()), tool.name)

    def test_every_tool_prints_the_version(self) -> None:
        for tool in TOOLS:
            self.assertEqual(ToolResult(0, Pyro5.__version__ + "\n", ""), run_main(load(tool).main, "--version"), tool.name)

    def test_letters_and_options_mean_the_same_everywhere(self) -> None:
        letters: Dict[str, Set[str]] = {}     # long option -> its letter, in the tools that have it
        options: Dict[str, Set[str]] = {}     # letter -> its long option
        for command in completion_scripts.walk(completion_scripts.tools()):
            for option in command.options:
                short = [name for name in option.names if len(name) == 2 and (command.path[0], name) not in OTHER_MEANINGS]
                long = [name for name in option.names if name.startswith("--")]
                self.assertEqual(1, len(long), option)
                self.assertLess(len(short), 2, option)
                if (command.path[0], option.names[0]) not in OTHER_MEANINGS or short:
                    letters.setdefault(long[0], set()).add("".join(short))
                for name in short:
                    options.setdefault(name, set()).add(long[0])
        self.assertEqual({}, {name: found for name, found in letters.items() if len(found) > 1})
        self.assertEqual({}, {name: found for name, found in options.items() if len(found) > 1})

    def test_paths_are_completed_as_paths(self) -> None:
        commands = {command.path: command for command in completion_scripts.walk(completion_scripts.tools())}
        self.assertTrue(commands["serve",].takes_paths)
        self.assertTrue(commands["key", "new"].takes_paths)
        self.assertFalse(commands["call",].takes_paths)
        self.assertEqual({("--key-file",), ("--users-file",), ("--write-token-file",), ("-u", "--unixsocket")},
                         {option.names for option in commands["ns",].options if option.is_path})


class Suggestions(unittest.TestCase):
    def err_of(self, main: Any, *args: str) -> str:
        result = run_main(main, *args)
        self.assertEqual((2, ""), (result.exit_code, result.out))
        return result.err

    def test_options_and_commands(self) -> None:
        self.assertIn("error: unrecognized arguments: --jsn (did you mean --json?)\n", self.err_of(doctor.main, "--jsn"))
        self.assertIn("error: unrecognized arguments: --zzzz\n", self.err_of(doctor.main, "--zzzz"))
        self.assertIn("invalid choice: 'nwe' (did you mean new?); choose from new, check\n", self.err_of(key.main, "nwe", "x"))
        self.assertIn("--flie x (did you mean --file?)\n", self.err_of(user.main, "list", "--flie", "x"))
        self.assertIn("invalid choice: 'lst' (did you mean list?); ", self.err_of(nsc.main, "lst"))
        self.assertIn("arguments: --jsno (did you mean --json?)\n", self.err_of(nsc.main, "list", "--jsno"))
        with self.assertRaisesRegex(ValueError, r"no command 'lookpu' \(did you mean lookup\?\); there are: list, "):
            nsc.handle_command(None, ["lookpu", "x"])

    def test_similar_names(self) -> None:
        self.assertEqual(" (did you mean Sell?)", did_you_mean("sel", ["Sell", "total"]))
        self.assertEqual("", did_you_mean("frobnicate", ["sell", "total"]))
        self.assertEqual("", did_you_mean("x" * 100000, ["x" * 100000]))


class Colors(unittest.TestCase):
    def setUp(self) -> None:
        patch = mock.patch.dict(os.environ, TERM="xterm", WT_SESSION="1")
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop("NO_COLOR", None)

    def printed(self, stream: io.StringIO) -> str:
        with mock.patch("sys.stdout", stream):
            console.say(console.joined(console.paint("red", "a\n"), "\033[1m"), "\033[1m")
        return stream.getvalue()

    def test_on_a_terminal(self) -> None:
        # Escape sequences in the texts themselves never reach the terminal.
        self.assertEqual("\033[1;31ma\\n\033[0m\\x1b[1m\n\\x1b[1m\n", self.printed(Terminal()))

    def test_not_in_a_file_and_not_if_the_user_does_not_want_them(self) -> None:
        plain = "a\\n\\x1b[1m\n\\x1b[1m\n"
        self.assertEqual(plain, self.printed(io.StringIO()))
        for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            with mock.patch.dict(os.environ, variables):
                self.assertEqual(plain, self.printed(Terminal()), variables)
        with mock.patch.dict(os.environ, NO_COLOR=""):
            self.assertIn("\033[1;31m", self.printed(Terminal()))

    def test_errors(self) -> None:
        with mock.patch("sys.stderr", Terminal()) as err:
            console.complain_of(ValueError("Error: no: name"))
        self.assertEqual("\033[1;31mError:\033[0m Error: no: name\n", err.getvalue())


if __name__ == "__main__":
    unittest.main()
