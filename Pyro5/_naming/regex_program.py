"""The program of the helper process that runs regular expressions, see `regex_sandbox`.

Each line of its input is JSON: a pattern, or a list of names. Each line of its output is the reply: null, or the error in
the pattern; the indexes of the names that match, or an error text.

It must not outlive the server, even if the server is killed during a match that would take years: SIGALRM ends the process
regardless of what ``re`` is doing. It ignores SIGINT, because Ctrl-C on a terminal is meant for the server.

Memory is bounded twice. ``re`` keeps a record for each repetition of a group, so a group that has to match four billion
times, even the empty text, takes gigabytes within a second: `kept` computes the number of these records from the
parsed pattern, and a pattern with too many of them is rejected before it runs. And the memory of the process may grow only a
little beyond its initial size, on systems that can limit that; a pattern that needs more fails with a MemoryError.
"""
from __future__ import annotations

# Repetitions of groups that ``re`` may have to keep for one match, times the groups that it saves for each. A name has at
# most 1000 characters, so sensible patterns need far fewer.
MOST_KEPT = 50000
# Memory that the process may use in addition to its initial size.
MEMORY_BYTES = 128 << 20

_PROGRAM = """
import json, os, re, signal, sys

try:
    from re import _parser as parser
except ImportError:
    import sre_parse as parser  # before Python 3.11

SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY")

def kept(part, times):
    # The most records that are kept at once. part: (code, arguments), a sequence of these, or an argument of any kind
    if isinstance(part, parser.SubPattern):
        part = part.data
    if isinstance(part, tuple) and len(part) == 2 and str(part[0]).endswith("REPEAT"):
        least, _, body = part[1]
        items = body.data
        if len(items) == 1 and str(items[0][0]) in SINGLE:
            return 0  # a counter does
        times *= max(int(least), 1)
        return max(times, kept(body, times))
    if isinstance(part, (tuple, list)):
        return sum(kept(inner, times) for inner in part)
    return 0

def check(pattern):
    tree = parser.parse(pattern)
    if kept(tree, 1) * (8 + tree.state.groups) // 8 > %(most_kept)d:
        raise ValueError("it repeats groups too often, and would take too much memory")

def answer_to(question):
    global match
    try:
        if isinstance(question, str):
            check(question)
            match = re.compile(question).match
            return None
        return [number for number, name in enumerate(question) if match(name)]
    except MemoryError:
        return "it takes too much memory"
    except Exception as x:  # re.compile raises more than re.error
        return str(x) or type(x).__name__

def limit_memory():
    try:
        import resource
        with open("/proc/self/statm", "rb") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
        most = present + %(memory_bytes)d
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):
        pass  # this system has no such limit

signal.signal(signal.SIGINT, signal.SIG_IGN)
end_after = getattr(signal, "setitimer", lambda timer, seconds: None)
timer = getattr(signal, "ITIMER_REAL", None)
limit_memory()
print("null", flush=True)
if hasattr(os, "nice"):
    os.nice(10)
for line in sys.stdin:
    end_after(timer, %(seconds)g)
    print(json.dumps(answer_to(json.loads(line))), flush=True)
    end_after(timer, 0)
"""


def program(seconds: float) -> str:
    """Return the source of the program, which terminates itself if one request takes longer than this."""
    return _PROGRAM % {"most_kept": MOST_KEPT, "memory_bytes": MEMORY_BYTES, "seconds": seconds}
