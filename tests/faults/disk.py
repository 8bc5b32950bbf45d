"""A name server whose disk is full: ``python -m tests.faults.disk sql|dbm tmpfs|limit``.

The disk is a small one in memory, which only this process sees, or a limit to the size of the files that it writes. A client
registers names until there is no more room, sees what then goes on, and what comes back when there is room again; what this
program has seen, it prints as JSON.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterable, List

from Pyro5 import errors
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns

from ..peers import settings
from ..support import daemon_thread

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

TMPFS, LIMIT = "tmpfs", "limit"
DISK_BYTES, BALLAST_BYTES = 768 * 1024, 256 * 1024
URI = "PYRO:%s@host:1"
LONG = "x" * 1900
TRIES = 10  # how often something is refused before there is room again


class Disk:
    """A disk that can be full: a folder, and a way to have room in it again."""

    def __init__(self, kind: str, folder: str) -> None:
        self.folder = folder
        self._ballast = os.path.join(folder, "ballast")
        self._limited = kind == LIMIT
        if self._limited:
            resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES - BALLAST_BYTES, resource.RLIM_INFINITY))
        else:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_BYTES, "tmpfs", folder], check=True)
            with open(self._ballast, "wb") as file:
                file.write(bytes(BALLAST_BYTES))

    def make_room(self) -> None:
        if self._limited:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            os.unlink(self._ballast)


def observe(kind: str, disk: Disk) -> Dict[str, Any]:
    """Fill the disk by registrations, make room, and start the name server again; tell what a client saw."""
    seen: Dict[str, Any] = {"acknowledged": 0}
    storage = "%s:%s" % (kind, os.path.join(disk.folder, "names"))
    with settings(SERVERTYPE="thread"):
        with daemon_thread(start_ns("127.0.0.1", 0, enableBroadcast=False, storage=storage)[1]) as daemon:
            with Proxy(daemon.uriFor("Pyro.NameServer")) as names:
                acknowledged = _fill(names, seen)
                seen["while full"] = _look(names, acknowledged)
                seen["removal"] = _error_of(names.remove, acknowledged[-1])
                disk.make_room()
                acknowledged = acknowledged[:-1]  # that one may be there or not
                for number in range(3):
                    names.register("later.%d" % number, URI % number)
                    acknowledged.append("later.%d" % number)
                seen["with room again"] = _look(names, acknowledged)
        with daemon_thread(start_ns("127.0.0.1", 0, enableBroadcast=False, storage=storage)[1]) as daemon:
            with Proxy(daemon.uriFor("Pyro.NameServer")) as names:
                seen["after a restart"] = _look(names, acknowledged)
    return seen


def _fill(names: Any, seen: Dict[str, Any]) -> List[str]:
    """Register until that fails again and again; give the names that were acknowledged."""
    acknowledged: List[str] = []
    refused: List[str] = []
    while len(refused) < TRIES:
        name = "name.%d" % (len(acknowledged) + len(refused))
        error = _error_of(names.register, name, URI % LONG)
        (refused if error else acknowledged).append(error or name)
    seen.update(acknowledged=len(acknowledged), errors=sorted(set(refused)))
    return acknowledged


def _error_of(method: Any, *args: Any) -> str:
    try:
        method(*args)
    except errors.NamingError as x:
        return "NamingError: %s" % x
    return ""


def _look(names: Any, acknowledged: Iterable[str]) -> Dict[str, Any]:
    """Return which of the acknowledged names are missing, whether lookups work, and how many names there are."""
    found = names.list()
    return {"missing": sorted(set(acknowledged) - set(found)), "names": len(found) - 1,
            "lookup": str(names.lookup("name.0"))[:12], "count": names.count() - 1}


def problems(seen: Dict[str, Any]) -> List[str]:
    """Return what of the things that were seen should not be."""
    found = []
    if not seen["acknowledged"]:
        found.append("nothing could be registered")
    for error in seen["errors"]:
        if not re.match("NamingError: storage (sql|dbm):.*(full|No space left|too large|I/O error)", error):
            found.append("the error does not name the storage and the reason: " + error)
    for when in ("while full", "with room again", "after a restart"):
        look = seen[when]
        if look["missing"]:
            found.append("%s, these are missing: %s" % (when, look["missing"]))
        if look["names"] != look["count"] or not look["lookup"].startswith("PYRO:"):
            found.append("%s, lookups do not work: %s" % (when, look))
    return found


def line(seen: Dict[str, Any]) -> str:
    """Return the figures in one line."""
    return "%d registrations acknowledged, then %d times: %s; %d names while full, %d with room again, %d after a restart" % (
        seen["acknowledged"], TRIES, ", ".join(seen["errors"]),
        *(seen[when]["names"] for when in ("while full", "with room again", "after a restart")))


def prefix(disk: str) -> List[str]:
    """Return the beginning of the command that runs this with such a disk: for a mount that other processes do not see."""
    return ["unshare", "--user", "--map-root-user", "--mount"] if disk == TMPFS else []


def why_impossible(disk: str) -> str:
    """Say why there can be no such disk here; empty if there can."""
    if disk == LIMIT:
        return "" if resource is not None else "this system does not limit the size of files"
    mount = [*prefix(disk), "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    try:
        done = subprocess.run(mount, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    except OSError as x:
        return "no disk in memory here: %s" % x
    return "no disk in memory here: %s" % done.stdout.strip() if done.returncode else ""


def main(storages: str, disk: str) -> None:
    seen = {}
    for storage in storages.split(","):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "disk"))
            small = Disk(disk, os.path.join(folder, "disk"))
            try:
                seen[storage] = observe(storage, small)
            finally:
                if disk == TMPFS:
                    subprocess.run(["umount", small.folder], check=True)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
