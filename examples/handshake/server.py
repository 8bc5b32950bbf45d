"""A vault that checks clients in the handshake, before they can call methods."""
import argparse
import hmac

from Pyro5.api import Daemon, current_context, expose
from Pyro5.errors import SecurityError

BADGES = {"ines": "granite-44", "tomas": "basalt-12"}      # a real program keeps no passwords in its source


class Vault:
    @expose
    def open(self, drawer):
        return "%s opens drawer %d" % (current_context.client.person, drawer)


class VaultDaemon(Daemon):
    def validateHandshake(self, conn, data):
        """Check the value of the client's _pyroHandshake; the client receives the returned value."""
        if not isinstance(data, dict) or not {"person", "badge"} <= data.keys():
            raise SecurityError("say who you are")
        badge = BADGES.get(data["person"], "")
        if not hmac.compare_digest(badge.encode(), str(data["badge"]).encode()) or not badge:
            raise SecurityError("this badge is not valid")
        conn.person = data["person"]        # methods can read it from current_context.client
        return ["Welcome, %s." % conn.person, "The vault closes at five."]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with VaultDaemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Vault(), "vault"), flush=True)
        daemon.requestLoop()
        print("The vault is shut.")


if __name__ == "__main__":
    main()
