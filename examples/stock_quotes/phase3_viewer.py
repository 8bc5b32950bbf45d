"""Phase 3, stream: finds all markets by their tag, and fetches trades from each of them in turn."""
import argparse
import contextlib
import itertools

from market import text

from Pyro5.api import Proxy, locate_ns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", nargs="+", default=["KELP", "SALT"])
    parser.add_argument("--trades", type=int, default=5, help="of each market")
    options = parser.parse_args()
    with locate_ns() as names:
        found = names.yplookup(meta_all={"example:exchange"}, return_metadata=False)
    with contextlib.ExitStack() as at_end:
        streams = []
        for name, uri in sorted(found.items()):
            exchange = at_end.enter_context(Proxy(uri))
            stream = exchange.trades(options.symbols)
            at_end.callback(stream.close)
            streams.append(zip(itertools.repeat(name.rpartition(".")[2]), itertools.islice(stream, options.trades)))
        for name, (symbol, price) in itertools.chain(*zip(*streams)):
            print("%s: %s" % (name, text(symbol, price)))


if __name__ == "__main__":
    main()
