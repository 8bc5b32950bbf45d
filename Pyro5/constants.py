"""Names and numbers that several modules share and that are no settings."""
from __future__ import annotations

PROTOCOL_VERSION = 502
DAEMON_NAME = "Pyro.Daemon"
NAMESERVER_NAME = "Pyro.NameServer"
