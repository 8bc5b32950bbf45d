"""A letter box on a Unix domain socket, which only programs on this machine can reach."""
import argparse
import os
import tempfile

from Pyro5.api import Daemon, expose


@expose
class LetterBox:
    def __init__(self):
        self._letters = 0

    def drop(self, text):
        if type(text) is not str:
            raise TypeError("a letter must be text, not %s" % type(text).__name__)
        self._letters += 1
        print("letter %d: %s" % (self._letters, text), flush=True)
        return self._letters


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default=os.path.join(tempfile.gettempdir(), "letterbox.sock"))
    parser.add_argument("--abstract", metavar="NAME", help="a name without a file instead (Linux)")
    options = parser.parse_args()
    # A leading zero byte makes the name abstract: it is not a file, and disappears with the server.
    where = "\0" + options.abstract if options.abstract else options.path
    old_mask = os.umask(0o077)          # only this user may connect, because of the permissions of the file
    with Daemon(unixsocket=where) as daemon:
        os.umask(old_mask)
        print("Ready:", daemon.register(LetterBox(), "letterbox"), flush=True)
        daemon.requestLoop()
        print("No more letters.")
    print("The socket's file is gone:", not os.path.exists(options.path))


if __name__ == "__main__":
    main()
