"""The name server control tool: ``python -m Pyro5.nsc [options] command [arguments]`` sends a command to a running name
server.

With the option ``--json``, results are printed as JSON. Commands that list registrations print an object of name -> {"uri":
text, "metadata": list} (``lookup``: one such value); for names with a lease or members also with "lease" and "members", as
in ``NameServer.details``. ``watch`` prints an object for each event, on a line of its own. Later releases may add keys.

The exit code is 0 on success, 1 on failure (with one line on standard error that says why), 2 for an invalid command line.
"""
from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Optional, Sequence

from . import LazyModule, config, errors
from ._cli import access_options, console
from ._cli.parser import ToolParser
from ._net.addresses import name_server_host
from ._text import did_you_mean
from ._values import plain
from ._values.uri import URI
from .client import locate_ns

if TYPE_CHECKING:
    import json

    from ._cli import progress, registrations
    from ._naming import authorization
else:
    authorization = LazyModule(globals(), "._naming.authorization")
    json = LazyModule(globals(), "json")
    progress = LazyModule(globals(), "._cli.progress")
    registrations = LazyModule(globals(), "._cli.registrations")  # for commands that list something

# Part of the error for a metadata request to a storage without metadata.
NO_METADATA = "has no metadata"


def _checked(found: Any) -> Dict[str, Any]:
    """Return what a name server found. Raises ProtocolError unless it consists of names, each with uri and tags."""
    # A name server can send anything; a proxy, for example, would connect to an address of its choice.
    if type(found) is not dict or not plain.is_texts([*found]) or not all(map(_is_registration, found.values())):
        raise errors.ProtocolError("the name server did not send registrations, but %s" % plain.text_of(found))
    return found


def _is_registration(value: Any) -> bool:
    # Exact types: a subclass could run code of its own when it is formatted.
    return (type(value) in plain.SEQUENCES and len(value) == 2 and type(value[0]) in (str, URI)
            and plain.is_texts(value[1]))


def _metadata_text(metadata: Iterable[str]) -> str:
    """Format the tags as a Python set, in alphabetical order."""
    return "{%s}" % ", ".join(repr(tag) for tag in sorted(metadata))


def _as_json(registration: Any, more: Any) -> Dict[str, Any]:
    # What is empty is left out, so that plain registrations have the same form as in other releases.
    uri, metadata = registration
    return {"uri": str(uri), "metadata": sorted(metadata), **{key: value for key, value in more.items() if value}}


def _say_json(result: Any) -> None:
    console.say(*json.dumps(result, indent=2).split("\n"))


def _print_list(nameserver: Any, found: Dict[str, Any], title: str, options: argparse.Namespace, prefix: str = "") -> None:
    # Asked separately, so that the listing itself works with name servers of other releases.
    leases = registrations.leases_of(nameserver, prefix) if found else {}
    if options.alive:
        # Before the output: the check connects to the objects, and only those that answer are shown.
        found = registrations.alive(found, leases)
    if options.json:
        _say_json({name: _as_json(found[name], leases.get(name, {})) for name in sorted(found)})
        return
    lines = ["--------START LIST %s" % title]
    for name, (uri, metadata) in sorted(found.items()):
        lines.append(console.joined(console.paint("cyan", name), " --> %s" % uri))
        if metadata:
            lines.append("    metadata: %s" % _metadata_text(metadata))
        lines += registrations.lease_lines(leases.get(name, {}))
    lines.append("--------END LIST %s" % title)
    console.say(*lines)


def _found(nameserver: Any, search: Callable[..., Dict[str, Any]], **criterion: str) -> Dict[str, Any]:
    """Return name -> (uri, metadata); the metadata are empty if the name server's storage has none."""
    with progress.answer_shown(nameserver):
        # Progress is shown, since searches with large results take a while.
        try:
            return _checked(search(return_metadata=True, **criterion))
        except errors.NamingError as x:
            # This error has no class of its own, so its text is compared.
            if NO_METADATA not in str(x):
                raise
            # Once more without metadata, which this storage does not have.
            found = search(return_metadata=False, **criterion)
            return _checked({name: (uri, ()) for name, uri in found.items()} if type(found) is dict else found)


def _list(nameserver: Any, options: argparse.Namespace) -> None:
    if options.args:
        # The same prefix for both requests: leases of names that are not listed are not transferred.
        prefix = options.args[0]
        _print_list(nameserver, _found(nameserver, nameserver.list, prefix=prefix), "- prefix '%s'" % prefix, options, prefix)
    else:
        _print_list(nameserver, _found(nameserver, nameserver.list), "", options)


def _list_matching(nameserver: Any, options: argparse.Namespace) -> None:
    pattern = options.args[0]
    _print_list(nameserver, _found(nameserver, nameserver.list, regex=pattern), "- regex '%s'" % pattern, options)


def _lookup(nameserver: Any, options: argparse.Namespace) -> None:
    name = options.args[0]

    # In the form of a search, so that both kinds of storages are handled in one place.
    def search(return_metadata: bool) -> Dict[str, Any]:
        return {name: nameserver.lookup(name, return_metadata=return_metadata)}

    uri, metadata = _found(nameserver, search)[name]
    leases = registrations.leases_of(nameserver, name).get(name, {})
    if options.json:
        _say_json(_as_json((uri, metadata), leases))
        return
    console.say(str(uri))
    if metadata:
        console.say("metadata: %s" % _metadata_text(metadata))
    for line in registrations.lease_lines(leases):
        console.say(line.strip())


def _register(nameserver: Any, options: argparse.Namespace) -> None:
    name, uri = options.args
    # Without `safe`, a mistyped name would replace the registration of another server.
    nameserver.register(name, uri, safe=True)
    _say(options, "Registered %s" % name, registered=name)


def _remove(nameserver: Any, options: argparse.Namespace) -> None:
    name = options.args[0]
    count = nameserver.remove(name)
    _say(options, "Removed %s" % name if count else "Nothing removed", removed=count)


def _remove_matching(nameserver: Any, options: argparse.Namespace) -> None:
    # print() instead of say(): the cursor stays in the line of the question.
    question = "Potentially removing lots of items from the Name server. Are you sure (y/n)?"
    # On standard error with --json: programs read the standard output.
    print(question, end="", flush=True, file=sys.stderr if options.json else sys.stdout)
    answer = sys.stdin.readline()
    if not answer:
        # The end of the input is no consent.
        raise EOFError("no answer to the question; nothing was removed")
    if answer.strip().lower() in ("y", "yes"):
        count = nameserver.remove(regex=options.args[0])
        _say(options, "%d items removed." % count, removed=count)
    elif options.json:
        _say_json({"removed": 0})


def _set_metadata(nameserver: Any, options: argparse.Namespace) -> None:
    name, tags = options.args[0], options.args[1:]
    nameserver.set_metadata(name, tags)
    _say(options, "Metadata updated" if tags else "Metadata cleared", name=name, metadata=sorted(set(tags)))


def _print_tagged(nameserver: Any, options: argparse.Namespace, **tags: Sequence[str]) -> None:
    with progress.answer_shown(nameserver):
        # Without arguments for metadata: its results always have them.
        found = _checked(nameserver.yplookup(**tags))
    _print_list(nameserver, found, " - searched by metadata", options)


def _ping(nameserver: Any, options: argparse.Namespace) -> None:
    nameserver.ping()
    stale = _stale_seconds(nameserver)
    if stale is None:
        _say(options, "Name server ping ok.", ping="ok")
    else:
        _say(options, "Name server ping ok, but stale: it has not reached its storage for %.0f seconds, so changes fail, and "
             "lookups are answered from memory." % stale, ping="ok", stale=round(stale, 3))


def _stale_seconds(nameserver: Any) -> Optional[float]:
    """Return for how long the name server has not reached the storage that it shares with others; None if it does."""
    try:
        stale: Optional[float] = nameserver.status()["stale"]
    except AttributeError:  # a name server of another release
        return None
    return stale


def _say(options: argparse.Namespace, text: str, **result: Any) -> None:
    """Print what was done, as a text or as JSON."""
    if options.json:
        _say_json(result)
    else:
        console.say(text)


def _health(nameserver: Any, options: argparse.Namespace) -> None:
    prefix = options.args[0] if options.args else ""
    found = _found(nameserver, nameserver.list, prefix=prefix)
    states = registrations.states(found, registrations.leases_of(nameserver, prefix))
    if options.json:
        _say_json({name: states[name].as_dict() for name in sorted(states)})
    else:
        for name in sorted(states):
            _say_state("%s --> %s" % (name, states[name].subject(found[name][0])), states[name])
            for uri, member in sorted(states[name].members.items()):
                _say_state("    member: " + uri, member)
    # The exit code tells scripts that something has to be done; names that cannot be checked are not counted.
    dead = [name for name, state in states.items() if state.alive is False]
    if dead:
        raise errors.NamingError("%d of %d names cannot be reached" % (len(dead), len(states)))


def _say_state(what: str, state: registrations.State) -> None:
    color = {True: "green", False: "red"}.get(state.alive, "yellow")  # type: ignore[arg-type]
    console.say(console.joined(what + ": ", console.paint(color, state.text())))


def _watch(nameserver: Any, options: argparse.Namespace) -> None:
    # The connection belongs to the watch: it ends with the block, also by Ctrl-C.
    with nameserver.watch(*options.args) as events:
        for event in events:
            if options.json:
                metadata = None if event.metadata is None else sorted(event.metadata)
                console.say(json.dumps({**event._asdict(), "metadata": metadata}))
                continue  # one object in each line
            text = event.kind if event.name is None else "%s %s --> %s" % (event.kind, event.name, event.uri)
            console.say("%s    %s" % (text, _metadata_text(event.metadata)) if event.metadata else text)


class Command:
    """The function of a command; how many arguments it takes (None means no limit), their names for the usage text, and what
    is printed when their number is wrong; whether it accepts --alive.
    """

    def __init__(self, run: Callable[[Any, argparse.Namespace], None], least: int, most: Optional[int], usage: str = "",
                 complaint: str = "", lists: bool = False) -> None:
        self.run, self.least, self.most = run, least, most
        self.usage, self.complaint, self.lists = usage, complaint, lists


COMMANDS = {
    "list": Command(_list, 0, 1, "[prefix]", "takes one argument at most: prefix", lists=True),
    "lookup": Command(_lookup, 1, 1, "name", "requires one argument: name"),
    "register": Command(_register, 2, 2, "name uri", "requires two arguments: name uri"),
    "remove": Command(_remove, 1, 1, "name", "requires one argument: name"),
    "removematching": Command(_remove_matching, 1, 1, "pattern", "requires one argument: pattern"),
    "listmatching": Command(_list_matching, 1, 1, "pattern", "requires one argument: pattern", lists=True),
    "yplookup_all": Command(lambda nameserver, options: _print_tagged(nameserver, options, meta_all=options.args), 1, None,
                            "tag...", "requires at least one metadata tag argument", lists=True),
    "yplookup_any": Command(lambda nameserver, options: _print_tagged(nameserver, options, meta_any=options.args), 1, None,
                            "tag...", "requires at least one metadata tag argument", lists=True),
    "setmeta": Command(_set_metadata, 1, None, "name [tag...]", "requires arguments: name and zero or more meta tags"),
    "ping": Command(_ping, 0, 0, "", "takes no arguments"),
    "health": Command(_health, 0, 1, "[prefix]", "takes one argument at most: prefix"),
    "watch": Command(_watch, 0, 1, "[prefix]", "takes one argument at most: prefix"),
}


def _locate(options: argparse.Namespace) -> Any:
    host = "./u:" + options.unixsocket if options.unixsocket else options.host
    if options.write_token_file is None:
        # A list of name servers, or a search: each place is tried.
        return locate_ns(host, options.port)
    token = authorization.read_token(options.write_token_file)
    # Any host could answer a broadcast and would receive the token, so no broadcast is sent.
    nameserver = locate_ns(host or name_server_host(), options.port)
    # It was connected to find the name server. The token is sent with the handshake of the next connection.
    nameserver._pyroRelease()
    nameserver._pyroHandshake = token
    return nameserver


def handle_command(namesrv: Any, args: Any) -> None:
    """Run one command of the tool against a name server, and print its results.

    Args:
        namesrv: a proxy for a name server, or a ``NameServer``.
        args: the words of the command line, or an object with ``command`` (its name) and ``args`` (its arguments).

    Raises:
        ValueError: unknown command, or wrong number of arguments.
        Exception: an error raised by the name server.
    """
    # Programs of 5.x pass the namespace of argparse.
    words = args if isinstance(args, (list, tuple)) else [args.command, *(getattr(args, "args", None) or ())]
    command, rest = words[0], list(words[1:])
    if command not in COMMANDS:
        raise ValueError("there is no command '%s'%s; there are: %s" % (
            command, did_you_mean(str(command), COMMANDS), ", ".join(COMMANDS)))
    options = argparse.Namespace(command=command, args=rest, json=bool(getattr(args, "json", False)),
                                 alive=bool(getattr(args, "alive", False)))
    # Checked here again: programs call this function without the parser.
    complaint = _complaint(COMMANDS[command], options)
    if complaint is not None:
        raise ValueError(complaint)
    COMMANDS[command].run(namesrv, options)


def run(options: argparse.Namespace) -> None:
    """Run the command of the parsed options."""
    access_options.use(options)
    if options.timeout is not None:
        # For all connections of the tool, including those that check objects.
        config.COMMTIMEOUT = options.timeout
    say_more = console.say if options.verbose else console.say_nothing
    say_more("Locating name server...")
    with _locate(options) as nameserver:
        say_more("Name server found: %s" % nameserver._pyroUri)
        handle_command(nameserver, options)
    say_more("Done.")


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5-nsc", description="Control a running name server.")
    option = parser.add_argument
    option("-n", "-H", "--host", default="", help="host of the name server, or a list of hosts (default: search for it)")
    option("-p", "--port", type=console.port,
           help="port of the name server, or of its broadcast responder if no host is given")
    option("-u", "--unixsocket", help="Unix domain socket of the name server, instead of host and port")
    option("--write-token-file", metavar="FILE", help="file with the write token, if the name server requires one; with "
           "this option, the name server is not searched for: it must run on --host or NS_HOST")
    option("-t", "--timeout", type=console.seconds, metavar="SECONDS", help="seconds to wait for a reply "
           "(default: the setting COMMTIMEOUT)")
    access_options.add_client_options(parser)
    option("-v", "--verbose", action="store_true", help="print more, including the tracebacks of errors")
    option("--json", action="store_true", help="print the results of commands as JSON")
    option("--alive", action="store_true", help="list only the names whose objects can be reached")
    option("command", choices=list(COMMANDS), help="command to run")
    option("args", nargs="*", default=[], metavar="argument", help="arguments of the command")
    return parser


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = make_parser()
    # Names and tags may begin with a hyphen: unknown options are arguments of the command.
    options, unknown = parser.parse_known_args(args)
    hint = parser.hint_for(unknown)
    if hint:    # a misspelled option, and not the name of an object
        parser.error("unrecognized arguments: %s%s" % (" ".join(unknown), hint))
    options.args += unknown
    return options


def _complaint(command: Command, options: argparse.Namespace) -> Optional[str]:
    """Return what is wrong with the arguments, None if they are valid."""
    # The usage of the command alone: that of the parser does not know the arguments.
    if len(options.args) < command.least or command.most is not None and len(options.args) > command.most:
        usage = " ".join(filter(None, ("pyro5-nsc", "[options]", options.command, command.usage)))
        return "%s %s (usage: %s)" % (options.command, command.complaint, usage)
    if options.alive and not command.lists:
        return "--alive is for the commands that list something: %s" % ", ".join(
            name for name, command in COMMANDS.items() if command.lists)
    return None


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = _parse(args)
    complaint = _complaint(COMMANDS[options.command], options)
    if complaint is not None:
        console.complain(complaint)
        return 1
    # The class of an error says more than its text in scripts.
    return console.exit_code_of(lambda: run(options), lambda error: console.complain_with_class(error, options.verbose))


if __name__ == "__main__":
    gc.freeze()  # what is loaded stays until the end; looking through it then takes a tenth of the time of most commands
    sys.exit(main())
