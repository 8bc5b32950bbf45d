"""A weighbridge: a thread reads the scale, an event loop does the rest, and an ordinary daemon is served by that loop."""
import argparse
import asyncio
import threading

from Pyro5.api import Daemon, config, expose


class Scale(threading.Thread):
    """Stands for a device whose driver blocks: it needs a thread of its own."""

    def __init__(self, loop, readings):
        super().__init__(daemon=True)
        self._loop = loop
        self._readings = readings

    def run(self):
        for weight in (0, 7500, 18200, 40100):
            # Other threads pass their work to the event loop in this way.
            self._loop.call_soon_threadsafe(self._readings.append, weight)


@expose
class Weighbridge:
    def __init__(self, readings):
        self._readings = readings

    def weights(self):
        """Called in the thread of the event loop, by the multiplex server: the list needs no lock."""
        return list(self._readings)


async def serve(host, port):
    loop = asyncio.get_running_loop()
    readings = []
    config.SERVERTYPE = "multiplex"
    with Daemon(host, port) as daemon:
        uri = daemon.register(Weighbridge(readings), "weighbridge")
        daemon.attach(loop)
        scale = Scale(loop, readings)
        scale.start()
        while len(readings) < 4:
            await asyncio.sleep(0.01)
        print("Ready:", uri, flush=True)
        await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9202)
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port))
    except KeyboardInterrupt:
        print("The weighbridge is closed.")


if __name__ == "__main__":
    main()
