"""Calls the desk in several languages, and prints the annotations of the reply."""
import argparse
import uuid

from Pyro5.api import Proxy, current_context


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri", nargs="?", default="PYRO:desk@localhost:9200", help="the URI that the desk printed")
    parser.add_argument("--languages", nargs="+", default=["en", "nl", "eo"])
    options = parser.parse_args()
    current_context.correlation_id = uuid.UUID(int=2024)    # any UUID: it identifies all calls that belong together
    with Proxy(options.uri) as desk:
        for language in options.languages:
            current_context.annotations = {"LANG": language.encode()}
            print(desk.ask_for("Atlas of Clouds"))
        received = current_context.response_annotations
        print("The reply also said:", ", ".join("%s=%s" % (key, bytes(received[key]).decode()) for key in sorted(received)))


if __name__ == "__main__":
    main()
