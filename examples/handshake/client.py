"""Sends a badge in the handshake."""
import argparse

from Pyro5.api import Proxy
from Pyro5.errors import CommunicationError


class VaultProxy(Proxy):
    def _pyroValidateHandshake(self, response):
        """Check the response of the server; an exception would end the connection."""
        print("The vault says:", *response)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:vault@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--person", default="ines")
    parser.add_argument("--badge", default="granite-44")
    options = parser.parse_args()
    with VaultProxy(options.uri) as vault:
        vault._pyroHandshake = {"person": options.person, "badge": options.badge}
        try:
            print(vault.open(7))
        except CommunicationError as x:
            print("Not let in:", x)


if __name__ == "__main__":
    main()
