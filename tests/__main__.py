"""Run the whole suite with one process per core: ``python -m tests``; ends with unittest's own summary of all of them."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import List

HERE = Path(__file__).parent
MAX_PROCESSES = 2  # more of them would make tests that watch other processes wait for each other


def interpreter() -> List[str]:
    """This interpreter, with the -X and -W options that it was started with."""
    options = ["-X" + name for name in sys._xoptions] + ["-W" + option for option in sys.warnoptions]
    return [sys.executable, *dict.fromkeys(options)]


def main() -> int:
    modules = sorted("tests." + path.stem for path in HERE.glob("test_*.py"))
    count = min(MAX_PROCESSES, os.cpu_count() or 1)
    started = time.monotonic()
    command = [*interpreter(), "-m", "unittest"]
    processes = [subprocess.Popen(command + modules[number::count], cwd=str(HERE.parent), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
                 for number in range(count)]
    outputs = [process.communicate()[0] for process in processes]
    failed = any(process.returncode for process in processes)
    print("".join(outputs) if failed else "".join(output.splitlines(keepends=True)[0] for output in outputs))
    print_summary(outputs, failed, time.monotonic() - started)
    return int(failed)


def print_summary(outputs: List[str], failed: bool, seconds: float) -> None:
    """Print what unittest prints at the end, for all processes together."""
    counts: Counter[str] = Counter()
    for output in outputs:
        end = output[output.rfind("\nRan "):]
        counts["run"] += int((re.findall(r"\nRan (\d+) test", end) or ["0"])[0])
        for what, number in re.findall(r"([a-z ]+)=(\d+)", end):
            counts[what.strip()] += int(number)
    details = ", ".join("%s=%d" % item for item in counts.items() if item[0] != "run")
    print("-" * 70)
    print("Ran %d tests in %.3fs\n" % (counts["run"], seconds))
    print(("FAILED" if failed else "OK") + (" (%s)" % details if details else ""))


if __name__ == "__main__":
    sys.exit(main())
