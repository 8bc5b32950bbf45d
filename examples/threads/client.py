"""A proxy belongs to one thread. Three ways to use several threads: transfer it, copy it, or create one per thread."""
import argparse
import copy
import threading

from Pyro5.api import Proxy
from Pyro5.errors import PyroError


def in_thread(work, *args):
    thread = threading.Thread(target=work, args=args)
    thread.start()
    thread.join()


def use_a_foreign_proxy(census):
    try:
        census.add(1)
    except PyroError as x:
        print("not the owner:", type(x).__name__)


def take_over(census):
    census._pyroClaimOwnership()        # the connection remains; from now on the other thread must not use the proxy
    print("taken over, birds so far:", census.add(1))


def with_a_copy(census):
    with copy.copy(census) as own:      # the same object, another connection; belongs to this thread
        print("with a copy, birds so far:", own.add(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:census@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    with Proxy(options.uri) as census:
        print("the owner, birds so far:", census.add(1))
        in_thread(use_a_foreign_proxy, census)
        in_thread(take_over, census)
        census._pyroClaimOwnership()    # back to the main thread
        in_thread(with_a_copy, census)
        own = threading.local()         # one proxy per thread, created when first needed

        def count_many():
            own.census = Proxy(options.uri)
            with own.census:
                for _ in range(25):
                    own.census.add(1)

        threads = [threading.Thread(target=count_many) for _ in range(options.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("all threads, birds:", census.add(0), "over", census.connections(), "connections")


if __name__ == "__main__":
    main()
