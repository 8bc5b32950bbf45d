"""The second server: prints information about the current call."""
import argparse

from Pyro5.api import Daemon, current_context, expose


class Archive:
    @expose
    def find(self, title):
        print("find %r for case %s, language %s" % (title, current_context.correlation_id,
                                                    bytes(current_context.annotations.get("LANG", b"unknown")).decode()),
              flush=True)
        current_context.response_annotations = {"SHLF": b"shelf 12"}
        return "a copy of " + title


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9201)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Archive(), "archive"), flush=True)
        daemon.requestLoop()
        print("The archive is closed.")


if __name__ == "__main__":
    main()
