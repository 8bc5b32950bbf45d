"""The warehouse, which all three phases use unchanged. Without a network, the decorator has no effect."""
import threading

from Pyro5.api import expose


@expose
class Warehouse:
    """Crates on numbered shelves, one crate per shelf."""

    def __init__(self, shelves):
        self._shelves = dict.fromkeys(range(1, shelves + 1))
        self._lock = threading.Lock()       # for phases 2 and 3, in which several robots call at the same time

    def store(self, robot, crate):
        """Store a crate; return the number of its shelf."""
        if type(robot) is not str or type(crate) is not str:
            raise TypeError("the names of robots and crates must be text")
        with self._lock:
            for number, content in self._shelves.items():
                if content is None:
                    self._shelves[number] = crate
                    print("%s stores %s on shelf %d" % (robot, crate, number), flush=True)
                    return number
        raise OverflowError("all shelves are taken")

    def fetch(self, robot, crate):
        with self._lock:
            for number, content in self._shelves.items():
                if content == crate:
                    self._shelves[number] = None
                    print("%s fetches %s from shelf %d" % (robot, crate, number), flush=True)
                    return number
        raise LookupError("there is no crate of %s" % crate)

    def inventory(self):
        with self._lock:
            return {number: crate for number, crate in self._shelves.items() if crate is not None}
