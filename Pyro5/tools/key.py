"""Key files: ``python -m Pyro5.tools.key new FILE`` creates one, for the setting AUTH_KEY_FILE of clients and servers."""
from __future__ import annotations

import argparse
import sys
from typing import Optional, Sequence

from .._auth import files
from .._cli import console
from .._cli.parser import ToolParser


def _new(options: argparse.Namespace) -> None:
    try:
        files.create(options.file, files.new_key())  # refuses to replace a file
    except FileExistsError:
        raise ValueError("%s exists already; it is not replaced, because servers and clients may use it"
                         % options.file) from None
    # The next step is part of the output: a key that only one side has locks all clients out.
    console.say("Created %s. Copy it to each machine, and set PYRO_AUTH_KEY_FILE (or config.AUTH_KEY_FILE) to its path "
                "for servers and clients." % options.file)


def _check(options: argparse.Namespace) -> None:
    # What a server does at its start, with the same errors.
    files.load_key(options.file)
    console.say("%s is a key file that only this user can read." % options.file)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 key", description="Create the file with the key that clients and servers "
                                     "share, so that they accept only each other.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, run, text in (("new", _new, "create a file with a random key, which only this user can read"),
                            ("check", _check, "check that a key file can be used")):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("file", help="path of the file")
        command.set_defaults(run=run)
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: options.run(options))  # errors become one line and an exit code


if __name__ == "__main__":
    sys.exit(main())
