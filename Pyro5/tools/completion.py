"""Completion of command lines: ``python -m Pyro5.tools.completion SHELL`` prints a script for bash, zsh or fish."""
from __future__ import annotations

import argparse
import sys
from typing import Optional, Sequence

from .._cli import console
from .._cli.completion_scripts import SHELLS, script_for, tools
from .._cli.parser import ToolParser

_HOW = """To use it, add one line to the file that your shell reads at its start:

  bash    ~/.bashrc                     eval "$(pyro5 completion bash)"
  zsh     ~/.zshrc, after compinit      eval "$(pyro5 completion zsh)"
  fish    ~/.config/fish/config.fish    pyro5 completion fish | source
"""


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 completion", description="Print a script that completes the commands, options and file "
                        "names of all tools when you press the Tab key.", epilog=_HOW,
                        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shell", choices=list(SHELLS), help="the shell that runs the script")
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: console.say(*script_for(options.shell, tools()).rstrip("\n").split("\n")))


if __name__ == "__main__":
    sys.exit(main())
