"""A harbour radio: stations join channels and receive the messages of the others."""
import argparse
import threading

from Pyro5.api import Daemon, Proxy, expose
from Pyro5.errors import CommunicationError


class Channel:
    """The listeners of a channel by call sign. Each one is a proxy for an object in the client."""

    def __init__(self):
        self.listeners = {}


@expose
class Radio:
    def __init__(self):
        self._channels = {}
        self._lock = threading.RLock()      # proxies and channels may be used by one thread at a time

    def channels(self):
        with self._lock:
            return {name: sorted(channel.listeners) for name, channel in self._channels.items() if channel.listeners}

    def tune_in(self, name, call_sign, listener):
        if type(name) is not str or type(call_sign) is not str or not isinstance(listener, Proxy):
            raise TypeError("expected the names of a channel and a station, and a proxy")
        with self._lock:
            channel = self._channels.setdefault(name, Channel())
            if call_sign in channel.listeners:
                raise ValueError("%s is on channel %s already" % (call_sign, name))
            listener._pyroTimeout = 5.0         # a station that hangs must not delay the others for long
            channel.listeners[call_sign] = listener
            self._send(channel, "radio", "%s is listening" % call_sign)
            return sorted(channel.listeners)

    def sign_off(self, name, call_sign):
        with self._lock:
            channel = self._channels[name]
            channel.listeners.pop(call_sign)._pyroRelease()
            self._send(channel, "radio", "%s has signed off" % call_sign)

    def say(self, name, call_sign, text):
        with self._lock:
            self._send(self._channels[name], call_sign, text)

    def _send(self, channel, call_sign, text):
        for other, listener in list(channel.listeners.items()):
            try:
                listener._pyroClaimOwnership()
                listener.hear(call_sign, text)
            except CommunicationError:          # its process has ended
                del channel.listeners[other]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Radio(), "radio"), flush=True)
        daemon.requestLoop()
        print("Radio silence.")


if __name__ == "__main__":
    main()
