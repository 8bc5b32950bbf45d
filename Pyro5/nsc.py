"""
The name server control tool: ``python -m Pyro5.nsc [options] command [arguments]`` talks to a running name server.

The exit code is 0 when the command worked, 1 when it did not (with one line on standard error that says why), 2 when the
command line could not be understood.
"""
from __future__ import annotations

import argparse
import sys
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence

from . import console, errors
from .client import locate_ns


def _metadata_text(metadata: Iterable[str]) -> str:
    """Write the tags as a Python set, in alphabetical order."""
    return "{%s}" % ", ".join(repr(tag) for tag in sorted(metadata))


def _print_list(found: Dict[str, Any], title: str) -> None:
    lines = ["--------START LIST %s" % title]
    for name, (uri, metadata) in sorted(found.items()):
        lines.append("%s --> %s" % (name, uri))
        if metadata:
            lines.append("    metadata: %s" % _metadata_text(metadata))
    lines.append("--------END LIST %s" % title)
    console.say("\n".join(lines))


def _list(nameserver: Any, args: List[str]) -> None:
    if args:
        _print_list(nameserver.list(prefix=args[0], return_metadata=True), "- prefix '%s'" % args[0])
    else:
        _print_list(nameserver.list(return_metadata=True), "")


def _list_matching(nameserver: Any, args: List[str]) -> None:
    _print_list(nameserver.list(regex=args[0], return_metadata=True), "- regex '%s'" % args[0])


def _lookup(nameserver: Any, args: List[str]) -> None:
    uri, metadata = nameserver.lookup(args[0], return_metadata=True)
    console.say(str(uri))
    if metadata:
        console.say("metadata: %s" % _metadata_text(metadata))


def _register(nameserver: Any, args: List[str]) -> None:
    nameserver.register(args[0], args[1], safe=True)
    console.say("Registered %s" % args[0])


def _remove(nameserver: Any, args: List[str]) -> None:
    console.say("Removed %s" % args[0] if nameserver.remove(args[0]) else "Nothing removed")


def _remove_matching(nameserver: Any, args: List[str]) -> None:
    print("Potentially removing lots of items from the Name server. Are you sure (y/n)?", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise EOFError("no answer to the question; nothing was removed")
    if answer.strip().lower() in ("y", "yes"):
        console.say("%d items removed." % nameserver.remove(regex=args[0]))


def _set_metadata(nameserver: Any, args: List[str]) -> None:
    nameserver.set_metadata(args[0], args[1:])
    console.say("Metadata updated" if args[1:] else "Metadata cleared")


def _search_all(nameserver: Any, args: List[str]) -> None:
    _print_list(nameserver.yplookup(meta_all=args), " - searched by metadata")


def _search_any(nameserver: Any, args: List[str]) -> None:
    _print_list(nameserver.yplookup(meta_any=args), " - searched by metadata")


def _ping(nameserver: Any, args: List[str]) -> None:
    nameserver.ping()
    console.say("Name server ping ok.")


class Command(NamedTuple):
    """What one command does, and how many arguments it takes."""

    run: Callable[[Any, List[str]], None]
    least: int                  # number of arguments that it needs
    most: Optional[int]         # number of arguments that it takes; None is any number: what it has no use for is ignored
    complaint: str = ""         # printed when the number is wrong


COMMANDS = {
    "list": Command(_list, 0, None),
    "lookup": Command(_lookup, 1, 1, "requires one argument: name"),
    "register": Command(_register, 2, 2, "requires two arguments: name uri"),
    "remove": Command(_remove, 1, 1, "requires one argument: name"),
    "removematching": Command(_remove_matching, 1, 1, "requires one argument: pattern"),
    "listmatching": Command(_list_matching, 1, 1, "requires one argument: pattern"),
    "yplookup_all": Command(_search_all, 1, None, "requires at least one metadata tag argument"),
    "yplookup_any": Command(_search_any, 1, None, "requires at least one metadata tag argument"),
    "setmeta": Command(_set_metadata, 1, None, "requires arguments: uri and zero or more meta tags"),
    "ping": Command(_ping, 0, None),
}


def _locate(options: argparse.Namespace) -> Any:
    if options.unixsocket:
        return locate_ns("./u:" + options.unixsocket)
    return locate_ns(options.host, options.port)


def run(options: argparse.Namespace) -> None:
    """Run the command of the parsed options."""
    say_more = console.say if options.verbose else _be_quiet
    say_more("Locating name server...")
    with _locate(options) as nameserver:
        say_more("Name server found: %s" % nameserver._pyroUri)
        COMMANDS[options.command].run(nameserver, options.args)
    say_more("Done.")


def _be_quiet(_text: str) -> None:
    return None


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pyro5-nsc", description="Control a running name server.")
    option = parser.add_argument
    option("-n", "--host", default="", help="host of the name server (default: search for it)")
    option("-p", "--port", type=int, help="its port (or, when searching for it, the port for broadcasts)")
    option("-u", "--unixsocket", help="name of its Unix domain socket, instead of host and port")
    option("-v", "--verbose", action="store_true", help="print more, and tracebacks of errors")
    option("command", choices=list(COMMANDS), help="what to do")
    option("args", nargs="*", metavar="argument", help="what to do it with")
    # Names and tags may look like options: what is not one of ours belongs to the command.
    options, unknown = parser.parse_known_args(args)
    options.args += unknown
    return options


def _takes(command: Command, args: Sequence[str]) -> bool:
    return command.least <= len(args) and (command.most is None or len(args) <= command.most)


def _report(error: BaseException, verbose: bool) -> None:
    if verbose:
        sys.stderr.write("".join(errors.get_pyro_traceback()))
    console.complain("Error: %s - %s" % (type(error).__name__, error))


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; give its exit code."""
    options = _parse(args)
    command = COMMANDS[options.command]
    if not _takes(command, options.args):
        console.complain(command.complaint)
        return 1
    return console.exit_code_of(lambda: run(options), lambda error: _report(error, options.verbose))


if __name__ == "__main__":
    sys.exit(main())
