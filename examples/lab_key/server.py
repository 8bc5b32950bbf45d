"""A telescope that all clients with the key may look through, but only operators may move."""
import argparse

from Pyro5.api import Daemon, config, current_context, expose


class Telescope:
    def __init__(self):
        self._target = "Polaris"

    @expose
    def look(self):
        return "%s, seen by %s" % (self._target, current_context.user or "a client with the key")

    @expose(roles={"operator"})
    def move(self, target):
        self._target = target


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key-file", required=True, help="file that 'pyro5 key new' has created")
    parser.add_argument("--users", default="", help="file that 'pyro5 user add' has created")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    config.AUTH_KEY_FILE = options.key_file
    with Daemon(port=options.port, users=options.users) as daemon:
        print("Ready:", daemon.register(Telescope(), "telescope"), flush=True)
        daemon.requestLoop()


if __name__ == "__main__":
    main()
