"""Run the soak: ``python -m tests.soak --minutes 10 --output build/soak``; exit code 1 unless all lines are flat."""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

from . import chart, figures, runner
from .clients import KINDS


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(
        "Let mixed clients use servers of both types and a name server for a long time; watch memory, descriptors, threads "
        "and how long calls take. Writes soak.json and soak.svg."))
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build", "soak"), metavar="DIR",
                        help="where the files go (default %(default)s)")
    parser.add_argument("--clients", default=",".join(KINDS), metavar="A,B", help="kinds of clients (default %(default)s)")
    parser.add_argument("--again", action="store_true", help="do not run: judge and draw the soak.json that is there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    options = parse_options(arguments)
    data: Path = options.output / "soak.json"
    if options.again:
        result: Dict[str, Any] = json.loads(data.read_text(encoding="utf-8"))
    else:
        try:
            result = runner.soak(options.minutes, options.clients.split(","))
        except runner.SoakError as x:
            sys.exit("error: %s" % x)
        options.output.mkdir(parents=True, exist_ok=True)
        data.write_text(json.dumps(result) + "\n", encoding="utf-8")
    (options.output / "soak.svg").write_text(chart.draw(result), encoding="utf-8")
    print(figures.table(result), end="")
    return 0 if figures.is_good(result) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
