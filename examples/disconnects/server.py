"""The audio guides of a museum: the desk knows which ones are signed out, and removes those whose connection ends."""
import argparse

from Pyro5.api import Daemon, current_context, expose


class Desk:
    @expose
    def sign_out(self, number):
        if type(number) is not int:
            raise TypeError("the number of a guide must be an integer, not %s" % type(number).__name__)
        current_context.client.guide_number = number       # data of a client can be stored on its connection
        self._pyroDaemon.guides.add(number)
        print("guide %d is out, altogether: %s" % (number, sorted(self._pyroDaemon.guides)), flush=True)

    @expose
    def guides(self):
        return sorted(self._pyroDaemon.guides)


class MuseumDaemon(Daemon):
    def __init__(self, *args):
        self.guides = set()
        super().__init__(*args)

    def clientDisconnect(self, conn):
        """Remove the guide of a connection that has ended, for any reason."""
        number = getattr(conn, "guide_number", None)
        if number is not None:
            self.guides.discard(number)
            print("guide %d is gone, altogether: %s" % (number, sorted(self.guides)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with MuseumDaemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Desk(), "desk"), flush=True)
        daemon.requestLoop()
        print("The museum is closed.")


if __name__ == "__main__":
    main()
