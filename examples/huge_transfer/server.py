"""Receives and returns very large values."""
import argparse

import serpent

from Pyro5.api import Daemon, config, expose


@expose
class Reservoir:
    def fill(self, water):
        """Return the length of the argument; bytes over serpent arrive as text in a dict."""
        if type(water) not in (str, bytes, bytearray, dict):
            raise TypeError("expected text or bytes, not %s" % type(water).__name__)
        return len(serpent.tobytes(water) if isinstance(water, dict) else water)

    def drain(self, size, as_text):
        return "~" * size if as_text else b"~" * size

    def pipe(self, size, block):
        for start in range(0, size, block):
            yield b"~" * min(block, size - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--bytes-repr", action="store_true", help="write bytes as literals (serpent only)")
    options = parser.parse_args()
    config.SERPENT_BYTES_REPR = options.bytes_repr
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Reservoir(), "reservoir"), flush=True)
        daemon.requestLoop()
        print("The dam is closed.")


if __name__ == "__main__":
    main()
