"""Several clients let the server count primes at the same time; prints how they were spread over its processes."""
import argparse
import collections
import threading
import time

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:counter@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--limit", type=int, default=100000, help="count the primes below this number")
    options = parser.parse_args()
    answers = []

    def ask(proxy):
        answers.append(proxy.primes_below(options.limit))
        proxy._pyroRelease()

    # A proxy for each client: it is served by one process as long as it is connected.
    proxies = [Proxy(options.uri) for _ in range(options.clients)]
    for proxy in proxies:
        proxy._pyroBind()
    threads = [threading.Thread(target=ask, args=(proxy,)) for proxy in proxies]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("%d primes below %d" % (answers[0][0], options.limit))
    clients = collections.Counter(process for _, process in answers)
    print("%d clients in %.2f s: %s" % (options.clients, time.perf_counter() - began, ", ".join(
        "%d by process %d" % (count, process) for process, count in sorted(clients.items()))))


if __name__ == "__main__":
    main()
