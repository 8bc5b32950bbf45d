"""Users files: ``python -m Pyro5.tools.user add NAME --file FILE`` and so on, for ``Daemon(users=FILE)``.

The file has no passwords, only what is needed to check them. Servers notice changes without a restart.
"""
from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence

from .. import config
from .._auth import users
from .._cli import console
from .._cli.parser import ToolParser

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def _password(options: argparse.Namespace) -> str:
    """Ask for a password, twice on a terminal; else it is the first line of the standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    # Not echoed, and asked for twice, because it cannot be seen.
    password = getpass.getpass("Password of %s: " % options.name)
    if getpass.getpass("Again: ") != password:
        raise ValueError("the two passwords are different; nothing was changed")
    return password


@contextlib.contextmanager
def _changing(path: str) -> Iterator[Dict[str, Any]]:
    """Read the file, and write it when the block has changed the document. One process at a time."""
    lock = None
    # The directory is locked, because the file itself is replaced by each change.
    with contextlib.suppress(AttributeError, OSError):  # Windows, or a file system without locks
        lock = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        document = users.load(path)
        # Not reached after an exception: the file stays as it was.
        yield document
        users.save(path, document)
    finally:
        if lock is not None:
            os.close(lock)


def _existing(document: Dict[str, Any], name: str) -> Any:
    if name not in document["users"]:
        raise ValueError("there is no user '%s'" % name)
    return document["users"][name]


def _add(options: argparse.Namespace) -> None:
    # Before the password is asked for, which a person would type for nothing.
    if options.name in users.load(options.file)["users"]:
        raise ValueError("there is a user '%s' already; use passwd or roles to change it" % options.name)
    password = _password(options)  # before the file is locked: a person may take long
    with _changing(options.file) as document:
        users.add_user(document, options.name, password, options.role)
    console.say("Added %s." % options.name)


def _passwd(options: argparse.Namespace) -> None:
    _existing(users.load(options.file), options.name)  # before the password is asked for
    password = _password(options)
    with _changing(options.file) as document:
        # Read again under the lock: roles may have been changed while the password was typed.
        users.add_user(document, options.name, password, _existing(document, options.name)["roles"])
    console.say("Changed the password of %s." % options.name)


def _roles(options: argparse.Namespace) -> None:
    with _changing(options.file) as document:
        # replaced, not added: the command line shows all roles that the user has then
        _existing(document, options.name)["roles"] = sorted(set(options.role))
    console.say("Changed the roles of %s." % options.name)


def _remove(options: argparse.Namespace) -> None:
    with _changing(options.file) as document:
        _existing(document, options.name)
        del document["users"][options.name]
    console.say("Removed %s." % options.name)


def _list(options: argparse.Namespace) -> None:
    document = users.load(options.file)
    # Never with the verifiers: this output is passed on.
    if options.json:
        console.say(json.dumps({name: {"roles": user["roles"]} for name, user in sorted(document["users"].items())}))
        return
    lines: List[str] = ["%-20s %s" % (name, ", ".join(user["roles"]) or "-")
                        for name, user in sorted(document["users"].items())]
    console.say(*(lines or ["There are no users."]))


_COMMANDS = (("add", _add, "add a user; the password is asked for, or read from the standard input"),
             ("passwd", _passwd, "change the password of a user"),
             ("roles", _roles, "replace the roles of a user"),
             ("remove", _remove, "remove a user"),
             ("list", _list, "list the users and their roles"))


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 user", description="Change the file with the users that a server accepts. "
                                     "Servers notice changes without a restart.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, run, text in _COMMANDS:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if run is not _list:
            command.add_argument("name", help="name of the user")
        else:
            # A list is about all users, and the only command whose output programs read.
            command.add_argument("--json", action="store_true", help="print JSON")
        if run in (_add, _roles):
            command.add_argument("--role", action="append", default=[], metavar="ROLE",
                                 help="a role; can be given several times")
        command.add_argument("-f", "--file", default=config.AUTH_USERS_FILE or "users.json", metavar="FILE",
                             help="the users file (default: %(default)s)")
        command.set_defaults(run=run)
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
