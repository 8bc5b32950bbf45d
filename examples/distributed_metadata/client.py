"""Finds all workers by their tag, and divides the work equally among them."""
import argparse
import threading

from Pyro5.api import Proxy, locate_ns

TAG = "example:raindrops"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, default=400000)
    parser.add_argument("--dimensions", type=int, default=3)
    options = parser.parse_args()
    with locate_ns() as names:
        workers = names.yplookup(meta_all={TAG}, return_metadata=False)
    if not workers:
        raise SystemExit("there are no workers: start some")
    share = options.drops // len(workers)
    inside = {}

    def rain(seed, name, uri):
        with Proxy(uri) as worker:
            inside[name] = worker.drops(seed, share, options.dimensions)

    threads = [threading.Thread(target=rain, args=(seed, name, uri))
               for seed, (name, uri) in enumerate(sorted(workers.items()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(inside) < len(workers):
        raise SystemExit("a worker failed")
    volume = 2 ** options.dimensions * sum(inside.values()) / (share * len(workers))
    print("%d workers: %s" % (len(workers), ", ".join(name.rpartition(".")[2] for name in sorted(workers))))
    print("a ball of radius 1 in %d dimensions has a volume of about %.1f" % (options.dimensions, volume))


if __name__ == "__main__":
    main()
