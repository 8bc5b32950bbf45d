"""The measured servers: ``python -m programs.server thread|multiplex|names``.

Prints a line of JSON that tells the uri of the object (or of the name server), and the process id, as soon as clients can
connect, and then serves until it is killed.
"""
from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import threading
import time
from typing import Any, Iterator, Tuple

from Pyro5 import api
from Pyro5.callcontext import current_context

from .limits import allow_many_files
from .workload import ANNOTATION_BYTES, ANNOTATION_ID, Sample, add, blob


class Served:
    """The object that clients call."""

    def __init__(self) -> None:
        self._told = 0
        self._told_changed = threading.Condition()
        self._annotation = blob(ANNOTATION_BYTES)

    @api.expose
    def nothing(self) -> None:
        pass

    @api.expose
    def add(self, first: int, second: int) -> int:
        return add(first, second)

    @api.expose
    def echo(self, value: Any) -> Any:
        return value

    @api.expose
    def processor_seconds(self) -> float:
        """Return the processor time that this process has used."""
        return time.process_time()

    @api.expose
    def size(self, array: Any) -> int:
        """Return the size of a numpy array in bytes."""
        return int(array.nbytes)

    @api.expose
    def numbers(self, count: int) -> Iterator[int]:
        """Return a stream."""
        return iter(range(count))

    @api.expose
    def annotated(self) -> int:
        """Send a large annotation; give the size of the one that came."""
        current_context.response_annotations = {ANNOTATION_ID: self._annotation}
        return len(current_context.annotations[ANNOTATION_ID])

    @api.expose
    @api.oneway
    def tell(self, number: int) -> None:
        """Count how often this was called."""
        with self._told_changed:
            self._told += 1
            self._told_changed.notify_all()

    @api.expose
    def told(self, at_least: int, seconds: float) -> int:
        """Wait until `tell` was called so often, but no longer than so many seconds; give how often it was."""
        with self._told_changed:
            self._told_changed.wait_for(lambda: self._told >= at_least, seconds)
            return self._told


def make_daemon(kind: str) -> Tuple[Any, Any]:
    """Return a daemon and the uri to print."""
    if kind == "names":
        return api.start_ns(host="127.0.0.1", port=0, enableBroadcast=False)[:2]
    api.config.SERVERTYPE = kind
    daemon = api.Daemon(host="127.0.0.1", port=0)
    return daemon.register(Served()), daemon


def main(kind: str) -> None:
    allow_many_files()
    if hasattr(api, "register_types"):
        api.register_types(Sample)
        if importlib.util.find_spec("numpy") is not None:
            importlib.import_module("numpy")
            api.register_types("numpy")
    uri, daemon = make_daemon(kind)
    print(json.dumps({"uri": str(uri), "pid": os.getpid()}), flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main(sys.argv[1])
