"""Keep the mirror up to date: read all registrations, and then watch them."""
from __future__ import annotations

import functools
import http.client
import logging
import threading
import time
from typing import Callable, Iterable, List, Optional, Set

from .... import errors, socketutil
from . import messages
from .client import EtcdClient, Stream
from .messages import EtcdError, Event
from .mirror import Mirror
from .records import encode_key, key_range

log = logging.getLogger("Pyro5.nameserver")

PAGE_KEYS = 2000            # read in one request
LOAD_SECONDS = 10.0         # for one of these requests
CHECK_SECONDS = 2.0         # between checks whether the cluster can be reached, and the mirror is up to date
PAUSE_SECONDS = 0.1         # after a watch has failed at all endpoints
# The search for the newest of 100 000 keys keeps etcd busy for a quarter of a second: it takes at most this share of the time.
MAX_SEARCH_SHARE = 0.05
# A watch that has delivered nothing for so long is opened again if there should be something; the second time after twice as
# long, because a new watch needs time, too, where etcd is busy.
PATIENCE_SECONDS, MAX_PATIENCE_SECONDS = 1.0, 16.0


class Follower:
    """Two threads: one reads the watch, the other checks that the watch has missed nothing, and that the cluster answers.

    Args:
        apply: called with events in the order of their revisions.
        endpoints: the number of endpoints of the cluster.
        where: the cluster, for the log.
    """

    def __init__(self, client: EtcdClient, mirror: Mirror, prefix: str, apply: Callable[[Iterable[Event]], None],
                 endpoints: int, where: str) -> None:
        self._client = client
        self._mirror = mirror
        self._start, self._end = key_range(prefix)
        self._encode = functools.partial(encode_key, prefix)
        self._apply = apply
        self._endpoints = endpoints
        self._where = where
        self._closed = threading.Event()
        self._needs_load = False    # the watch cannot go on where it has ended
        self._messages = 0          # that the watch has received
        self._messages_checked = 0  # at the last check
        self._search_at = 0.0       # monotonic time of the next search for the newest key
        self._patience = PATIENCE_SECONDS
        self._opened_at = 0.0       # monotonic time at which the watch was opened
        self._lock = threading.Lock()  # guards the attributes below
        self._stream: Optional[Stream] = None
        self._watch_failure: Optional[str] = None
        self._check_failure: Optional[str] = None
        self._away_since: Optional[float] = None
        self._threads = [threading.Thread(target=run, daemon=True, name="Pyro5 name server etcd " + what)
                         for what, run in (("watch", self._run), ("check", self._check_forever))]

    def start(self) -> None:
        """Read all registrations, then start the threads.

        Raises:
            NamingError: the cluster cannot be reached, or refuses the request.
        """
        self.load()
        for thread in self._threads:
            thread.start()

    @property
    def stale_seconds(self) -> Optional[float]:
        """For how long the cluster has not been reached; None if it is reached."""
        since = self._away_since
        return None if since is None else time.monotonic() - since

    def reconnect(self) -> None:
        """End the watch, so that it is opened again at the next endpoint."""
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.shut_down()

    def reconnect_if_old(self) -> None:
        """End the watch unless it was opened a short time ago: each new one gets more time than the one before."""
        with self._lock:
            stream = self._stream
            if stream is None or time.monotonic() < self._opened_at + self._patience:
                return
            self._patience = min(2 * self._patience, MAX_PATIENCE_SECONDS)
            self._opened_at = time.monotonic()  # many threads may wait for the same watch
        stream.shut_down()

    def close(self) -> None:
        """Stop the threads and wait for them. Can be called more than once."""
        self._closed.set()
        self.reconnect()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def load(self) -> None:
        """Read all registrations."""
        # Until it is complete: a write that waits for the mirror must not see it half done.
        self._mirror.restart()
        while not self._load_once():
            pass

    def _load_once(self) -> bool:
        """Read all registrations in pages of one revision; return False if that was compacted in the meantime."""
        seen: Set[bytes] = set()
        start, revision, more = self._start, 0, True
        while more:
            request = messages.range_request(start, self._end, PAGE_KEYS, revision)
            try:
                reply = self._client.post(messages.RANGE, request, LOAD_SECONDS, LOAD_SECONDS)
            except EtcdError as x:
                if x.is_compacted:
                    return False
                raise
            pairs, found_revision, more = messages.parse_range(reply)
            revision = revision or found_revision
            if pairs:
                start = pairs[-1].key + b"\0"
            # In the order of their revisions, as a watch has them.
            self._apply(sorted(self._mirror.outdated(pairs, seen), key=lambda event: event.revision))
        self._apply(self._mirror.vanished(seen, self._encode, revision))
        self._mirror.move_to(revision)
        self._needs_load = False
        return True

    # ------------------------------------------------------------ the watch

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            count = self._messages
            try:
                if self._needs_load:
                    self.load()
                self._watch()
                failures = 0
            except (OSError, http.client.HTTPException, errors.NamingError) as x:
                # A watch that has worked for a while is opened again at once, at the next endpoint.
                failures = 1 if self._messages > count else failures + 1
                if isinstance(x, OSError) and socketutil.is_timeout(x) and failures % self._endpoints == 0:
                    self._patience = min(2 * self._patience, MAX_PATIENCE_SECONDS)
                reason = str(x) or type(x).__name__
                if failures >= self._endpoints and not self._closed.is_set():
                    self._set_state(watch_failure="the watch has ended: " + reason)
                    self._closed.wait(PAUSE_SECONDS)
            except Exception:  # the thread has to go on, otherwise the mirror would stay as it is for ever
                log.exception("the watch of etcd at %s has failed, it starts again", self._where)
                self._needs_load = True
                self._closed.wait(PAUSE_SECONDS)

    def _watch(self) -> None:
        """Read a watch until it is canceled; raise what it fails with."""
        request = messages.watch_request(self._start, self._end, self._mirror.position + 1)
        stream = self._client.open_stream(messages.WATCH, request, self._patience)
        with self._lock:
            self._stream, self._opened_at = stream, time.monotonic()
        try:
            while not self._closed.is_set():
                if not self._handle(stream.read()):
                    return
        finally:
            with self._lock:
                self._stream = None
            stream.close()

    def _handle(self, lines: List[bytes]) -> bool:
        """Apply lines of a watch; return False if it was canceled."""
        events: List[Event] = []
        position = 0
        for line in lines:
            reply = messages.parse_watch(line)
            self._messages += 1
            if reply.cancel_reason is not None:
                # Compacted: the changes in between are lost, so everything is read again.
                log.info("etcd at %s has canceled the watch: %s", self._where, reply.cancel_reason)
                self._needs_load = True
                break
            if reply.is_created:
                self._set_state(watch_failure=None)
            elif not reply.events:
                # Progress: all changes up to the revision in it have been received.
                position = max(position, reply.revision)
            else:
                self._patience = PATIENCE_SECONDS
            events += reply.events
            position = max([position, *(event.revision for event in reply.events)])
        self._apply(events)
        # Afterwards: this wakes the writes that wait for their changes.
        self._mirror.move_to(position)
        return not self._needs_load

    # ------------------------------------------------------------ the check

    def _check_forever(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            try:
                self._check()
                self._set_state(check_failure=None)
            except errors.NamingError as x:
                if not self._closed.is_set():
                    self._set_state(check_failure=str(x))
            except Exception:  # the next check may succeed
                log.exception("the check of etcd at %s has failed", self._where)

    def _check(self) -> None:
        """Compare the mirror with etcd, and open the watch again if it has missed something."""
        # Read first: while the request is under way, the watch may deliver later changes.
        count, position = self._messages, self._mirror.position
        is_delivering, self._messages_checked = count != self._messages_checked, count
        # One key, which need not exist: the reply has the revision of the store.
        reply = self._client.post(messages.RANGE, messages.range_request(self._start, b"", 1), CHECK_SECONDS)
        revision = messages.parse_range(reply)[1]
        # A cluster that was restored from a backup, or set up anew, has lower revisions.
        if revision < position:
            self._needs_load = True
            self.reconnect()
            return
        # There may be changes that have not been delivered, or other programs have changed their own keys.
        if revision <= self._mirror.position or is_delivering or not self._has_missed_something():
            return
        # The watch may be about to deliver it. If it delivers nothing for a while, its endpoint hangs, or has lost the others.
        if not self._closed.wait(CHECK_SECONDS / 2) and self._messages == count and self._mirror.position < revision:
            self.reconnect()

    def _has_missed_something(self) -> bool:
        """Return whether the newest key in etcd, or the number of keys, is another one than in the mirror; False if it is too
        early to search again.
        """
        began = time.monotonic()
        if began < self._search_at:
            return False
        # With much time: etcd goes on with a search whose client has given up, and the next one would make it slower still.
        reply = self._client.post(messages.RANGE, messages.newest_request(self._start, self._end), LOAD_SECONDS, LOAD_SECONDS)
        self._search_at = time.monotonic() + (time.monotonic() - began) * (1 / MAX_SEARCH_SHARE - 1)
        pairs, _, _ = messages.parse_range(reply)
        newest = pairs[0].revision if pairs else 0
        return newest > self._mirror.position or int(reply.get("count", 0)) != self._mirror.key_count

    def _set_state(self, **failures: Optional[str]) -> None:
        """Note that the watch or the check has failed or worked, and log when that changes whether lookups are stale."""
        with self._lock:
            self._watch_failure = failures.get("watch_failure", self._watch_failure)
            self._check_failure = failures.get("check_failure", self._check_failure)
            reason = self._watch_failure or self._check_failure
            was_away, is_away = self._away_since is not None, reason is not None
            if is_away != was_away:
                self._away_since = time.monotonic() if is_away else None
        if is_away and not was_away:
            log.warning("etcd at %s cannot be reached, lookups are answered from memory and may be stale: %s", self._where,
                        reason)
        elif was_away and not is_away:
            log.warning("etcd at %s is reached again", self._where)
