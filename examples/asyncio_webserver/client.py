"""Visits the page, and watches the number of visitors meanwhile."""
import argparse
import asyncio
import urllib.request

from Pyro5 import aio


def visit(page):
    with urllib.request.urlopen(page) as answer:
        return answer.read().decode().strip()


async def watch(uri, page, visits):
    loop = asyncio.get_running_loop()
    async with aio.Proxy(uri) as counter:
        print("visitors so far:", await counter.count())
        stream = await counter.visits()
        for _ in range(visits):
            print(await loop.run_in_executor(None, visit, page))
            print("the object says:", await stream.__anext__())
        await stream.aclose()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:counter@localhost:9203", help="the URI that the server printed")
    parser.add_argument("--page", default="http://localhost:8080/", help="the address that the server printed")
    parser.add_argument("--visits", type=int, default=2)
    options = parser.parse_args()
    asyncio.run(watch(options.uri, options.page, options.visits))


if __name__ == "__main__":
    main()
