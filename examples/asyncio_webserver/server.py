"""A web page and a remote object in one event loop: the page counts its visitors, the object tells how many there were."""
import argparse
import asyncio

from Pyro5 import aio
from Pyro5.api import expose


class Counter:
    def __init__(self):
        self._count = 0
        self._changed = asyncio.Event()

    def add(self):
        """Not exposed: called by the web page."""
        self._count += 1
        self._changed.set()

    @expose(blocking=False)
    def count(self):
        return self._count

    @expose
    async def visits(self):
        """Yield the number of visitors, whenever it has changed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield self._count


async def answer(counter, reader, writer):
    """Answer one request for the page, in plain HTTP."""
    try:
        while (await reader.readline()).strip():
            continue  # the head of the request
        counter.add()
        body = "<p>You are visitor number %d.</p>\n" % counter.count()
        head = "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write((head + body).encode())
        await writer.drain()
    finally:
        writer.close()


async def serve(host, port, web_port):
    counter = Counter()
    web = await asyncio.start_server(lambda reader, writer: answer(counter, reader, writer), host, web_port)
    async with web, aio.Daemon(host, port) as daemon:
        print("Page: http://%s:%d/" % (host, web.sockets[0].getsockname()[1]))
        print("Ready:", daemon.register(counter, "counter"), flush=True)
        await daemon.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9203)
    parser.add_argument("--web-port", type=int, default=8080)
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port, options.web_port))  # until Ctrl-C
    print("The page is closed.")


if __name__ == "__main__":
    main()
