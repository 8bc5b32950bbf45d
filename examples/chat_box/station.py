"""One station: sends the given or typed messages, and prints the received ones."""
import argparse
import sys
import threading

from Pyro5.api import Daemon, Proxy, expose


class Listener:
    def __init__(self, expected):
        self._missing = expected
        self.heard_enough = threading.Event()

    @expose
    def hear(self, call_sign, text):
        print("[%s] %s" % (call_sign, text), flush=True)
        self._missing -= 1
        if self._missing == 0:
            self.heard_enough.set()


def talk(radio, options, listener):
    for text in options.say:
        radio.say(options.channel, options.call_sign, text)
    if options.hear:
        listener.heard_enough.wait()
    elif sys.stdin is not None and sys.stdin.isatty():
        print("Type what you want to say, and end with an empty line.")
        for line in iter(sys.stdin.readline, "\n"):
            radio.say(options.channel, options.call_sign, line.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:radio@localhost:9200", help="the URI that the radio printed")
    parser.add_argument("--call-sign", default="Albatross")
    parser.add_argument("--channel", default="16")
    parser.add_argument("--say", nargs="*", default=[])
    parser.add_argument("--hear", type=int, default=0, help="end after this number of lines; 0: read the keyboard")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    listener = Listener(options.hear)
    with Daemon(options.host, options.port) as daemon, Proxy(options.uri) as radio:
        daemon.register(listener)
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        print("On channel %s:" % options.channel, *radio.tune_in(options.channel, options.call_sign, listener), flush=True)
        try:
            talk(radio, options, listener)
        except KeyboardInterrupt:
            print("Interrupted.")
        radio.sign_off(options.channel, options.call_sign)
        daemon.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
