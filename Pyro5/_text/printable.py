"""Make text of a peer harmless: it must not start a line of a log, control a terminal, or reverse what is displayed."""
from __future__ import annotations

__all__ = ["one_line", "printable", "printable_lines"]


def printable(text: str) -> str:
    """
    Return a text with every character that is not printable as an escape sequence.

    Those are line breaks of all kinds (U+0085, U+2028, U+2029 too), other control characters (so no ANSI sequences), marks
    that change the direction of text, invisible and unassigned characters, and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def printable_lines(text: str) -> str:
    """Return a text as `printable` does, except that line feeds and tabs stay: for tracebacks."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def one_line(text: str, most_chars: int = 300) -> str:
    """Return the beginning of a text, as `printable` does, with its length if it is longer."""
    if len(text) > most_chars:
        text = "%s... (%d characters)" % (text[:most_chars], len(text))
    return printable(text)
