"""A safe that writes an audit log of all calls, and refuses those of clients that have not said who they are."""
import argparse
import time

from Pyro5.api import Daemon, expose


@expose
class Safe:
    def __init__(self):
        self._things = {}

    def put(self, name, thing):
        self._things[name] = thing

    def look(self, name):
        return self._things[name]


def install(daemon):
    @daemon.intercept
    def audit(call, proceed):
        """Print each call, how it ended and how long it took."""
        began, outcome = time.perf_counter(), "ok"
        try:
            return proceed()
        except Exception as x:
            outcome = type(x).__name__
            raise
        finally:
            milliseconds = (time.perf_counter() - began) * 1000
            print("%s.%s%r by %s: %s (%s ms)" % (call.object_id, call.method, call.args, name_of(call), outcome,
                                                 "%.1f" % milliseconds), flush=True)

    @daemon.intercept
    def check(call, proceed):
        """Refuse clients without a name. Runs inside of audit, which was installed first."""
        if name_of(call) == "unknown":
            raise PermissionError("say who you are")
        return proceed()


def name_of(call):
    return bytes(call.annotations.get("NAME", b"unknown")).decode("ascii", "replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        install(daemon)
        print("Ready:", daemon.register(Safe(), "safe"), flush=True)
        daemon.requestLoop()
        print("The safe is locked.")


if __name__ == "__main__":
    main()
