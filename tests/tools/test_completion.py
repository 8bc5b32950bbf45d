"""The completion scripts, in the shells that they are for."""
from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import unittest
from typing import Dict, List, Optional

from Pyro5._cli.completion_scripts import SHELLS, script_for, tools, walk
from Pyro5.tools import completion
from tests.support import PATIENCE_SECONDS, run_main

# What is typed, and words that must be and must not be offered. A word that ends with a space is the only one that is offered.
CASES = (
    ("pyro5 d", ["doctor "], []),
    ("pyro5 --v", ["--version "], []),
    ("pyro5 nsc li", ["list", "listmatching"], ["lookup", "--json"]),
    ("pyro5 nsc -p 9090 --host x li", ["list", "listmatching"], []),
    ("pyro5 nsc --js", ["--json "], []),
    ("pyro5-nsc lo", ["lookup "], []),
    ("pyro5 user a", ["add "], []),
    ("pyro5 user add --ro", ["--role "], []),
    ("pyro5 user list --j", ["--json "], []),
    ("pyro5 serve -m si", ["single "], []),
    ("pyro5 serve --instance-mode per", ["percall "], []),
    ("pyro5 doctor --key-file lab.k", ["lab.key "], []),
    ("pyro5 key check lab", ["lab.key "], []),
    ("pyro5 completion fi", ["fish "], []),
)


class Scripts(unittest.TestCase):
    def test_every_tool_and_option_is_in_every_script(self) -> None:
        commands = list(walk(tools()))
        self.assertIn(("user", "add"), [command.path for command in commands])
        for shell in SHELLS:
            text = script_for(shell, tools())
            self.assertEqual(text, run_main(completion.main, shell).out, shell)
            for command in commands:
                for name in (name for option in command.options for name in option.names):
                    written = re.sub("^--", "-l ", name) if shell == "fish" and name.startswith("--") else name.lstrip("-")
                    self.assertIn(written, text, (shell, command.path))

    def test_an_unknown_shell(self) -> None:
        result = run_main(completion.main, "bsh")
        self.assertEqual((2, ""), (result.exit_code, result.out))
        self.assertIn("invalid choice: 'bsh' (did you mean bash?); choose from bash, zsh, fish", result.err)


class Shells(unittest.TestCase):
    """Each case is typed, with a Tab at its end, in a real shell."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(os.path.join(self.folder, "lab.key"), "w"):
            pass
        self.environment: Dict[str, str] = {"PATH": os.environ["PATH"], "HOME": self.folder, "TERM": "dumb",
                                            "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": self.folder, "XDG_DATA_HOME": self.folder}

    def script(self, shell: str) -> str:
        path = os.path.join(self.folder, "script." + shell)
        with open(path, "w") as file:
            file.write(script_for(shell, tools()))
        return path

    def run_shell(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(("", 0), (done.stderr, done.returncode))
        return done.stdout

    def check(self, typed: str, offered: List[str], wanted: List[str], unwanted: List[str]) -> None:
        if wanted[0].endswith(" "):
            self.assertEqual([wanted[0].strip()], offered, typed)
        self.assertLessEqual({word.strip() for word in wanted}, set(offered), typed)
        self.assertFalse(set(unwanted) & set(offered), typed)

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_bash(self) -> None:
        program = ["source %s" % shlex.quote(self.script("bash"))]
        for typed, _, _ in CASES + (("pyro5 serve --instance-mode = si", [], []),):
            words = typed.split(" ")
            program.append("COMP_WORDS=(%s); COMP_CWORD=%d; COMPREPLY=(); %s; echo \"${COMPREPLY[*]}\"" % (
                " ".join(map(shlex.quote, words)), len(words) - 1, "_" + words[0].replace("-", "_")))
        lines = self.run_shell("bash", "--norc", "-c", "\n".join(program)).splitlines()
        self.assertEqual(["single"], lines.pop().split())
        self.assertEqual(len(CASES), len(lines))
        for (typed, wanted, unwanted), line in zip(CASES, lines):
            self.check(typed, line.split(), wanted, unwanted)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self) -> None:
        program = ["source %s" % shlex.quote(self.script("fish"))]
        for typed, _, _ in CASES:
            program.append("complete -C %s; echo ---" % shlex.quote(typed))
        blocks = self.run_shell("fish", "--no-config", "-c", "\n".join(program)).split("---\n")
        for (typed, wanted, unwanted), block in zip(CASES, blocks):
            self.check(typed, [line.partition("\t")[0] for line in block.splitlines()], wanted, unwanted)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self) -> None:
        with Terminal(["zsh", "-f", "-i"], self.folder, self.environment) as terminal:
            terminal.write("PS1= PS2= PROMPT_EOL_MARK=; autoload -Uz compinit && compinit -u -D\n"
                           "source %s\n"
                           "shown() { print -r -- \"<<$BUFFER>>\"; BUFFER= }; zle -N shown; bindkey '^G' shown\n"
                           "echo rea''dy\n" % shlex.quote(self.script("zsh")))
            terminal.read_until("\nready")
            for typed, wanted, _ in CASES:
                # The second key ends the line and shows what has become of it.
                terminal.write(typed + "\t\x07")
                completed = re.findall(r"<<(.*)>>", terminal.read_until(">>"))[-1]
                # The value of a long option can follow an equals sign, which is offered too.
                self.assertEqual("%s %s" % (typed.rpartition(" ")[0], os.path.commonprefix(wanted).strip()),
                                 completed.rstrip(" ="))


class Terminal:
    """A program that runs on a terminal of its own, where it is typed to. Ends the program at the end of the block."""

    def __init__(self, command: List[str], folder: str, environment: Dict[str, str]) -> None:
        self._fd, its_fd = pty.openpty()
        self._process = subprocess.Popen(command, cwd=folder, env=environment, stdin=its_fd, stdout=its_fd, stderr=its_fd,
                                         start_new_session=True)
        os.close(its_fd)
        self._text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: Optional[object]) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def read_until(self, end: str) -> str:
        """Return what the program prints, up to a text."""
        while end not in self._text:
            if not select.select([self._fd], [], [], PATIENCE_SECONDS)[0]:
                raise AssertionError("%r does not appear in %r" % (end, self._text))
            self._text += os.read(self._fd, 65536).decode("utf-8", "replace").replace("\r", "")
        found, _, self._text = self._text.partition(end)
        return found + end


if __name__ == "__main__":
    unittest.main()
