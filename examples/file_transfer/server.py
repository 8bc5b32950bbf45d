"""An archive of recordings that sends files in three ways: as a stream, in annotations, and over a raw socket."""
import argparse
import os
import pathlib
import socket
import threading

from Pyro5.api import Daemon, current_context, expose

BLOCK = 256 * 1024


class Archive:
    def __init__(self, folder, host):
        self._folder = pathlib.Path(folder).resolve()
        self._host = host

    def _path(self, name):
        if type(name) is not str:
            raise TypeError("the name of a recording must be text")
        path = (self._folder / name).resolve()
        if path.parent != self._folder or not path.is_file():       # only files of this folder
            raise FileNotFoundError("there is no recording named %r" % name)
        return path

    @expose
    def recordings(self):
        return {path.name: path.stat().st_size for path in self._folder.iterdir() if path.is_file()}

    @expose
    def stream(self, name):
        """Yield the file in blocks. The serializer processes them: serpent converts bytes to text, which takes time."""
        with open(self._path(name), "rb") as file:
            yield from iter(lambda: file.read(BLOCK), b"")

    @expose
    def block(self, name, start):
        """Send a block as an annotation: bytes outside of the payload, which no serializer processes."""
        with open(self._path(name), "rb") as file:
            file.seek(start)
            current_context.response_annotations = {"FILE": file.read(BLOCK)}

    @expose
    def raw(self, name):
        """Return a port on which the file is sent unchanged to the first client with the password, and this password."""
        path, password = self._path(name), os.urandom(16)
        listener = socket.create_server((self._host, 0))
        listener.settimeout(10)
        threading.Thread(target=send_once, args=(listener, path, password)).start()
        return listener.getsockname()[1], password.hex()


def send_once(listener, path, password):
    try:
        with listener, listener.accept()[0] as connection, open(path, "rb") as file:
            if connection.recv(len(password), socket.MSG_WAITALL) == password:
                connection.sendfile(file)
    except OSError as x:
        print("sending", path.name, "failed:", x, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--folder", default=".", help="all clients can fetch the files in it")
    options = parser.parse_args()
    with Daemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Archive(options.folder, options.host), "archive"), flush=True)
        daemon.requestLoop()
        print("The archive is closed.")


if __name__ == "__main__":
    main()
