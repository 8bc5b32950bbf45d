"""A lighthouse for keepers with a certificate, over encrypted connections."""
import argparse
import os

from Pyro5.api import Daemon, config, current_context, expose


class Lighthouse:
    @expose
    def light(self, on):
        return "%s has switched the light %s" % (current_context.client.keeper, "on" if on else "off")


class LighthouseDaemon(Daemon):
    def validateHandshake(self, conn, data):
        """Read the name from the client's certificate, which has already been verified."""
        subject = dict(pair for part in conn.getpeercert()["subject"] for pair in part)
        conn.keeper = subject["commonName"]
        return "hello"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--folder", default="certificates")
    options = parser.parse_args()
    config.SSL = True
    config.SSL_SERVERCERT = os.path.join(options.folder, "server.pem")
    config.SSL_SERVERKEY = os.path.join(options.folder, "server.key")
    config.SSL_REQUIRECLIENTCERT = True
    config.SSL_CACERTS = os.path.join(options.folder, "authority.pem")     # the CA of trusted clients
    with LighthouseDaemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Lighthouse(), "lighthouse"), flush=True)
        daemon.requestLoop()
        print("The light goes on by itself.")


if __name__ == "__main__":
    main()
