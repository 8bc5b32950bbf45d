"""Check docs/nameserver.md: options, commands, methods, the service and the container."""
from __future__ import annotations

import json
import os
import re
import textwrap
import unittest
from typing import Any, Set

from Pyro5 import nameserver, nsc
from Pyro5._objects.members import exposed_members
from tests.support import PROJECT


class DocumentationTests(unittest.TestCase):
    text: str

    @classmethod
    def setUpClass(cls) -> None:
        with open(os.path.join(PROJECT, "docs", "nameserver.md"), encoding="utf-8") as file:
            cls.text = file.read()

    def options(self, parser: Any) -> Set[str]:
        return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help", "--version"}

    def test_every_option_of_the_server(self) -> None:
        table = "\n".join(re.findall(r"^\| (`-.*?) \|", self.text, re.MULTILINE))
        self.assertEqual(set(re.findall(r"`(-[-\w]+)`", table)), self.options(nameserver.make_parser()))

    def test_the_start_commands(self) -> None:
        unit = re.search(r"^ExecStart=\S+ -m Pyro5.nameserver (.*)$", self.text, re.MULTILINE)
        entrypoint = re.search(r'^ENTRYPOINT \["pyro5-ns", (.*)\]$', self.text, re.MULTILINE)
        shell = re.findall(r"^    pyro5-ns +(-[^#\n]*)", self.text, re.MULTILINE)
        commands = [unit and unit.group(1).split(), entrypoint and json.loads("[%s]" % entrypoint.group(1)),
                    *(command.split() for command in shell)]
        for command in commands:
            options = nameserver.make_parser().parse_args(command)
            self.assertEqual(options.host, "0.0.0.0")
            self.assertTrue(options.storage.startswith("sql:"))

    def test_every_command_of_the_tool(self) -> None:
        rows = " ".join(re.findall(r"^\| (`[a-z_]+(?: [^|]*)?`) \|", self.text, re.MULTILINE))
        self.assertEqual(set(re.findall(r"`([a-z_]+)", rows)) - {"memory"}, set(nsc.COMMANDS))

    def test_every_method(self) -> None:
        methods = set(re.findall(r"`([a-z_]+)\([^`]*\)`", self.text.partition("### Regular expressions")[0]))
        self.assertEqual(methods, set(exposed_members(nameserver.NameServer).methods))

    def test_the_programs_are_python(self) -> None:
        programs = re.findall(r"```python\n(.*?)```", self.text, re.DOTALL)
        self.assertEqual(len(programs), 6)
        for program in programs:
            compile(program, "docs/nameserver.md", "exec")

    def test_the_json(self) -> None:
        sample = re.search(r"--json list printer\.\n(    \{.*?\n    \})\n", self.text, re.DOTALL)
        listed = json.loads(sample.group(1) if sample else "")
        printed = json.dumps({name: nsc._as_json((found["uri"], found["metadata"]), {}) for name, found in listed.items()},
                             indent=2)
        self.assertEqual(textwrap.indent(printed, "    "), sample and sample.group(1))


if __name__ == "__main__":
    unittest.main()
