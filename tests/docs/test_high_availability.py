"""Check docs/high-availability.md: the commands in the unit file and in the container recipe."""
from __future__ import annotations

import os
import re
import unittest

from Pyro5 import config
from Pyro5._net import addresses
from Pyro5.tools import serve
from tests.support import PROJECT


class DocumentationTests(unittest.TestCase):
    text: str

    @classmethod
    def setUpClass(cls) -> None:
        with open(os.path.join(PROJECT, "docs", "high-availability.md"), encoding="utf-8") as file:
            cls.text = file.read()

    def test_the_start_commands(self) -> None:
        unit = re.search(r"^ExecStart=\S+ -m Pyro5 serve (.*)$", self.text, re.MULTILINE)
        entrypoint = re.search(r'^ +entrypoint: \["sh", "-c", "exec pyro5 serve (.*)"\]$', self.text, re.MULTILINE)
        for arguments in (unit and unit[1], entrypoint and entrypoint[1].replace("$$(hostname -i)", "192.0.2.11")):
            options = serve.make_parser().parse_args(str(arguments).split())
            self.assertTrue(options.ns and options.name and options.host)

    def test_the_settings(self) -> None:
        self.assertTrue(re.findall(r"\bPYRO_[A-Z_]+\b", self.text))
        for name in re.findall(r"\bPYRO_([A-Z_]+)\b", self.text):
            self.assertIn(name, {"LOGLEVEL", "LOGFILE", *config.as_dict()})
        for hosts in re.findall(r'PYRO_NS_HOST(?:=|: ")([\w.,]+)', self.text):
            self.assertEqual(2, len(addresses.name_server_places(hosts)))


if __name__ == "__main__":
    unittest.main()
