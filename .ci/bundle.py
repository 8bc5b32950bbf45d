"""Pack the package, and the serpent library that it needs, for places where nothing can be installed.

Usage: bundle.py pyz FILE       one file that Python runs: all command line tools; and programs find both libraries in it
       bundle.py vendor FOLDER  a folder to put on PYTHONPATH, or into a program's own source tree

The same sources give the same bytes. serpent is taken from where this Python has it.
"""
from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Dict, Iterator, Optional

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "Pyro5"
SUFFIXES = (".py", ".html", ".typed")
LICENSE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING")

SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = b"""\
import sys

from Pyro5.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
"""
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip file can tell
UNIX = 3
FILE_MODE = 0o100644


def sources_of(path: Path) -> Iterator[Path]:
    """Return the files that belong to a package, or a module that is one file."""
    if path.is_file():
        yield path
        return
    for each in path.rglob("*"):
        if each.suffix in SUFFIXES and each.is_file() and "__pycache__" not in each.parts:
            yield each


def find_serpent() -> Path:
    """Return the file or folder of the serpent library."""
    spec = importlib.util.find_spec("serpent")
    if spec is None or not spec.origin:
        raise SystemExit("bundle.py: this Python has no serpent library; 'pip install serpent' is needed first")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def license_of(distribution: str) -> Optional[bytes]:
    """Return the text of the licence that a library was installed with; None if there is no such file."""
    try:
        files = importlib.metadata.distribution(distribution).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name in LICENSE_NAMES and path.is_file():
            return path.read_bytes()
    return None


def contents() -> Dict[str, bytes]:
    """Return everything that belongs in the bundle: path in it -> bytes, in the order of the paths."""
    found: Dict[str, bytes] = {PACKAGE + "/LICENSE": (ROOT / "LICENSE").read_bytes()}
    for top in (ROOT / PACKAGE, find_serpent()):
        for path in sources_of(top):
            found[path.relative_to(top.parent).as_posix()] = path.read_bytes()
    serpent_license = license_of("serpent")
    if serpent_license is not None:
        found["serpent-LICENSE"] = serpent_license
    return dict(sorted(found.items()))


def packed(files: Dict[str, bytes]) -> bytes:
    """Make a zip file that Python can run; not compressed, as compressors differ in the bytes that they give."""
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system, entry.external_attr = UNIX, FILE_MODE << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def make_pyz(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    data = packed(dict(sorted({**contents(), "__main__.py": MAIN}.items())))
    target.write_bytes(data)
    target.chmod(0o755)
    print("%s: %d KB; try: python %s" % (target, len(data) // 1024, target))


def make_folder(target: Path) -> None:
    old = target / PACKAGE
    if old.exists():
        if target.resolve() == ROOT or not (old / "__init__.py").is_file():
            raise SystemExit("bundle.py: %s is not a copy of the package that could be replaced; choose another folder" % old)
        shutil.rmtree(old)  # files of an older release must not stay behind
    for name, data in contents().items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print("%s: holds %s; put it on PYTHONPATH, or import the package as part of yours" % (
        target, ", ".join(sorted(os.listdir(str(target))))))


def main() -> int:
    parser = argparse.ArgumentParser(description="Pack the package and what it needs.")
    parser.add_argument("kind", choices=("pyz", "vendor"))
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    (make_pyz if options.kind == "pyz" else make_folder)(options.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
