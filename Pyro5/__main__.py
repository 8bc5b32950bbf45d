"""Run a command line tool: ``python -m Pyro5 TOOL arguments...`` is the same as running the module of the tool.

Without arguments the tools are listed. Only the module of the selected tool is loaded.
"""
from __future__ import annotations

import gc
import os
import sys
from typing import Any, Iterator, List, Optional, Sequence

from . import __version__
from ._cli import console
from ._cli.tool_table import TOOLS, load
from ._text import did_you_mean


def _command() -> str:
    """Return the command that this program was started with: the module, the bundle, or the installed script."""
    name = os.path.basename(sys.argv[0])
    if name.endswith(".pyz"):
        return "python " + name
    # sys.argv[0] is the path of this file when it was run as a module
    return "python -m %s" % __package__ if name.endswith(".py") else name


def _overview() -> Iterator[str]:
    package = __package__ or ""
    rows = [("TOOL", "THE SAME AS", "WHAT IT DOES")]
    rows += [(tool.name, "python -m %s.%s" % (package, tool.module), tool.does) for tool in TOOLS]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    yield "Pyro %s. Usage: %s TOOL [arguments]; TOOL -h explains each of them." % (__version__, _command())
    yield ""
    for number, (name, module, does) in enumerate(rows):
        # The first row is the heading.
        yield console.joined("  ", console.paint("cyan" if number else "bold", name), " " * (widths[0] - len(name)),
                            "  %-*s  %s" % (widths[1], module, does))


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the tool that the first argument names, and return its exit code."""
    arguments: List[str] = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return console.exit_code_of(lambda: console.say(*_overview()))
    if arguments[0] == "--version":
        return console.exit_code_of(lambda: console.say(__version__))
    tool = next((tool for tool in TOOLS if tool.name == arguments[0]), None)
    if tool is None:
        names = [tool.name for tool in TOOLS]
        console.complain("unknown tool '%s'%s; the tools are: %s" % (
            arguments[0], did_you_mean(arguments[0], names), ", ".join(names)))
        return 2
    # only errors of loading are handled here: the tool handles its own errors
    loaded: List[Any] = []
    failure = console.exit_code_of(lambda: loaded.append(load(tool)))
    return failure or int(loaded[0].main(arguments[1:]) or 0)


if __name__ == "__main__":
    gc.freeze()  # what is loaded stays until the end; looking through it then takes a tenth of the time of most commands
    sys.exit(main())
