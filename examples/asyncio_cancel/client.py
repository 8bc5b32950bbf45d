"""Asks two observatories for a comet, and cancels the call that takes longer."""
import argparse
import asyncio

from Pyro5 import aio


async def search(uri, comet):
    async with aio.Proxy(uri) as north, aio.Proxy(uri.replace("north", "south")) as south:
        await asyncio.gather(north, south)      # connect to both, so that they begin at the same time
        searches = {asyncio.create_task(each.search(comet)) for each in (north, south)}
        done, others = await asyncio.wait(searches, return_when=asyncio.FIRST_COMPLETED)
        print(done.pop().result())
        for other in others:
            other.cancel()
        if others:
            await asyncio.wait(others)
        print("cancelled: %d" % sum(each.cancelled() for each in others))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:north@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--comet", default="Encke")
    options = parser.parse_args()
    asyncio.run(search(options.uri, options.comet))


if __name__ == "__main__":
    main()
