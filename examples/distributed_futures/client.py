"""Sends the parts of a problem to several workers, with the executor of the standard library."""
import argparse
import concurrent.futures
import queue

from Pyro5.api import Proxy


class Workers:
    """Calls any free worker. The free proxies are in a queue; a proxy belongs to the thread that takes it out."""

    def __init__(self, uris):
        self._free = queue.Queue()
        for uri in uris:
            self._free.put(Proxy(uri))

    def call(self, method, *args):
        proxy = self._free.get()
        try:
            proxy._pyroClaimOwnership()
            return getattr(proxy, method)(*args)
        finally:
            self._free.put(proxy)

    def close(self):
        while not self._free.empty():
            self._free.get()._pyroRelease()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uris", nargs="*", default=["PYRO:chessboard@localhost:9200", "PYRO:chessboard@localhost:9201"],
                        help="the URI that the workers printed")
    parser.add_argument("--size", type=int, default=8, help="of the board")
    options = parser.parse_args()
    workers = Workers(options.uris)
    with concurrent.futures.ThreadPoolExecutor(len(options.uris)) as executor:
        futures = {executor.submit(workers.call, "solutions", options.size, first): first for first in range(options.size)}
        failing = executor.submit(workers.call, "solutions", options.size, options.size)
        total = 0
        for future in concurrent.futures.as_completed(futures):
            total += future.result()
        print("%d queens: %d solutions, computed by %d workers" % (options.size, total, len(options.uris)))
        print("a future can fail, too: %s" % failing.exception())
    workers.close()


if __name__ == "__main__":
    main()
