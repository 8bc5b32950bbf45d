"""A harbour whose berths are used by ships that wait for each other: everything in one event loop."""
import argparse
import asyncio

from Pyro5 import aio
from Pyro5.api import expose


class Harbour:
    def __init__(self, berths):
        self._free = asyncio.Semaphore(berths)
        self._waiting = 0

    @expose
    async def moor(self, ship, hours):
        """Wait for a berth, and use it."""
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            await asyncio.sleep(hours / 50)
            return "%s was here for %d hours" % (ship, hours)
        finally:
            self._free.release()

    @expose(blocking=False)
    def waiting(self):
        """Return how many ships wait. It never blocks, so it needs no thread."""
        return self._waiting

    @expose
    def write_log(self, lines):
        """Do something slow, as writing to a disk: in a thread of the daemon."""
        return len("\n".join(lines))


class HarbourDaemon(aio.Daemon):
    async def validateHandshake(self, conn, data):
        await asyncio.sleep(0)  # ask a database, for example
        if data == "pirate":
            raise PermissionError("no pirates")
        return "welcome"


async def serve(host, port, berths):
    async with HarbourDaemon(host, port) as daemon:
        print("Ready:", daemon.register(Harbour(berths), "harbour"), flush=True)
        await daemon.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9201)
    parser.add_argument("--berths", type=int, default=2)
    options = parser.parse_args()
    asyncio.run(serve(options.host, options.port, options.berths))  # until Ctrl-C
    print("The harbour is closed.")


if __name__ == "__main__":
    main()
