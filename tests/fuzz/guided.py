"""Coverage-guided runs: ``python -m tests.fuzz.guided TARGET [options of libFuzzer]``. Needs the package atheris.

TARGET is reader, session, serpent, marshal, json, msgpack or uri. It starts from the recorded messages. With
``-runs=100000`` it stops after so many; what it finds is raised, and kept in a file.
"""
from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from typing import Any, Callable, List

try:
    import atheris
except ImportError:
    atheris = None

SERIALIZERS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}
MESSAGES = ("reader", "session")
TARGETS = (*MESSAGES, *SERIALIZERS, "uri")


def _seeds(target: str, corpus: Any) -> List[bytes]:
    if target in SERIALIZERS:
        payloads: List[bytes] = corpus.payloads()[SERIALIZERS[target]]
        return payloads
    if target == "uri":
        return [text.encode() for text in corpus.uris()]
    return [b"".join(frame.encoded() for frame in conversation.frames) for conversation in corpus.conversations()]


def _tester(target: str, targets: Any, case: Any) -> Callable[[bytes], None]:
    kind = target if target in (*MESSAGES, "uri") else "payload"
    serializer = SERIALIZERS.get(target, 0)

    def test(data: bytes) -> None:
        if kind == "uri":
            data = data.decode("utf-8", "replace").encode()
        half = len(data) // 2
        pieces = [data[:half], data[half:]] if kind in MESSAGES else [data]
        targets.run(case(kind, pieces, data[6:7] != b"\x01", serializer))
    return test


def fuzz(target: str, folder: str, options: List[str]) -> None:
    """Fuzz, with the inputs in a folder, until libFuzzer ends this process."""
    with atheris.instrument_imports(include=["Pyro5"]):
        importlib.import_module("Pyro5.server")
    cases, corpus, targets = (importlib.import_module("tests.fuzz." + name) for name in ("cases", "corpus", "targets"))
    for number, seed in enumerate(_seeds(target, corpus)):
        with open(os.path.join(folder, str(number)), "wb") as file:
            file.write(seed)
    with targets.Targets() as all_targets:
        atheris.Setup(["fuzz", *options, folder], _tester(target, all_targets, cases.Case))
        atheris.Fuzz()


def main() -> int:
    if atheris is None or sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        print(__doc__)
        return 2
    program = "import sys; from tests.fuzz.guided import fuzz; fuzz(sys.argv[1], sys.argv[2], sys.argv[3:])"
    with tempfile.TemporaryDirectory() as folder:  # the process in there ends without cleaning up
        return subprocess.call([sys.executable, "-c", program, sys.argv[1], folder, *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
