"""Two threads of one program communicate over a socket pair, which has no address."""
import argparse
import socket
import threading

from Pyro5.api import Daemon, Proxy, expose


@expose
class Clockwork:
    def chime(self, hour):
        return "bong " * (hour % 12 or 12) + "(in %s)" % threading.current_thread().name


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, nargs="+", default=[1, 3, 14])
    options = parser.parse_args()
    ours, theirs = socket.socketpair()
    with ours, theirs, Daemon(connected_socket=theirs) as daemon:
        daemon.register(Clockwork(), "clockwork")
        thread = threading.Thread(target=daemon.requestLoop, name="the tower")
        thread.start()
        with Proxy("clockwork", connected_socket=ours) as clockwork:     # only the object id, because there is no address
            for hour in options.hours:
                print(clockwork.chime(hour))
        daemon.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
