"""Runs the complete greeting example, shows the output of each program, and stops everything.

All ports are free ones that the system chooses, so it works beside a name server that is already running.
"""
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = STOP_SECONDS = 30


class Program:
    """A program that runs in parallel. Its output is shown here, with its name in front."""

    def __init__(self, name, arguments, environ):
        self.name = name
        print("$ python %s" % " ".join(os.path.relpath(a, HERE) if os.path.isabs(a) else a for a in arguments))
        self._process = subprocess.Popen([sys.executable, "-u"] + arguments, env=environ, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._show, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _show(self):
        for line in self._process.stdout:
            print("    %-12s| %s" % (self.name, line.rstrip()), flush=True)
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, pattern):
        """Wait for a line that matches, and return the match."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise SystemExit("%s did not print a line like %r" % (self.name, pattern))
            match = re.search(pattern, line)
            if match:
                return match

    def interrupt(self):
        """Send the signal of Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        self.finish()

    def finish(self):
        """Wait until it ends, and fail if its exit code is not 0."""
        try:
            code = self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise SystemExit("%s does not end" % self.name) from None
        if code != 0:
            raise SystemExit("%s ended with exit code %d" % (self.name, code))


def clean_environment():
    """Return the environment without settings that lead to another name server."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYRO_")}
    environ.update(PYRO_HOST="127.0.0.1", PYRO_NS_HOST="127.0.0.1")
    return environ


def main():
    # A script that starts this with & lets it ignore Ctrl-C, and so would the programs that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environ = clean_environment()
    with Program("name server", ["-m", "Pyro5.nameserver", "-n", "127.0.0.1", "-p", "0"], environ) as name_server:
        environ["PYRO_NS_PORT"] = name_server.wait_for(r"^URI = PYRO:Pyro.NameServer@127.0.0.1:(\d+)").group(1)
        with Program("server", [os.path.join(HERE, "server.py")], environ) as server:
            server.wait_for("^Ready: PYRO:")
            with Program("client", [os.path.join(HERE, "client.py"), "Ada", "Grace"], environ) as client:
                client.wait_for("Hello Ada.*visitor number 1")
                client.wait_for("Hello Grace.*visitor number 2")
                client.finish()
            with Program("nsc", ["-m", "Pyro5.nsc", "-n", "127.0.0.1", "-p", environ["PYRO_NS_PORT"], "list"],
                         environ) as lister:
                lister.wait_for("^example.greeting --> PYRO:")
                lister.finish()
            server.interrupt()
        name_server.interrupt()
    print("All programs ended as they should.")


if __name__ == "__main__":
    main()
