"""
Removing the registrations of servers that are gone.

A registration is removed once its server could not be connected to for some time (`UNREACHABLE_SECONDS`): one that
restarts, or a network that is away for a moment, loses nothing.
"""
from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Dict, Mapping, Optional, Tuple

from . import config, constants, errors, socketutil
from .uri import URI

log = logging.getLogger("Pyro5.autoclean")

MINIMUM_PERIOD_SECONDS = 3.0
UNREACHABLE_SECONDS = 20.0
CONNECT_TIMEOUT_SECONDS = 5.0

KEPT_NAMES = frozenset([constants.NAMESERVER_NAME, constants.DAEMON_NAME])


def checked_period(seconds: float) -> float:
    """
    Give the period of the setting NS_AUTOCLEAN, 0 meaning off.

    Raises:
        ValueError: it is not 0 and too short.
    """
    if seconds and seconds < MINIMUM_PERIOD_SECONDS:
        raise ValueError("NS_AUTOCLEAN cannot be smaller than %d" % MINIMUM_PERIOD_SECONDS)
    return seconds


def try_connect(uri: URI) -> None:
    """
    Connect to the server of a PYRO uri, over TCP or a Unix socket, and hang up.

    Raises:
        OSError: nothing accepts connections there, or not within COMMTIMEOUT (5 seconds if that is off).
    """
    timeout = config.COMMTIMEOUT or CONNECT_TIMEOUT_SECONDS
    address = uri.sockname or (uri.host, uri.port)
    socketutil.create_socket(connect=address, timeout=timeout, keepalive=False, ipv6=None).close()


class AutoCleaner:
    """
    Checks all registrations periodically, in a thread of its own, and removes the dead ones.

    `start` and `stop` belong to the owner. `clean` is one round; the thread calls it, and so may a test, but not both.
    """

    def __init__(self, registrations: Callable[[], Mapping[str, str]], remove: Callable[[str, str], bool],
                 period_seconds: float, connect: Callable[[URI], None] = try_connect,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            registrations: gives a snapshot, name -> uri text.
            remove: removes a name if it still has the uri, and tells whether it did.
            connect: raises OSError for a uri whose server is not there.
            clock: gives seconds that never go back.
        """
        self._registrations = registrations
        self._remove = remove
        self._period_seconds = period_seconds
        self._connect = connect
        self._clock = clock
        # name and uri -> when the server was first found missing; used by the cleaning thread only
        self._missing_since: Dict[Tuple[str, str], float] = {}
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begin; the first round comes after one period."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="Pyro5 name server autoclean")
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it: at most as long as one attempt to connect takes. May be called again."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                self.clean()
            except Exception:
                # A storage that fails now may work in the next round, and nobody else watches this thread.
                log.exception("autoclean: this round failed")

    def clean(self) -> None:
        """Check every registration once, each server once for all its names, and remove those missing too long."""
        registrations = self._registrations()
        self._missing_since = {key: since for key, since in self._missing_since.items()
                               if registrations.get(key[0]) == key[1]}
        failures: Dict[str, Optional[str]] = {}
        for name, uri_text in registrations.items():
            if self._stopping.is_set():
                return
            uri = _uri_to_check(name, uri_text)
            if uri is None:
                continue
            location = str(uri.location)
            if location not in failures:
                failures[location] = self._failure(uri)
            self._judge(name, uri_text, failures[location])

    def _failure(self, uri: URI) -> Optional[str]:
        """Tell why the server cannot be connected to; None if it can."""
        try:
            self._connect(uri)
            return None
        except OSError as x:
            return str(x)

    def _judge(self, name: str, uri_text: str, failure: Optional[str]) -> None:
        key = name, uri_text
        if failure is None:
            self._missing_since.pop(key, None)
            return
        missing_seconds = self._clock() - self._missing_since.setdefault(key, self._clock())
        if missing_seconds >= UNREACHABLE_SECONDS:
            del self._missing_since[key]
            if self._remove(name, uri_text):
                log.warning("autoclean: removed %s (%s): not reachable for %d seconds: %s",
                            name, uri_text, missing_seconds, failure)


def _uri_to_check(name: str, uri_text: str) -> Optional[URI]:
    """Give the uri of a registration that has a location of its own; None for aliases and the name server itself."""
    if name in KEPT_NAMES:
        return None
    try:
        uri = URI(uri_text)
    except errors.PyroError as x:
        # a storage file may hold anything; what cannot be checked is left alone
        log.debug("autoclean: %s has no valid uri: %s", name, x)
        return None
    return uri if uri.protocol == "PYRO" else None
