"""One proxy, used by many threads: calls run at the same time. With --strict, a proxy belongs to one thread at a time."""
import argparse
import threading

from Pyro5.api import Proxy, config
from Pyro5.errors import PyroError


def in_threads(number, work, *args):
    threads = [threading.Thread(target=work, args=args) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def count_many(census):
    for _ in range(25):
        census.add(1)


def use_a_foreign_proxy(census):
    try:
        census.add(1)
    except PyroError as x:
        print("not the owner:", type(x).__name__)


def take_over(census):
    census._pyroClaimOwnership()        # the connection stays; from now on the other thread must not use it
    print("taken over, birds so far:", census.add(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:census@localhost:9200", help="what the server printed")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--strict", action="store_true", help="let only the owner use a proxy, as releases up to 5.17 do")
    options = parser.parse_args()
    if options.strict:
        config.PROXY_SHARING = "strict"
    with Proxy(options.uri) as census:
        print("birds so far:", census.add(1))
        if options.strict:
            in_threads(1, use_a_foreign_proxy, census)
            in_threads(1, take_over, census)
        else:
            in_threads(options.threads, census.meet, options.threads)   # returns when all these calls run at the same time
            in_threads(options.threads, count_many, census)
            print("all threads, birds:", census.add(0), "over", census.connections(), "connections")


if __name__ == "__main__":
    main()
