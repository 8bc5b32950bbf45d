"""Measures servers with one and with several processes, or with threads that run at the same time: methods that compute, and
calls that do nothing.

Run as a program it is a server or a client: ``python -m tests.bench.scaling ROLE ...``.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from Pyro5.api import Daemon, Proxy, expose

from .figures import median
from .processes import PROJECT

MESSAGE_BYTES = 40  # about what a small call takes, in each direction, over bare sockets
IDLE_PROCESSES = 4


@expose
class Worker:
    def work(self, seconds: float) -> None:
        compute(seconds)

    def calculate(self, steps: int) -> int:
        return sum([number * number % 7 for number in range(steps)])

    def nothing(self) -> None:
        pass


def compute(seconds: float) -> None:
    """Use the processor for so long. The time of this thread counts, not the clock, so others make no difference."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


# ---------------------------------------------------------------- servers

def serve(processes: str) -> None:
    with Daemon("127.0.0.1", processes=int(processes)) as daemon:
        print(daemon.register(Worker, "worker"), flush=True)
        daemon.requestLoop()


def serve_bare(processes: str, seconds: str) -> None:
    """Answer over bare sockets, with a port for each process, so that the clients are spread evenly."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(processes))]
    print(" ".join(str(listener.getsockname()[1]) for listener in listeners), flush=True)
    for listener in listeners[1:]:
        if os.fork() == 0:
            _answer_all(listener, float(seconds))
    _answer_all(listeners[0], float(seconds))


def _answer_all(listener: socket.socket, seconds: float) -> None:
    import selectors
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while os.getppid() != 1:
        for key, _events in selector.select(1.0):
            sock: Any = key.fileobj
            if sock is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif sock.recv(MESSAGE_BYTES):
                compute(seconds)
                sock.sendall(b"." * MESSAGE_BYTES)
            else:
                selector.unregister(sock)
                sock.close()
    sys.exit()


# ---------------------------------------------------------------- clients

def call(uri: str, work: str) -> None:
    with Proxy(uri) as proxy:
        proxy.work(0.0)
        seconds = float(work)
        _count((lambda: proxy.work(seconds)) if seconds else proxy.nothing)


def calculate(uri: str, steps: str) -> None:
    with Proxy(uri) as proxy:
        _count(lambda: proxy.calculate(int(steps)))


def call_bare(port: str, number: str) -> None:
    ports = port.split(",")
    with socket.create_connection(("127.0.0.1", int(ports[int(number) % len(ports)]))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def one() -> None:
            sock.sendall(b"." * MESSAGE_BYTES)
            sock.recv(MESSAGE_BYTES)

        _count(one)


def _count(action: Callable[[], object]) -> None:
    """Call a function for the time that each line of the input says, and print how often."""
    action()
    print("ready", flush=True)
    for line in sys.stdin:
        began, count, seconds = time.perf_counter(), 0, float(line)
        while time.perf_counter() - began < seconds:
            action()
            count += 1
        print(count / (time.perf_counter() - began), flush=True)


# ---------------------------------------------------------------- measuring

class Group:
    """A server and its clients, which are idle until they are asked to run.

    Args:
        server: the arguments of the server.
        client: returns the arguments of a client, for the address that the server prints, and the number of the client.
        python: runs the server; else this Python, which always runs the clients.
        environment: additional variables of the server.
    """

    def __init__(self, at_end: contextlib.ExitStack, server: Sequence[str], client: Callable[[str, int], Sequence[str]],
                 clients: int, python: str = sys.executable, environment: Optional[Dict[str, str]] = None) -> None:
        address = _read(_start(at_end, *server, python=python, environment=environment))
        self._clients = [_start(at_end, *client(address, number)) for number in range(clients)]
        for process in self._clients:
            _read(process)
        self.rates: List[float] = []

    def run(self, seconds: float) -> None:
        """Make the clients call at the same time; note how many calls per second all of them have made together."""
        for process in self._clients:
            process.stdin.write("%r\n" % seconds)
            process.stdin.flush()
        self.rates.append(sum(float(_read(process)) for process in self._clients))


def _start(at_end: contextlib.ExitStack, *arguments: str, python: str = sys.executable,
           environment: Optional[Dict[str, str]] = None) -> Any:
    process: Any = at_end.enter_context(subprocess.Popen(
        [python, "-m", "tests.bench.scaling", *arguments], cwd=PROJECT, universal_newlines=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, **(environment or {})}))
    at_end.callback(process.terminate)
    return process


def _read(process: Any) -> str:
    line: str = process.stdout.readline()
    if not line:
        raise ValueError("a process of the benchmark has ended")
    return line.strip()


@contextlib.contextmanager
def groups(clients: int, processes: int, work: float) -> Iterator[Dict[str, Group]]:
    """Return what is compared, by its title."""
    with contextlib.ExitStack() as at_end:
        found: Dict[str, Group] = {}
        for count in (1, processes):
            found["bare sockets, %d" % count] = Group(
                at_end, ["serve_bare", str(count), repr(work)],
                lambda ports, number: ["call_bare", ports.replace(" ", ","), str(number)], clients)
            found["calls, %d" % count] = Group(
                at_end, ["serve", str(count)], lambda uri, number: ["call", uri, repr(work)], clients)
        for count in (1, IDLE_PROCESSES):
            found["nothing, %d" % count] = Group(at_end, ["serve", str(count)], lambda uri, number: ["call", uri, "0"], 1)
        yield found


def main(arguments: Sequence[str]) -> None:
    """Measure, as the options say."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench processes",
                                     description="Measure servers with several processes.")
    parser.add_argument("--rounds", type=int, default=9, help="how often to measure each, by turns (9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each, in each round (0.5)")
    parser.add_argument("--clients", type=int, default=4, help="client processes (4)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1,
                        help="processes of the server (one per processor)")
    parser.add_argument("--work", type=float, default=1.0, metavar="MS", help="processor time of the method (1 ms)")
    options = parser.parse_args(arguments)
    with groups(options.clients, options.processes, options.work / 1000) as found:
        for _ in range(options.rounds):
            for group in found.values():
                group.run(options.seconds)
        rates = {title: group.rates for title, group in found.items()}
        for line in table(rates, options.clients, options.processes, options.work):
            print(line)


def table(rates: Dict[str, List[float]], clients: int, processes: int, work: float) -> Iterator[str]:
    """Return the lines of the result. Ratios are medians of the ratios of each round."""
    layout = "%-62s %12s %12s %7s"
    several = "%d processes" % processes
    yield layout % ("calls per second", "one process", several, "ratio")
    title = "%d client processes, a method that computes for %g ms" % (clients, work)
    for name, text in (("calls", title), ("bare sockets", title.replace("a method that computes", "bare sockets, computing"))):
        yield layout % (text, *_row(rates["%s, 1" % name], rates["%s, %d" % (name, processes)]))
    yield layout % ("", "one process", "%d processes" % IDLE_PROCESSES, "ratio")
    yield layout % ("one client, a method that does nothing",
                    *_row(rates["nothing, 1"], rates["nothing, %d" % IDLE_PROCESSES]))


def _row(one: List[float], several: List[float]) -> List[str]:
    return ["%.0f" % median(one), "%.0f" % median(several), "%.2f" % median([b / a for a, b in zip(one, several)])]


if __name__ == "__main__":
    {"serve": serve, "serve_bare": serve_bare, "call": call, "calculate": calculate, "call_bare": call_bare}[sys.argv[1]](
        *sys.argv[2:])
