"""The races of leases and watches of a name server; part of ``tests.races``, with its arguments."""
from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, Dict, List

from Pyro5._client.lease_keeper import LeaseKeeper
from Pyro5._naming.registry import NameServer
from Pyro5._naming.watches import Watches
from Pyro5._values.uri import URI

InThreads = Callable[[int, Callable[[int, int], None]], None]
THREADS = 8
PATIENCE_SECONDS = 600.0


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def leases(steps: int, in_threads: InThreads) -> None:
    """Names and members are registered with leases, renewed, released, and left to end, in all threads."""
    nameserver, keeper = NameServer(), LeaseKeeper(threaded=False)

    def step(thread: int, number: int) -> None:
        uri = "PYRO:%d@host:%d" % (thread, number + 1)
        accepted: Any = nameserver.register("member", uri, ttl=100, member=True)
        check(uri in nameserver.candidates("member", "least"), "a member is missing")
        kept = keeper.register(nameserver, "%d.%d" % (thread, number), URI(uri), 100)
        keeper.renew_due()
        check(nameserver.renew({accepted["lease"]: "member"}) == {}, "a lease was lost")
        kept.release()
        check(nameserver.release({accepted["lease"]: "member"}) == 1, "a lease was lost")
        nameserver.register("short %d" % thread, uri, ttl=0.1 if number % 2 else 100, safe=False)
        nameserver.remove_ended()
    try:
        in_threads(max(5, steps // 4), step)
        nameserver.remove(prefix="short")
        check(nameserver.count() == 0, "%d names are left" % nameserver.count())
        check(nameserver._leases.used_bytes == 0 and nameserver._leases.next_end() is None, "leases are left")
    finally:
        keeper.close()
        nameserver.close()


def watches(steps: int, in_threads: InThreads) -> None:
    """Changes are made in all threads, while watchers wait for them in an event loop: each sees all of them in order."""
    shared, loop = Watches(THREADS * steps), asyncio.new_event_loop()
    start = shared.end
    seen: List[List[int]] = [[], [], []]

    async def watch(revisions: List[int], prefix: str, count: int) -> None:
        position = start
        while len(revisions) < count:
            change, position = shared.read(position, prefix)
            if change is None:
                position = await shared.wait(loop, position, prefix)
            else:
                revisions.append(change.revision)

    async def all_watchers() -> None:
        counts = (("", THREADS * steps), ("", THREADS * steps), ("3.", steps))
        await asyncio.gather(*(watch(revisions, *count) for revisions, count in zip(seen, counts)))

    def step(thread: int, number: int) -> None:
        shared.add("added", "%d.%d" % (thread, number), "PYRO:one@host:1", frozenset())
        shared.wake()

    reader = threading.Thread(target=loop.run_until_complete, args=(asyncio.wait_for(all_watchers(), PATIENCE_SECONDS),))
    reader.start()
    try:
        in_threads(steps, step)
    finally:
        reader.join(PATIENCE_SECONDS)
        loop.close()
    check(seen[0] == seen[1] == list(range(start, shared.end)), "changes are missing, or in another order")
    check(len(seen[2]) == steps and not shared._waiting, "changes with a prefix are missing, or a watcher is left")


# By the rows of the table in docs/architecture.md.
RACES: Dict[str, Callable[[int, InThreads], None]] = {
    "times at which leases end": leases,
    "changes for watchers, watchers that wait": watches,
}
