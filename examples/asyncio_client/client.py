"""Reads many gauges at once with asyncio, and follows one of them."""
import argparse
import asyncio

from Pyro5 import aio


async def watch(uri, gauges):
    async with aio.Proxy(uri) as river:
        levels = await asyncio.gather(*[river.level(gauge) for gauge in range(gauges)])
        print("the highest of %d levels: %d cm" % (len(levels), max(levels)))
        await aio.setattr(river, "warning_level", 200)
        limit = await river.warning_level
        async for level in river.follow(1):
            if level > limit:
                print("gauge 1 has %d cm, more than %d cm" % (level, limit))
                break


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:river@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--gauges", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(watch(options.uri, options.gauges))


if __name__ == "__main__":
    main()
