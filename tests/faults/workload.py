"""A client that calls a ledger in every way there is, whatever happens to its connection."""
from __future__ import annotations

import contextlib
import random
import threading
from typing import Any, Callable, Iterator, List, Tuple

from Pyro5 import errors
from Pyro5._client.batch import BatchProxy
from Pyro5.client import Proxy

from .ledger import ACKNOWLEDGED, BEGUN, FAILED, WRONG, Write, receipt

SIZES = (0, 10, 1000, 70000, 300000)
SLOW_SECONDS = 0.02


class Caller:
    """One client, for one thread.

    Args:
        name: no other client has it, not even a later one.
        uri: of a ledger; the caller finds it anew for each connection.
        write: called with what it does, before and after.
        seed: decides what it does.
        timeout_seconds: how long to wait for a reply.
        impatient: some calls wait for a shorter time than they take.
    """

    def __init__(self, name: str, uri: Any, write: Write, seed: int, timeout_seconds: float = 0.0,
                 impatient: bool = False) -> None:
        self._name = name
        self._write = write
        self._random = random.Random(seed)
        self._count = 0
        self._call_id = name
        self._impatient = impatient
        self.timeout_seconds = timeout_seconds
        self.proxy: Any = Proxy(uri)
        self.proxy._pyroTimeout = timeout_seconds
        self._steps: Tuple[Callable[[], None], ...] = (
            self.call, self.call, self.call, self.send_note, self.batch, self.oneway_batch, self.stream, self.release)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.proxy._pyroRelease()

    def step(self) -> bool:
        """Do something; tell whether the network and the server let it happen."""
        try:
            self._random.choice(self._steps)()
        except (errors.CommunicationError, errors.NamingError) as x:
            # the connection may be as good as ever, but the next call has to make sure of its own
            self._write(FAILED, self._call_id, type(x).__name__)
            return False
        return True

    def _begin(self, suffix: str = "") -> str:
        if not suffix:
            self._count += 1
        self._call_id = "%s.%d%s" % (self._name, self._count, suffix)
        self._write(BEGUN, self._call_id)
        return self._call_id

    def _compare(self, call_id: str, expected: List[str], got: Any) -> None:
        if got == expected:
            self._write(ACKNOWLEDGED, call_id)
        else:
            self._write(WRONG, call_id, repr(got)[:100])

    def _payload(self) -> str:
        return self._random.choice("abc") * self._random.choice(SIZES)

    def call(self) -> None:
        call_id, payload, reply_size = self._begin(), self._payload(), self._random.choice(SIZES)
        slow = self._impatient and self._random.random() < 0.2
        with self._hurry() if slow else contextlib.nullcontext():
            result = self.proxy.call(call_id, payload, reply_size=reply_size, seconds=SLOW_SECONDS if slow else 0.0)
        self._compare(call_id, [receipt(call_id, payload), "y" * reply_size], result)

    @contextlib.contextmanager
    def _hurry(self) -> Iterator[None]:
        """Wait for a time in which the reply may or may not come."""
        self.proxy._pyroTimeout = SLOW_SECONDS * self._random.uniform(0.5, 1.5)
        try:
            yield
        finally:
            self.proxy._pyroTimeout = self.timeout_seconds

    def send_note(self) -> None:
        self.proxy.note(self._begin())

    def batch(self) -> None:
        batch, ids, payloads = self._filled_batch()
        for item_id, payload, result in zip(ids, payloads, batch() or ()):
            self._compare(item_id, [receipt(item_id, payload), ""], result)

    def oneway_batch(self) -> None:
        self._filled_batch()[0](oneway=True)

    def _filled_batch(self) -> Tuple[BatchProxy, List[str], List[str]]:
        self._count += 1
        payloads = [self._payload() for _ in range(self._random.randrange(1, 5))]
        ids = [self._begin(".%d" % number) for number in range(len(payloads))]
        batch = BatchProxy(self.proxy)
        for item_id, payload in zip(ids, payloads):
            batch.call(item_id, payload)
        return batch, ids, payloads

    def stream(self) -> None:
        call_id, count = self._begin(), self._random.randrange(1, 8)
        items = self.proxy.items(call_id, count)
        self._write(ACKNOWLEDGED, call_id)
        for number in range(self._random.randrange(count + 1)):
            item_id = self._begin(".%d" % number)
            self._compare(item_id, [receipt(item_id, ""), ""], next(items))
        items.close()

    def release(self) -> None:
        self.proxy._pyroRelease()


def at_once(jobs: List[Callable[[], Any]]) -> None:
    """Do all of it at once; raise what one of them raises."""
    problems: List[BaseException] = []

    def guarded(job: Callable[[], Any]) -> None:
        try:
            job()
        except BaseException as x:  # it is raised again below
            problems.append(x)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
