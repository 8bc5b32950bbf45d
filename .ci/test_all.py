"""Run the tests on every Python from 3.8 up that this machine has, each in a virtual environment of its own.

Usage: test_all.py [--but-not X.Y | --only PATH] -- ARGUMENTS-FOR-PYTHON...

Pythons are looked for on the PATH and among those that pyenv holds; of each version the first that works is taken.
"""
from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 8, 20
WHICH = "import sys, sysconfig as s; print('%d.%d' % sys.version_info[:2] + 't' * bool(s.get_config_var('Py_GIL_DISABLED')))"


def candidates() -> Iterator[str]:
    """Return all paths that may be a Python, likely ones first."""
    for name in ["python3"] + ["python3.%d%s" % (minor, kind) for minor in range(OLDEST, NEWEST) for kind in ("", "t")]:
        for directory in os.get_exec_path():
            path = shutil.which(name, path=directory)
            if path:
                yield path
    # pyenv's own stand-ins on the PATH work only for the versions that it is told to use; its folder holds them all
    shims = [directory for directory in os.get_exec_path() if os.path.basename(directory.rstrip("/")) == "shims"]
    for root in [os.path.expanduser("~/.pyenv")] + [os.path.dirname(directory.rstrip("/")) for directory in shims]:
        yield from sorted(glob.glob(os.path.join(root, "versions", "*", "bin", "python3")))


def version_of(path: str) -> str:
    """Return the version as in '3.11' ('3.13t' for a free-threaded build); empty if this is no Python that works."""
    done = subprocess.run([path, "-c", WHICH], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, universal_newlines=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def find_pythons() -> Dict[str, List[str]]:
    """Return the paths to try for every version found, in the order of the versions."""
    found: Dict[str, List[str]] = {}
    for path in candidates():
        version = version_of(path)
        if version and int(version.rstrip("t").split(".")[1]) >= OLDEST and version.startswith("3."):
            found.setdefault(version, []).append(path)
    return dict(sorted(found.items(), key=lambda item: (int(item[0].rstrip("t").split(".")[1]), item[0])))


def prepare(version: str, paths: List[str]) -> str:
    """Make the virtual environment of a version, unless it is there, and give the path of its Python; empty if it fails."""
    home = ROOT / ".venvs" / version
    python = str(home / "bin" / "python")
    ready = home / "ready"
    if ready.exists() and ready.stat().st_mtime > (ROOT / "setup.py").stat().st_mtime and version_of(python) == version:
        return python
    for path in paths:
        done = subprocess.run([path, "-m", "venv", "--clear", str(home)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        if done.returncode == 0:
            break
        print("   %s cannot make a virtual environment: %s" % (path, done.stdout.strip()))
    else:
        return ""
    # not the project itself: the tests run from the source tree
    install(python, ["serpent>=1.41"], required=True)
    install(python, ["msgpack"], required=False)
    ready.touch()
    return python


def install(python: str, packages: List[str], required: bool) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command + packages, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        print("   cannot install %s: %s" % (" ".join(packages), done.stdout.strip()))
        if required:
            raise SystemExit(1)


def run_tests(version: str, python: str, arguments: List[str]) -> bool:
    """Run the tests; print unittest's closing lines if they pass and everything if they do not."""
    started = time.monotonic()
    # Else a free-threaded Python switches its lock on when it loads an extension module that does not say that it needs none.
    # Other builds do not start with this variable.
    environment = {**os.environ, "PYTHON_GIL": "0"} if version.endswith("t") else None
    done = subprocess.run([python] + arguments, cwd=str(ROOT), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, env=environment)
    if done.returncode != 0:
        print(done.stdout)
    else:
        for line in done.stdout.splitlines():
            if line.startswith("UNRELIABLE"):  # it passed only when it was repeated
                print("   " + line)
        print("   %s  (%.0f s)" % ("  ".join(done.stdout.strip().splitlines()[-3:]), time.monotonic() - started))
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests on every Python found.")
    parser.add_argument("--but-not", metavar="X.Y", help="a version to leave out")
    parser.add_argument("--only", metavar="PATH", help="run the tests on this Python alone")
    parser.add_argument("arguments", nargs="+", help="what to call each Python with")
    options = parser.parse_args()
    pythons = {version_of(options.only): [options.only]} if options.only else find_pythons()
    pythons.pop(options.but_not, None)
    failed = []
    for version, paths in pythons.items():
        print("== Python %s" % version, flush=True)
        python = prepare(version, paths)
        if not python or not run_tests(version, python, options.arguments):
            failed.append(version)
        sys.stdout.flush()
    print("Python versions tested: %s; failed: %s" % (", ".join(pythons) or "none", ", ".join(failed) or "none"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
