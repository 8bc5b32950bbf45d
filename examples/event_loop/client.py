"""Writes to the logbook with calls and (if the port of a sensor is given) with a datagram."""
import argparse
import socket

from Pyro5.api import Proxy


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:logbook@127.0.0.1:9200", help="the URI that the server printed")
    parser.add_argument("--sensor-port", type=int, help="the URI that the server printed")
    parser.add_argument("--texts", nargs="+", default=["wind from west", "two seals"])
    options = parser.parse_args()
    with Proxy(options.uri) as logbook:
        for text in options.texts:
            print("Entry number", logbook.write(text))
        if options.sensor_port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"4 degrees", (logbook._pyroUri.host, options.sensor_port))
            print("Sent a datagram.")


if __name__ == "__main__":
    main()
