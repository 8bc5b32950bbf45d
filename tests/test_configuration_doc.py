"""
Holds docs/configuration.md to the truth: its tables are made from the one in Pyro5/configure.py.

``python -m tests.test_configuration_doc write`` brings them up to date.
"""
from __future__ import annotations

import os
import sys
import unittest
from typing import Dict, Iterator, List

from Pyro5.configure import BOOL, ENVIRONMENT_PREFIX, FLOAT, INT, LIST, OPTIONAL_TEXT, SETTINGS, TEXT, Setting
from tests.support import PROJECT

DOCUMENT = os.path.join(PROJECT, "docs", "configuration.md")
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
UNITS = ("seconds", "bytes")
KINDS = {BOOL: "on or off", INT: "number", FLOAT: "number", TEXT: "text", OPTIONAL_TEXT: "text or None", LIST: "list of texts"}

TOPICS: Dict[str, str] = {
    "Calls, on both sides": "COMMTIMEOUT COMPRESSION MAX_MESSAGE_SIZE MAX_RETRIES SERIALIZER SERIALIZERS_ACCEPTED "
                            "SERPENT_BYTES_REPR",
    "Where servers listen": "HOST NATHOST NATPORT PREFER_IP_VERSION SOCK_NODELAY SOCK_REUSE",
    "How servers run calls": "DETAILED_TRACEBACK ONEWAY_THREADED POLLTIMEOUT SERVERTYPE SHUTDOWN_TIMEOUT THREADPOOL_SIZE "
                             "THREADPOOL_SIZE_MIN",
    "What clients may do to servers": "HANDSHAKE_TIMEOUT MAX_BUFFERED_SIZE MAX_CONNECTIONS MAX_HANDSHAKE_SIZE MAX_ONEWAY "
                                      "MAX_STREAMS",
    "Item streams": "ITER_STREAMING ITER_STREAM_LIFETIME ITER_STREAM_LINGER",
    "Name server": "BROADCAST_ADDRS NS_AUTOCLEAN NS_BCHOST NS_BCPORT NS_HOST NS_LOOKUP_DELAY NS_PORT",
    "Encryption": "SSL SSL_CACERTS SSL_CLIENTCERT SSL_CLIENTKEY SSL_CLIENTKEYPASSWD SSL_REQUIRECLIENTCERT SSL_SERVERCERT "
                  "SSL_SERVERKEY SSL_SERVERKEYPASSWD",
    "Logging": "LOGFILE LOGLEVEL LOGWIRE",
}
PAGES = {"Calls, on both sides": "clients.md", "Where servers listen": "servers.md#where-a-daemon-listens",
         "How servers run calls": "servers.md#which-thread-runs-a-call",
         "What clients may do to servers": "servers.md#which-thread-runs-a-call",
         "Item streams": "clients.md#items-one-by-one", "Name server": "nameserver.md", "Encryption": "tls.md", "Logging": "logging.md"}


def takes(setting: Setting) -> str:
    """Give the unit, or what kind of value it is."""
    first = setting.doc.partition(" ")[0]
    return first if first in UNITS else KINDS[setting.kind]


def row(setting: Setting) -> str:
    default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
    return "| `%s` | `%r` | %s | %s | `%s%s` |\n" % (setting.name, default, takes(setting), setting.doc, ENVIRONMENT_PREFIX,
                                                  setting.name)


def tables() -> Iterator[str]:
    by_name = {setting.name: setting for setting in SETTINGS}
    for topic, names in TOPICS.items():
        yield "\n## %s\n\nMore about them: [%s](%s)\n\n" % (topic, PAGES[topic].partition("#")[0], PAGES[topic])
        yield "| setting | default | takes | meaning | environment variable |\n| --- | --- | --- | --- | --- |\n"
        for name in names.split():
            yield row(by_name[name])
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
        self.assertEqual(written, "".join(tables()), "python -m tests.test_configuration_doc write")

    def test_every_setting_has_its_topic(self) -> None:
        names: List[str] = " ".join(TOPICS.values()).split()
        self.assertEqual(sorted(setting.name for setting in SETTINGS), sorted(names))
        self.assertEqual(set(TOPICS), set(PAGES))

    def test_units(self) -> None:
        kinds = {setting.name: takes(setting) for setting in SETTINGS}
        for name, kind in (("COMMTIMEOUT", "seconds"), ("MAX_MESSAGE_SIZE", "bytes"), ("SSL", "on or off"),
                           ("NS_BCHOST", "text or None"), ("MAX_RETRIES", "number")):
            self.assertEqual(kind, kinds[name])
        self.assertEqual([], [name for name, kind in kinds.items() if kind == "number" and name.endswith(("TIMEOUT", "_SIZE"))
                              and not name.startswith("THREADPOOL")])


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_tables()
    else:
        unittest.main()
