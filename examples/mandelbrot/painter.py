"""Requests a picture of the Mandelbrot set from all workers, and writes it to a PNG file."""
import argparse
import queue
import struct
import sys
import threading
import zlib

from Pyro5.api import Proxy, locate_ns


def write_png(path, width, rows):
    """Write a PNG file: a signature, then chunks of length, name, data and checksum."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    pixels = b"".join(b"\0" + row for row in rows)      # each row begins with its filter, 0: none
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), 8, 0, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b""))


def paint(uri, numbers, picture, options):
    """Compute rows until the queue of row numbers, which all threads share, is empty."""
    with Proxy(uri) as worker:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            y = 1.2 - 2.4 * number / options.height
            picture[number] = bytes.fromhex(worker.row(y, -2.2, 1.0, options.width, options.limit))
            done = sum(1 for row in picture if row is not None)
            if sys.stdout.isatty():
                print("\r%3d %% " % (100 * done // options.height), end="", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--limit", type=int, default=60, help="rounds for a point; more show finer detail")
    parser.add_argument("--out", default="mandelbrot.png")
    options = parser.parse_args()
    with locate_ns() as names:
        uris = list(names.list(prefix="example.mandelbrot.").values())
    picture = [None] * options.height
    numbers = queue.Queue()
    for number in range(options.height):
        numbers.put(number)
    threads = [threading.Thread(target=paint, args=(uri, numbers, picture, options)) for uri in uris]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in picture:
        raise SystemExit("there are no workers: start some")
    write_png(options.out, options.width, picture)
    print("%d workers painted %d rows: %s" % (len(uris), options.height, options.out))


if __name__ == "__main__":
    main()
