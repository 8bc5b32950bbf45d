"""Run a command line tool: ``python -m Pyro5 TOOL arguments...`` is the same as running the module of the tool.

Without arguments the tools are listed. Only the module of the selected tool is loaded.
"""
from __future__ import annotations

import importlib
import os
import sys
from typing import Any, List, NamedTuple, Optional, Sequence

from . import __version__
from ._cli import console


class Tool(NamedTuple):
    """A row of the table of tools. The module has a function ``main`` that takes the arguments and returns the exit code."""

    name: str
    module: str
    does: str


TOOLS = (
    Tool("ns", "nameserver", "run a name server"),
    Tool("nsc", "nsc", "ask and change a name server: list, lookup, register, remove, ..."),
    Tool("serve", "tools.serve", "publish a class or an object of a module"),
    Tool("call", "tools.call", "call a method of an object, or read an attribute; the result is JSON"),
    Tool("inspect", "tools.inspection", "show what an object has: methods, attributes, signatures, docs"),
    Tool("doctor", "tools.doctor", "find out why something cannot be reached"),
    Tool("key", "tools.key", "create the key file that clients and servers share"),
    Tool("user", "tools.user", "add and remove users, and change their passwords and roles"),
    Tool("cert", "tools.cert", "make certificates for TLS, with a private authority"),
    Tool("echo", "utils.echoserver", "run an object that sends back what it gets"),
    Tool("http", "utils.httpgateway", "run the HTTP gateway: objects for web browsers, and a page with all of them"),
    Tool("config", "configure", "print the version and all settings"),
)


def _command() -> str:
    """Return the command that this program was started with: the module, the bundle, or the installed script."""
    name = os.path.basename(sys.argv[0])
    if name.endswith(".pyz"):
        return "python " + name
    # sys.argv[0] is the path of this file when it was run as a module
    return "python -m %s" % __package__ if name.endswith(".py") else name


def _overview() -> str:
    """Return the table of all tools as text."""
    package = __package__ or ""
    rows = [("TOOL", "THE SAME AS", "WHAT IT DOES")]
    rows += [(tool.name, "python -m %s.%s" % (package, tool.module), tool.does) for tool in TOOLS]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = ["  %-*s  %-*s  %s" % (widths[0], row[0], widths[1], row[1], row[2]) for row in rows]
    usage = "Pyro %s. Usage: %s TOOL [arguments]; TOOL -h explains each of them." % (__version__, _command())
    return "\n".join([usage, "", *lines])


def _load(tool: Tool) -> Any:
    """Import the module of a tool.

    Raises:
        ValueError: a setting in the environment is not valid, or the module is not installed.
    """
    name = "%s.%s" % (__package__, tool.module)
    try:
        return importlib.import_module(name)
    # A tool may be missing in an installation, and serpent not be installed: both are reported without a traceback. Any other
    # missing module is an error in the program.
    except ModuleNotFoundError as x:
        if x.name == "serpent":
            raise ValueError(str(x)) from x
        if x.name != name:
            raise
        raise ValueError("the tool %s is not part of this installation: module %s not found" % (tool.name, name)) from x


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the tool that the first argument names, and return its exit code."""
    arguments: List[str] = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return console.exit_code_of(lambda: console.say(*_overview().split("\n")))
    if arguments[0] == "--version":
        return console.exit_code_of(lambda: console.say(__version__))
    tool = next((tool for tool in TOOLS if tool.name == arguments[0]), None)
    if tool is None:
        console.complain("unknown tool '%s'; the tools are: %s" % (
            arguments[0], ", ".join(tool.name for tool in TOOLS)))
        return 2
    # only errors of loading are handled here: the tool handles its own errors
    loaded: List[Any] = []
    failure = console.exit_code_of(lambda: loaded.append(_load(tool)))
    return failure or int(loaded[0].main(arguments[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
