"""
The filter that all loggers of the package have: no record has text of a peer that could pass for another record.

Arguments of a log call may be anything that a peer has chosen: an exception, the path that a client has bound its Unix socket
to, the name of an object. Instead of looking after each of them, the text of the whole record is made printable, and so is
that of exceptions in its traceback.
"""
from __future__ import annotations

import logging
import traceback
from typing import Any, Iterator

from .printable import one_line, printable

__all__ = ["LOGGERS", "PrintableText", "install", "traceback_text"]

# All loggers of the package: filters of a logger do not count for those below it.
LOGGERS = """
    Pyro5 Pyro5.autoclean Pyro5.broadcast Pyro5.client Pyro5.compatibility Pyro5.configure Pyro5.connection
    Pyro5.console Pyro5.core Pyro5.discovery Pyro5.itemstream Pyro5.link Pyro5.matching
    Pyro5.nameserver Pyro5.probing Pyro5.protocol Pyro5.registry Pyro5.resolving Pyro5.serializers Pyro5.server
    Pyro5.server.acceptor Pyro5.server.connection Pyro5.server.descriptions Pyro5.server.dispatch Pyro5.server.eventloop
    Pyro5.server.loop Pyro5.server.oneway Pyro5.server.quotas Pyro5.server.streams Pyro5.server.workers
    Pyro5.socketutil Pyro5.storage.dbmfile Pyro5.storage.sqlite Pyro5.svr_threads Pyro5.tools.findings
    Pyro5.utils.gatewayapp Pyro5.utils.gatewaycalls Pyro5.utils.httpconnection Pyro5.utils.httpserver
""".split()
MESSAGE_CHARS = 10000   # of an exception's message, or of a line of its notes, in a traceback
LINKS = 50              # of a chain of causes


class PrintableText(logging.Filter):
    """Makes the text of records printable. Lets all of them through, and raises nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as x:  # an argument that has no text; logging would print a traceback of its own
            message = "%s (%s while formatting the arguments)" % (record.msg, type(x).__name__)
            record.args = None
            record.msg = message
        if not message.isprintable():
            record.msg, record.args = printable(message), None
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            # Formatters use this text instead of formatting exc_info, which stays for handlers that look at the exception.
            record.exc_text = traceback_text(record.exc_info[1])
        return True


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an exception and its causes; each message is one line, and every other line is indented."""
    try:
        return "\n".join(_lines(traceback.TracebackException(type(error), error, error.__traceback__)))
    except Exception as x:  # the exception's own code may run, when its text is made
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


def install() -> None:
    """Put the filter on all loggers of the package."""
    text_filter = PrintableText()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(text_filter)
