"""The READMEs of examples/: the index is complete, and what they tell to run is there. Every program runs in some test."""
from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Iterator, List, Tuple

from ..programs import EXAMPLES
from ..support import PROJECT, clean_environment

FOLDERS = sorted(path for path in Path(EXAMPLES).iterdir() if path.is_dir() and path.name != "__pycache__")
MAX_LINES = 80
RUNS_THE_OTHERS = "demo.py"  # not one of the programs, and so it may be longer
TOOLS = {"pyro5-ns": "Pyro5.nameserver", "pyro5-nsc": "Pyro5.nsc", "pyro5-echoserver": "Pyro5.utils.echoserver",
         "pyro5-httpgateway": "Pyro5.utils.httpgateway"}


def commands(readme: Path) -> Iterator[List[str]]:
    """Return the words of every line that is set as code and is a command."""
    for line in readme.read_text(encoding="utf-8").splitlines():
        match = re.match(r" {4}((python|sudo|make|pyro5-\w+|node) ?.*)$", line)
        if match:
            yield match.group(1).split()


def programs(folder: Path) -> List[Path]:
    """Return the files that can be run, not the modules that they share."""
    return [path for path in sorted(folder.glob("*.py")) if "\n    main()\n" in path.read_text(encoding="utf-8")]


class Readmes(unittest.TestCase):
    def test_index_has_every_folder_once_in_each_order(self) -> None:
        text = (Path(EXAMPLES) / "README.md").read_text(encoding="utf-8")
        sections = re.split(r"^## ", text, flags=re.MULTILINE)
        for title in ("By feature", "By difficulty"):
            section = [each for each in sections if each.startswith(title)][0]
            linked = re.findall(r"\[(\w+)\]\(\1/README\.md\)", section)
            self.assertEqual([folder.name for folder in FOLDERS], sorted(linked), title)

    def test_every_folder_says_what_it_is(self) -> None:
        for folder in FOLDERS:
            with self.subTest(folder.name):
                text = (folder / "README.md").read_text(encoding="utf-8")
                self.assertRegex(text, r"^# \S")
                self.assertTrue(list(commands(folder / "README.md")), "no commands to run")
                for program in programs(folder):
                    self.assertIn(program.name, text)

    def test_pictures_where_more_than_two_programs_talk(self) -> None:
        for folder in FOLDERS:
            running = {" ".join(words[:2]) for words in commands(folder / "README.md") if words[0] == "python"}
            text = (folder / "README.md").read_text(encoding="utf-8")
            if len(running) > 2 and "pyro5-ns\n" in text and folder.name != "greeting":
                self.assertRegex(text, r"(?m)^ {5}.*(--|\|)", folder.name)

    def test_commands_exist(self) -> None:
        for folder in FOLDERS:
            for words in commands(folder / "README.md"):
                with self.subTest(folder=folder.name, command=" ".join(words)):
                    if words[0] == "sudo":
                        words = words[1:]
                    self.check_command(folder, words)

    def check_command(self, folder: Path, words: List[str]) -> None:
        if words[0] == "make":
            makefile = (Path(PROJECT) / "Makefile").read_text(encoding="utf-8")
            self.assertRegex(makefile, r"(?m)^%s:" % words[1])
        elif words[0] == "node":
            self.assertTrue((folder / words[1]).is_file())
        elif words[0] in TOOLS:
            self.assertTrue((Path(PROJECT) / (TOOLS[words[0]].replace(".", "/") + ".py")).is_file())
        elif words[1] == "-m":
            package = Path(PROJECT) / words[2].replace(".", "/")
            self.assertTrue((package / "__main__.py").is_file() or package.with_suffix(".py").is_file())
        else:
            source = (folder / words[1]).read_text(encoding="utf-8")
            for option in (word for word in words[2:] if word.startswith("--")):
                self.assertIn('"%s"' % option, source)


class Programs(unittest.TestCase):
    def sources(self) -> Iterator[Tuple[Path, str]]:
        for folder in FOLDERS:
            for path in sorted(folder.glob("*.py")):
                yield path, path.read_text(encoding="utf-8")

    def test_are_short_and_say_what_they_do(self) -> None:
        for path, source in self.sources():
            with self.subTest(path.parent.name + "/" + path.name):
                self.assertTrue(ast.get_docstring(ast.parse(source)))
                if path.name != RUNS_THE_OTHERS:
                    self.assertLessEqual(len(source.splitlines()), MAX_LINES)

    def test_listen_where_they_are_told(self) -> None:
        for path, source in self.sources():
            if "Daemon(options.host" in source:
                with self.subTest(path.parent.name + "/" + path.name):
                    self.assertIn('"--host"', source)
                    self.assertIn('"--port"', source)

    def test_run_in_some_test(self) -> None:
        tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")
                        if path.name != Path(__file__).name)
        for folder in FOLDERS:
            for program in programs(folder):
                if program.name != RUNS_THE_OTHERS:  # test_demo does
                    self.assertIn('folder = "%s"' % folder.name, tests)
                    self.assertIn('"%s"' % program.name, tests, folder.name)

    def test_demo(self) -> None:
        done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", os.path.join(EXAMPLES, "greeting", "demo.py")],
                              env=clean_environment(None), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertTrue(done.stdout.endswith(b"All programs ended as they should.\n"), done.stdout.decode())


if __name__ == "__main__":
    unittest.main()
