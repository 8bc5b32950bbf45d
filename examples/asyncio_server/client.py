"""Sends ships to the harbour: one with an ordinary proxy, the others with asyncio."""
import argparse
import asyncio

from Pyro5 import aio, errors
from Pyro5.api import Proxy

SHIPS = ("Aurora", "Bella", "Calypso", "Dolphin")


async def visit(uri):
    async with aio.Proxy(uri, handshake="pirate") as pirate:
        try:
            await pirate.waiting()
        except errors.CommunicationError as x:
            print("the pirate:", str(x).rpartition(": ")[2])
    # a proxy for each ship: the calls of one connection run one after the other
    ships = [aio.Proxy(uri) for _ in SHIPS]
    calls = [asyncio.create_task(proxy.moor(name, 10)) for proxy, name in zip(ships, SHIPS)]
    log = await asyncio.gather(*calls)
    print("\n".join(log))
    print("characters in the log:", await ships[0].write_log(log))
    await asyncio.gather(*[proxy._pyroRelease() for proxy in ships])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:harbour@localhost:9201", help="the URI that the server printed")
    options = parser.parse_args()
    with Proxy(options.uri) as harbour:
        print(harbour.moor("Zephyr", 1))
    asyncio.run(visit(options.uri))


if __name__ == "__main__":
    main()
