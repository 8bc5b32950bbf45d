"""A name server, its broadcast responder and a daemon with an object, all in the request loop of one of them."""
import argparse

from sensors import Logbook

from Pyro5.api import Daemon, config, start_ns
from Pyro5.nameserver import BroadcastServer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--names-port", type=int, default=9090)
    parser.add_argument("--broadcast-port", type=int, default=9091)
    parser.add_argument("--entries", type=int, default=3, help="end after this number")
    options = parser.parse_args()
    config.SERVERTYPE = "multiplex"         # run all calls in the thread of the loop
    names_uri, names_daemon, _ = start_ns(options.host, options.names_port, enableBroadcast=False)
    # start_ns() creates a responder itself, except on localhost, where there are no broadcasts; this shows how
    responder = BroadcastServer(names_uri, options.host, options.broadcast_port)
    logbook = Logbook(options.entries)
    with names_daemon, Daemon(options.host, options.port) as daemon:
        uri = daemon.register(logbook, "logbook")
        names_daemon.nameserver.register("example.logbook", uri)    # no proxy is needed: the name server is in this process
        print("Ready:", uri, "names", names_uri, "broadcasts", responder.locationStr, flush=True)
        daemon.combine(names_daemon)
        daemon.combine(responder)
        daemon.requestLoop(lambda: not logbook.full)
        print("The logbook is full." if logbook.full else "The logbook is closed.")
    responder.close()


if __name__ == "__main__":
    main()
