"""Fetches the same file in three ways, and compares their rates."""
import argparse
import hashlib
import socket
import sys
import time

import serpent

from Pyro5.api import Proxy, current_context


def by_stream(archive, name, size):
    for item in archive.stream(name):
        yield serpent.tobytes(item)         # decodes bytes that serpent has converted to text


def by_annotations(archive, name, size):
    received = 0
    while received < size:
        archive.block(name, received)
        block = current_context.response_annotations["FILE"]
        received += len(block)
        yield block


def by_raw_socket(archive, name, size):
    port, password = archive.raw(name)
    with socket.create_connection((archive._pyroUri.host, port)) as connection:
        connection.sendall(bytes.fromhex(password))
        yield from iter(lambda: connection.recv(256 * 1024), b"")


def fetch(way, archive, name, size):
    """Return the checksum of the received data; show a progress bar."""
    checksum, received, began = hashlib.sha256(), 0, time.perf_counter()
    for block in way(archive, name, size):
        checksum.update(block)
        received += len(block)
        if sys.stdout.isatty():
            done = 30 * received // size
            print("\r[%s%s] %3d %%" % ("#" * done, "." * (30 - done), 100 * received // size), end="", flush=True)
    seconds = time.perf_counter() - began
    print("%s%-15s %9d bytes, %8.1f MB/s" % ("\r" if sys.stdout.isatty() else "", way.__name__, received,
                                             received / 1e6 / max(seconds, 1e-6)))
    return checksum.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:archive@127.0.0.1:9200", help="the URI that the server printed")
    parser.add_argument("--name", help="of the file (default: the largest one)")
    options = parser.parse_args()
    with Proxy(options.uri) as archive:
        sizes = archive.recordings()
        if not any(sizes.values()):
            raise SystemExit("there is nothing to fetch")
        name = options.name or max(sizes, key=sizes.get)
        print("fetching %s, %d bytes" % (name, sizes[name]))
        checksums = {fetch(way, archive, name, sizes[name]) for way in (by_stream, by_annotations, by_raw_socket)}
        print("all the same" if len(checksums) == 1 else "THEY DIFFER")
        try:
            archive.block("../secret", 0)
        except FileNotFoundError as x:
            print("not everything is sent:", x)


if __name__ == "__main__":
    main()
