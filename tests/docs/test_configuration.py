"""The tables in docs/configuration.md are generated from the table in Pyro5/_settings/__init__.py.

``python -m tests.docs.test_configuration write`` updates them.
"""
from __future__ import annotations

import os
import re
import sys
import unittest
from typing import Iterator, NamedTuple

from Pyro5._settings import BOOL, FLOAT, HOST, INT, LEVEL, LIST, OPTIONAL_INT, OPTIONAL_TEXT, TEXT
from Pyro5.configure import ENVIRONMENT_PREFIX, SETTINGS, Setting
from tests.support import PROJECT

DOCUMENT = os.path.join(PROJECT, "docs", "configuration.md")
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
UNITS = ("seconds", "bytes")
KINDS = {BOOL: "on or off", INT: "number", OPTIONAL_INT: "number or None", FLOAT: "number or None", TEXT: "string",
         OPTIONAL_TEXT: "string or None", HOST: "host or None", LEVEL: "level or None", LIST: "list of strings"}


class Topic(NamedTuple):
    """A section of the page."""

    title: str
    page: str  # the page that describes these settings
    names: str  # regular expression; a setting that matches several topics belongs to the first


# The page has them in reverse order. The last one here contains all settings that match no other.
TOPICS = (
    Topic("Encryption", "tls.md", "SSL"),
    Topic("Name server", "nameserver.md", "NS_|BROADCAST_"),
    Topic("HTTP gateway", "http.md", "GATEWAY_|MAX_GATEWAY_"),
    Topic("Logging", "logging.md", "LOG"),
    Topic("Item streams", "clients.md#item-streams", "ITER_|MAX_STREAMS"),
    Topic("Where servers listen", "servers.md#where-a-daemon-listens", "HOST|NAT|PREFER_IP|SOCK_"),
    Topic("Limits for clients", "servers.md#which-thread-runs-a-call",
          "HANDSHAKE_|MAX_(BUFFERED|CONNECTIONS|HANDSHAKE|ONEWAY)"),
    Topic("Calls, in clients and servers", "clients.md", "COMM|COMPR|MAX_|PROXY_|SERIAL|SERPENT"),
    Topic("How servers run calls", "servers.md#which-thread-runs-a-call", ""),
)


def type_of(setting: Setting) -> str:
    """Return the unit of a setting, or the kind of its values."""
    first = setting.doc.partition(" ")[0]
    return first if first in UNITS else KINDS[setting.kind]


def row(setting: Setting) -> str:
    default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
    return "| `%s` | `%r` | %s | %s | `%s%s` |\n" % (setting.name, default, type_of(setting), setting.doc, ENVIRONMENT_PREFIX,
                                                  setting.name)


def topic_of(setting: Setting) -> Topic:
    return next(topic for topic in TOPICS if re.match(topic.names, setting.name))


def tables() -> Iterator[str]:
    for topic in reversed(TOPICS):
        yield "\n## %s\n\nSee [%s](%s).\n\n" % (topic.title, topic.page.partition("#")[0], topic.page)
        yield "| setting | default | type | meaning | environment variable |\n| --- | --- | --- | --- | --- |\n"
        for setting in SETTINGS:
            if topic_of(setting) is topic:
                yield row(setting)
    yield "\n"


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def write_tables() -> None:
    before, _, rest = read_document().partition(BEGIN)
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "".join(tables()) + END + rest.partition(END)[2])


class Document(unittest.TestCase):
    maxDiff = None

    def test_up_to_date(self) -> None:
        written = read_document().partition(BEGIN)[2].partition(END)[0]
        self.assertEqual(written, "".join(tables()), "python -m tests.docs.test_configuration write")

    def test_every_setting_is_there_once(self) -> None:
        names = re.findall(r"^\| `(\w+)`", read_document(), re.MULTILINE)
        self.assertEqual(sorted(setting.name for setting in SETTINGS), sorted(names))

    def test_units(self) -> None:
        kinds = {setting.name: type_of(setting) for setting in SETTINGS}
        for name, kind in (("COMMTIMEOUT", "seconds"), ("MAX_MESSAGE_SIZE", "bytes"), ("SSL", "on or off"),
                           ("NS_BCHOST", "host or None"), ("MAX_RETRIES", "number or None")):
            self.assertEqual(kind, kinds[name])
        self.assertEqual([], [name for name, kind in kinds.items() if kind.startswith("number")
                              and name.endswith(("TIMEOUT", "_SIZE")) and not name.startswith("THREADPOOL")])


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_tables()
    else:
        unittest.main()
