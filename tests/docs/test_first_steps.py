"""docs/first-steps.md is followed to the letter: its programs, its commands, what they print; and it stays short."""
from __future__ import annotations

import contextlib
import doctest
import os
import re
import signal
import tempfile
import unittest
from pathlib import Path
from typing import Dict, List, NamedTuple

from tests.programs import Program
from tests.support import PROJECT, ToolProcess

PAGE = Path(PROJECT, "docs", "first-steps.md")
FILE = re.compile(r"Save this as `(?P<name>[\w.]+)`:\n\n```python\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"Add this line to `(?P<name>[\w.]+)`, above `(?P<above>[^`\n]+)`:\n\n```python\n(?P<code>[^\n]+\n)```$",
                  re.MULTILINE)
TRANSCRIPT = re.compile(r"^ {4}\$ (?P<command>[^\n]+)\n(?P<printed>(?: {4}[^\n]+\n)+)", re.MULTILINE)
PORT = re.compile(r"(?<=localhost:)\d+")
TOOLS = {"pyro5-ns": "Pyro5.nameserver"}
READING_WORDS_PER_MINUTE = 150.0  # slowly, as a text with code and things to do is read
MINUTES_FOR_READING = 4.0         # of five; the rest is for pasting two programs and typing five commands


class Transcript(NamedTuple):
    """The commands that are entered in a terminal, and the expected output."""

    words: List[str]
    printed: List[str]


def transcripts(text: str) -> List[Transcript]:
    return [Transcript(found["command"].split(), [line.strip() for line in found["printed"].splitlines()])
            for found in TRANSCRIPT.finditer(text)]


class FirstSteps(unittest.TestCase):
    maxDiff = None

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")
        self.running = contextlib.ExitStack()
        self.addCleanup(self.running.close)
        self.folder = self.running.enter_context(tempfile.TemporaryDirectory())
        self.environment: Dict[str, str] = {"PYRO_NS_PORT": "0"}  # until the name server has told its port

    def save(self, name: str, code: str) -> None:
        Path(self.folder, name).write_text(code, encoding="utf-8")

    def start(self, transcript: Transcript) -> ToolProcess:
        """Start what goes on until it is stopped; wait until it has printed what the page shows."""
        name = transcript.words[-1]
        if name in TOOLS:
            process = ToolProcess(TOOLS[name], env=self.environment)
        else:
            process = Program(os.path.join(self.folder, name), env=self.environment)
        self.running.enter_context(process)
        self.last_printed = process.read_until(transcript.printed[-1].partition("localhost")[0])
        self.assertPrints(transcript, self.last_printed)
        return process

    def assertPrints(self, transcript: Transcript, printed: List[str]) -> None:
        def as_shown(lines: List[str]) -> str:
            return PORT.sub("PORT", "\n".join(lines)) + "\n"

        if not doctest.OutputChecker().check_output(as_shown(transcript.printed), as_shown(printed), doctest.ELLIPSIS):
            self.assertEqual(transcript.printed, printed)

    def run_client(self, transcript: Transcript, uri: str) -> None:
        arguments = [uri if word.startswith("PYRO:") else word for word in transcript.words[2:]]
        with Program(os.path.join(self.folder, transcript.words[1]), *arguments, env=self.environment) as program:
            done = program.wait()
        self.assertEqual((0, ""), (done.exit_code, done.err))
        self.assertPrints(transcript, done.out.splitlines())

    def test_everything_happens_as_it_says(self) -> None:
        files = {found["name"]: found["code"] for found in FILE.finditer(self.text)}
        for name, code in files.items():
            self.save(name, code)
        server, client, name_server, client_by_name = transcripts(self.text)
        self.assertEqual(2 * ["visit.py"], [client.words[1], client_by_name.words[1]])

        first = self.start(server)
        self.run_client(client, self.last_printed[-1].split()[-1])
        self.assertEqual(0, first.stop(signal.SIGINT).exit_code)

        names = self.start(name_server)
        self.environment = {"PYRO_NS_PORT": self.last_printed[-1].rpartition(":")[2]}
        added = LINE.search(self.text)
        assert added
        name, above, line = added.group("name", "above", "code")
        self.assertEqual(1, files[name].count(above))
        self.save(name, files[name].replace(above, line + above))
        second = self.start(server)
        self.run_client(client_by_name, "")
        self.assertEqual(0, second.stop(signal.SIGINT).exit_code)
        self.assertEqual(0, names.stop(signal.SIGINT).exit_code)

    def test_it_is_read_in_time(self) -> None:
        words = len(self.text.split())
        self.assertLess(words / READING_WORDS_PER_MINUTE, MINUTES_FOR_READING, "%d words" % words)

    def test_all_code_is_followed(self) -> None:
        self.assertEqual(self.text.count("```python\n"), len(FILE.findall(self.text)) + len(LINE.findall(self.text)))


if __name__ == "__main__":
    unittest.main()
