"""Reads the weighbridge from a thread, and from a thread through an event loop."""
import argparse
import asyncio
import threading

from Pyro5 import aio
from Pyro5.api import Proxy


def in_a_thread(uri):
    with Proxy(uri) as bridge:
        print("a thread with a proxy of its own:", max(bridge.weights()))


def through_the_loop(bridge, loop):
    # An asyncio proxy belongs to its event loop: another thread asks the loop to call.
    weights = asyncio.run_coroutine_threadsafe(bridge.weights(), loop).result()
    print("a thread through the event loop:", max(weights))


async def read(uri):
    loop = asyncio.get_running_loop()
    async with aio.Proxy(uri) as bridge:
        print("the event loop:", max(await bridge.weights()))
        await loop.run_in_executor(None, in_a_thread, uri)
        thread = threading.Thread(target=through_the_loop, args=(bridge, loop))
        thread.start()
        await loop.run_in_executor(None, thread.join)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:weighbridge@localhost:9202", help="the URI that the server printed")
    options = parser.parse_args()
    asyncio.run(read(options.uri))


if __name__ == "__main__":
    main()
