"""Splits into a small part with privileges and a large part without, which calls the small one over a socket pair."""
import argparse
import os
import socket
import tempfile

from Pyro5.api import Daemon, Proxy, expose

NOBODY = 65534


class Keeper:
    """The part with privileges: it offers these two methods only."""
    def __init__(self, path):
        self._path = path

    @expose
    def last_lines(self, count):
        if type(count) is not int or not 0 < count <= 10:
            raise PermissionError("at most ten lines")
        with open(self._path) as file:
            return file.read().splitlines()[-count:]

    @expose
    def note(self, text):
        if type(text) is not str:       # the replace() of a proxy would be called, wherever the other part wants
            raise PermissionError("only text can be noted")
        with open(self._path, "a") as file:
            file.write(text.replace("\n", " ")[:80] + "\n")


def drop_privileges():
    """Switch to a user without privileges; only root can do this, for other users it does nothing."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return os.geteuid() == NOBODY


def large_part(connection, path):
    dropped = drop_privileges()
    print("the large part has no privileges: %s" % dropped)
    try:
        with open(path) as file:
            print("it can read the file itself: %d characters" % len(file.read()))
    except PermissionError:
        print("it cannot read the file itself")
    with connection, Proxy("keeper", connected_socket=connection) as keeper:
        keeper.note("the large part was here")
        print("the keeper reads:", keeper.last_lines(2))
        try:
            keeper.last_lines(1000)
        except PermissionError as x:
            print("the keeper refuses:", x, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", help="file to read (default: a new temporary file)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or os.path.join(folder, "secrets.txt")
        with open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write("a line that only the keeper may read\n")
        ours, theirs = socket.socketpair()
        child = os.fork()
        if not child:
            ours.close()
            large_part(theirs, path)
            os._exit(0)
        theirs.close()
        with ours, Daemon(connected_socket=ours) as daemon:
            daemon.register(Keeper(path), "keeper")
            daemon.requestLoop()            # returns when the large part closes its end
        print("the large part ended with", os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
