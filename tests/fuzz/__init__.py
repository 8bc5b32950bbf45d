"""A fuzzer: recorded conversations, damaged with a knowledge of how messages are built, against everything that reads them.

* corpus: the recorded messages and payloads that it starts from
* values: the values inside of payloads, and how they are damaged
* mutations: what is done to a message
* served: the objects that are called (the recorded ones, made harmless)
* cases: one damaged message, or conversation, out of a seed and a number: always the same one
* targets: what reads it, and what it may raise
* worker, watch: a process that works through cases; another one that notices when it crashes, hangs or grows
* live: the same conversations against real daemons
* guided: the same targets, led by coverage (needs the package atheris)

``python -m tests.fuzz -h`` tells how to run it.
"""
