"""Two processes that communicate over a socket pair; when the first one ends, the second one ends, too."""
import argparse
import os
import socket
import subprocess
import sys

from Pyro5.api import Daemon, Proxy, expose


@expose
class Dictionary:
    def __init__(self):
        self._words = {}

    def learn(self, word, translation):
        self._words[word] = translation

    def translate(self, text):
        return " ".join(self._words.get(word, "?") for word in text.split()), os.getpid()


def be_the_second_process(fd):
    """Serve the only client, until its end of the pair is closed."""
    with socket.socket(fileno=fd) as theirs, Daemon(connected_socket=theirs) as daemon:
        daemon.register(Dictionary(), "dictionary")
        daemon.requestLoop()
    print("The second process ends.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="red moon")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)       # the descriptor of the inherited socket
    options = parser.parse_args()
    if options.serve is not None:
        be_the_second_process(options.serve)
        return
    ours, theirs = socket.socketpair()
    command = [sys.executable, os.path.abspath(__file__), "--serve", str(theirs.fileno())]
    # leaving the block closes this end of the pair, and then waits for the process, which ends because of that
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]), ours, Proxy("dictionary", connected_socket=ours) as dictionary:
        theirs.close()
        dictionary.learn("red", "ruĝa")
        dictionary.learn("moon", "luno")
        translation, pid = dictionary.translate(options.text)
        print("%s -> %s, in another process: %s" % (options.text, translation, pid != os.getpid()), flush=True)


if __name__ == "__main__":
    main()
