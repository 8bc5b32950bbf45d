"""A notebook in a database: each connection is the session of one user, with a database connection of its own."""
import argparse
import os
import sqlite3
import tempfile

from Pyro5.api import Daemon, behavior, current_context, expose
from Pyro5.errors import SecurityError

USERS = {"mira": "heron", "joost": "curlew"}       # a real program keeps no passwords in its source


@behavior(instance_mode="session")
class Notebook:
    path = ""

    def __init__(self):
        # One instance per connection, whose calls all run in the same thread, as sqlite3 requires.
        self._user = current_context.client.user
        self._database = sqlite3.connect(self.path)
        current_context.track_resource(self)        # close() is called when the connection ends

    def close(self):
        self._database.close()
        print("%s has left\n" % self._user, end="", flush=True)     # one string, because threads may print at the same time

    @expose
    def write(self, text):
        if type(text) is not str:
            raise TypeError("a note must be text, not %s" % type(text).__name__)
        with self._database:
            self._database.execute("insert into notes values (?, ?)", (self._user, text))

    @expose
    def read(self):
        rows = self._database.execute("select text from notes where user = ? order by rowid", (self._user,))
        return [text for text, in rows]


class NotebookDaemon(Daemon):
    def validateHandshake(self, conn, data):
        user, _, password = str(data).partition(":")
        if USERS.get(user) != password:
            raise SecurityError("wrong user or password")
        conn.user = user
        return "hello"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("--database", default=os.path.join(tempfile.gettempdir(), "notebook.db"))
    options = parser.parse_args()
    Notebook.path = options.database
    setup = sqlite3.connect(options.database)
    setup.execute("create table if not exists notes (user text, text text)")
    setup.close()
    with NotebookDaemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Notebook, "notebook"), flush=True)
        daemon.requestLoop()
        print("The notebook is closed.")


if __name__ == "__main__":
    main()
