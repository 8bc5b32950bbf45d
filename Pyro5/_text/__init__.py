"""Texts for logs and terminals: text from the network is made printable, names that are misspelled get a hint.

Text from the network must not forge a line of a log, control a terminal, or reverse its text. Many arguments of log calls are
chosen by a peer: exceptions, the path that a client has bound its Unix domain socket to, names of objects. Instead of treating
each of them, a filter of all loggers of the package makes the text of the whole record printable, and the text of exceptions
in its traceback.

Imported by every other package. Start reading at ``printable``.
"""
from __future__ import annotations

import logging
import traceback
from typing import Any, Iterable, Iterator

# All loggers of the package. Each of them needs the filter: the filters of a logger do not apply to records of its children.
LOGGERS = """
    Pyro5 Pyro5.aio Pyro5.auth Pyro5.autoclean Pyro5.broadcast Pyro5.callbacks Pyro5.client Pyro5.compatibility Pyro5.configure
    Pyro5.connection Pyro5.console Pyro5.core Pyro5.discovery Pyro5.itemstream Pyro5.leases Pyro5.link Pyro5.matching
    Pyro5.nameserver Pyro5.probing Pyro5.processes Pyro5.protocol Pyro5.registry Pyro5.resolving Pyro5.serializers Pyro5.server
    Pyro5.server.acceptor Pyro5.server.async_methods Pyro5.server.connection Pyro5.server.descriptions
    Pyro5.server.dispatch Pyro5.server.eventloop Pyro5.server.loop Pyro5.server.oneway
    Pyro5.server.quotas Pyro5.server.stalls Pyro5.server.streams Pyro5.server.types Pyro5.server.workers
    Pyro5.shared_memory Pyro5.socketutil Pyro5.storage.dbmfile Pyro5.storage.sqlite Pyro5.svr_threads Pyro5.tools.findings
    Pyro5.types Pyro5.utils.gatewayapp Pyro5.utils.gatewaycalls Pyro5.utils.httpconnection Pyro5.utils.httpserver
""".split()
MESSAGE_CHARS = 10000   # of the message of an exception, or of a line of its notes, in a traceback
LINKS = 50              # of a chain of causes
MAX_NAME_CHARS = 100    # of a misspelled name; comparing longer ones takes long, and they are no misspelled names


def printable(text: str) -> str:
    """Return a text in which each character that is not printable is replaced by an escape sequence.

    Not printable are all line breaks (including U+0085, U+2028 and U+2029), other control characters (and so ANSI sequences),
    characters that change the direction of text, invisible and unassigned characters, and lone surrogates.
    """
    if text.isprintable():  # nearly all texts
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def printable_lines(text: str) -> str:
    """Return a text as `printable` does, but keep line feeds and tabs. For tracebacks."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def one_line(text: str, most_chars: int = 300) -> str:
    """Return a text as `printable` does; if it is too long, its beginning and its length."""
    # cut before the escapes are inserted: the work is limited for a text of any size
    if len(text) > most_chars:
        text = "%s... (%d characters)" % (text[:most_chars], len(text))
    return printable(text)


class PrintableText(logging.Filter):
    """Makes the text of records printable. It accepts all records and never raises an exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as x:  # str() of an argument failed; logging would print a traceback for this
            message = "%s (%s while formatting the arguments)" % (record.msg, type(x).__name__)
            record.args = None
            record.msg = message
        if not message.isprintable():
            record.msg, record.args = printable(message), None
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            # Formatters use this text instead of formatting exc_info. That is kept for handlers that need the exception.
            record.exc_text = traceback_text(record.exc_info[1])
        return True


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an exception and its chain. Each message is one line, and all other lines are indented."""
    try:
        return "\n".join(_lines(traceback.TracebackException(type(error), error, error.__traceback__)))
    except Exception as x:  # formatting an exception runs code of its class
        return "%s (%s while formatting the traceback)" % (printable(type(error).__name__), type(x).__name__)


def _lines(found: Any) -> Iterator[str]:
    links = [(found, "")]
    while len(links) < LINKS:
        link = links[-1][0]
        if link.__cause__ is not None:
            links.append((link.__cause__, "The above exception was the direct cause of the following exception:"))
        elif link.__context__ is not None and not link.__suppress_context__:
            links.append((link.__context__, "During handling of the above exception, another exception occurred:"))
        else:
            break
    for link, joint in reversed(links):
        yield from _one(link)
        if joint:
            yield from ("", joint, "")


def _one(link: Any) -> Iterator[str]:
    if link.stack:
        yield "Traceback (most recent call last):"
        yield from "".join(link.stack.format()).rstrip("\n").split("\n")
    message, *more = link.format_exception_only()
    yield one_line(message.rstrip("\n"), MESSAGE_CHARS)
    for part in more:   # notes, or the place of a syntax error
        yield "    " + one_line(part.rstrip("\n"), MESSAGE_CHARS)
    for inner in getattr(link, "exceptions", None) or ():
        yield from ("  | " + line for line in _lines(inner))


def install_filter() -> None:
    """Add the filter to all loggers of the package."""
    text_filter = PrintableText()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(text_filter)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return the end of an error text, such as ``" (did you mean list?)"``; empty if no candidate is similar.

    Upper and lower case are the same.
    """
    import difflib  # only for this hint: importing it takes some milliseconds
    if len(name) > MAX_NAME_CHARS:
        return ""
    by_lower = {candidate.lower(): candidate for candidate in sorted(candidates)}
    found = difflib.get_close_matches(name.lower(), by_lower, 1)
    return " (did you mean %s?)" % by_lower[found[0]] if found else ""
