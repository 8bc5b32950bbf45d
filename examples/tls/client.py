"""A keeper: sends a certificate, and checks that of the lighthouse."""
import argparse
import os

from Pyro5.api import Proxy, config
from Pyro5.errors import CommunicationError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:lighthouse@localhost:9200", help="the URI that the server printed")
    parser.add_argument("--folder", default="certificates")
    parser.add_argument("--stranger", action="store_true", help="send no certificate")
    options = parser.parse_args()
    config.SSL = True
    config.SSL_CACERTS = os.path.join(options.folder, "authority.pem")     # the CA of trusted servers
    if not options.stranger:
        config.SSL_CLIENTCERT = os.path.join(options.folder, "client.pem")
        config.SSL_CLIENTKEY = os.path.join(options.folder, "client.key")
    try:
        with Proxy(options.uri) as lighthouse:
            print(lighthouse.light(True))
            print("The lighthouse is", lighthouse._pyroConnection.getpeercert()["subject"][0][0][1])
    except CommunicationError as x:
        print("Not let in:", x)


if __name__ == "__main__":
    main()
