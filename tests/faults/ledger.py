"""Who has begun, acknowledged and executed which calls, and whether that fits together."""
from __future__ import annotations

import os
import threading
import zlib
from collections import Counter
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence

from Pyro5._objects.exposure import expose, oneway

# What clients write down: that a call is about to be sent; that its answer came, and was the right one; that the answer was
# another call's, or no answer at all; that an error came instead.
BEGUN, ACKNOWLEDGED, WRONG, FAILED = "begun", "acknowledged", "wrong", "failed"
EXECUTED = "executed"

Write = Callable[..., Any]


class Journal:
    """Lines of words in a file. What was written is there, whatever happens to the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: str) -> None:
        os.write(self._file, (" ".join(words) + "\n").encode("utf-8"))

    def close(self) -> None:
        os.close(self._file)


def read_journal(path: str) -> List[Sequence[str]]:
    """Return the lines, each as its words."""
    with open(path, encoding="utf-8") as file:
        return [line.split() for line in file]


def receipt(call_id: str, payload: str) -> str:
    """What a server answers to this call, and to no other."""
    return "%s:%08x" % (call_id, zlib.crc32(payload.encode("utf-8")))


@expose
class Ledger:
    """Writes down each call that it executes. Thread-safe if what writes is."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def call(self, call_id: str, payload: str = "", reply_size: int = 0, seconds: float = 0.0) -> List[str]:
        """Return a receipt after this time, with a value of this size."""
        self._write(EXECUTED, call_id)
        if seconds:
            threading.Event().wait(seconds)
        return [receipt(call_id, payload), "y" * reply_size]

    @oneway
    def note(self, call_id: str) -> None:
        self._write(EXECUTED, call_id)

    def items(self, call_id: str, count: int) -> Iterator[List[str]]:
        """Yield this number of receipts, each of them an execution of its own."""
        self._write(EXECUTED, call_id)
        return self._items(call_id, count)

    def _items(self, call_id: str, count: int) -> Iterator[List[str]]:
        for number in range(count):
            item_id = "%s.%d" % (call_id, number)
            self._write(EXECUTED, item_id)
            yield [receipt(item_id, ""), ""]


class Summary(NamedTuple):
    """How many calls there were, and what is wrong with them."""

    begun: int
    acknowledged: int
    failed: int
    executed: int
    problems: List[str]

    def line(self) -> str:
        return "%d calls begun, %d acknowledged, %d failed, %d executed; %s" % (
            self.begun, self.acknowledged, self.failed, self.executed,
            "; ".join(self.problems[:10]) or "none lost, none repeated, no reply mistaken")


def examine(written: Iterable[Sequence[str]], may_repeat: bool = False) -> Summary:
    """Look whether what clients and servers have written fits together.

    Args:
        written: a kind and a call id each, and further words.
        may_repeat: clients were told to call again after an error.
    """
    ids: Dict[str, Counter[str]] = {kind: Counter() for kind in (BEGUN, ACKNOWLEDGED, WRONG, FAILED, EXECUTED)}
    problems = []
    for kind, call_id, *words in written:
        ids[kind][call_id] += 1
        if kind == WRONG:
            problems.append("%s was answered with %s" % (call_id, " ".join(words)))
    executed = ids[EXECUTED]
    if not may_repeat:
        problems += ["%s was executed %d times" % item for item in executed.items() if item[1] > 1]
    problems += ["%s was acknowledged, but not executed" % call_id for call_id in ids[ACKNOWLEDGED] if call_id not in executed]
    problems += ["%s was executed, but never begun" % call_id for call_id in executed if call_id not in ids[BEGUN]]
    begun, acknowledged, failed = (sum(ids[kind].values()) for kind in (BEGUN, ACKNOWLEDGED, FAILED))
    return Summary(begun, acknowledged, failed, sum(executed.values()), problems)
