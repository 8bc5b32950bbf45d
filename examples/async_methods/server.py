"""A weather service: async methods wait for many slow stations at once, without a thread for each of them."""
import argparse
import asyncio
import threading

from Pyro5.api import Daemon, expose


@expose
class Weather:
    async def temperature(self, station, seconds=0.2):
        """Ask a (slow) station. Many of these calls can wait at the same time."""
        await asyncio.sleep(seconds)                # here a program would use an asyncio client of HTTP, of a database, ...
        return {"station": station, "celsius": len(station)}

    async def warmest(self, stations):
        """Ask several stations at once."""
        answers = await asyncio.gather(*[self.temperature(station) for station in stations])
        return max(answers, key=lambda answer: answer["celsius"])["station"]

    async def updates(self, count):
        """Report the wind from time to time: an asynchronous generator is an item stream."""
        try:
            for number in range(count):
                await asyncio.sleep(0.02)
                yield 10 + number
        finally:
            print("the anemometer rests", flush=True)

    def threads(self):
        """Return how many threads the server has. Ordinary methods still run where they always did."""
        return threading.active_count()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9201)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Weather(), "weather"), flush=True)
        daemon.requestLoop()
        print("The station is closed.")


if __name__ == "__main__":
    main()
