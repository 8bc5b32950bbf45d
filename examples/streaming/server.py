"""A seismometer whose readings are generated and fetched one by one."""
import argparse
import random

from Pyro5.api import Daemon, config, expose


@expose
class Seismometer:
    def readings(self, seed):
        """Yield readings without end; each one is computed when a client fetches it."""
        source = random.Random(seed)
        try:
            while True:
                yield round(source.gauss(0, 1), 2)
        finally:
            print("the stream is closed", flush=True)

    def strong(self, seed, threshold, among):
        """Yield the strong readings; filtering here avoids sending the others."""
        source = random.Random(seed)
        return ((number, value) for number, value in ((n, source.gauss(0, 1)) for n in range(among)) if value > threshold)

    def in_blocks(self, seed, count, size):
        """Yield readings in blocks; larger items need fewer round trips."""
        source = random.Random(seed)
        for start in range(0, count, size):
            yield [round(source.gauss(0, 1), 2) for _ in range(min(size, count - start))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--linger", type=float, default=30.0, help="seconds that a stream outlives its connection")
    options = parser.parse_args()
    config.ITER_STREAM_LINGER = options.linger
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Seismometer(), "seismometer"), flush=True)
        daemon.requestLoop()
        print("The earth is quiet.")


if __name__ == "__main__":
    main()
