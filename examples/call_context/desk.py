"""The first server: answers in the language of an annotation of the client, and calls the archive."""
import argparse

from Pyro5.api import Daemon, Proxy, current_context, expose

WORDS = {"en": "Here is %s, from %s.", "nl": "Hier is %s, uit %s.", "eo": "Jen %s, el %s."}


class Desk:
    def __init__(self, archive_uri):
        self._archive_uri = archive_uri

    @expose
    def ask_for(self, title):
        language = bytes(current_context.annotations.get("LANG", b"en")).decode()
        host = current_context.client_sock_addr[0]
        print("call %d from %s, case %s" % (current_context.seq, host, current_context.correlation_id), flush=True)
        current_context.response_annotations = {"WAIT": b"no queue"}
        with Proxy(self._archive_uri) as archive:
            copy = archive.find(title)          # the correlation id is passed on, the client's annotations are not
            shelf = bytes(current_context.response_annotations["SHLF"]).decode()
        return WORDS[language] % (copy, shelf)


class DeskDaemon(Daemon):
    def annotations(self):
        return {"OPEN": b"9 to 5"}              # added to every reply, of all methods


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", nargs="?", default="PYRO:archive@localhost:9201", help="the URI that the archive printed")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9200)
    options = parser.parse_args()
    with DeskDaemon(options.host, options.port) as daemon:
        print("Ready:", daemon.register(Desk(options.archive), "desk"), flush=True)
        daemon.requestLoop()
        print("The desk is closed.")


if __name__ == "__main__":
    main()
