"""Make text from the network printable, so that it cannot forge a line of a log, control a terminal, or reverse its text."""
from __future__ import annotations

__all__ = ["one_line", "printable", "printable_lines"]


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
