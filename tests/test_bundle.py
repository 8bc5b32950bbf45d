"""The bundle: one file, or one folder, with all that a program or a tool needs."""
from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

from Pyro5.nameserver import start_ns
from tests.support import PATIENCE_SECONDS, PROJECT, ToolResult, clean_environment, daemon_thread

SCRIPT = Path(PROJECT, ".ci", "bundle.py")

PROGRAM = """
import sys, Pyro5.api, serpent
with Pyro5.api.locate_ns("127.0.0.1", int(sys.argv[1])) as names:
    print(sorted(names.list("Pyro.")))
print({module.__file__.partition(".pyz")[1] for module in (Pyro5, serpent)})
"""


def load() -> Any:
    spec = importlib.util.spec_from_file_location("bundle", str(SCRIPT))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def start(*command: Any, **env: str) -> Any:
    """Start a Python that finds nothing but its own standard library and what the environment says."""
    return subprocess.Popen([sys.executable, "-S", *map(str, command)], env=clean_environment({"PYTHONPATH": "", **env}),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def finish(process: Any) -> ToolResult:
    with process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return ToolResult(process.returncode, out, err)


class BundleTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.bundle = load()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def make(self, kind: str, target: Path) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            {"pyz": self.bundle.make_pyz, "vendor": self.bundle.make_folder}[kind](target)
        return out.getvalue()

    def use_copy_of_sources(self) -> Path:
        root = self.folder / "project"
        shutil.copytree(str(Path(PROJECT, "Pyro5")), str(root / "Pyro5"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(str(Path(PROJECT, "LICENSE")), str(root))
        changed = mock.patch.object(self.bundle, "ROOT", root)
        changed.start()
        self.addCleanup(changed.stop)
        return root


class OneFile(BundleTestCase):
    def test_contents(self) -> None:
        target = self.folder / "new" / "pyro5.pyz"
        self.assertIn("python %s" % target, self.make("pyz", target))
        with zipfile.ZipFile(str(target)) as archive:
            names = archive.namelist()
        self.assertEqual(names, sorted(names))
        self.assertLess({"__main__.py", "Pyro5/__main__.py", "Pyro5/LICENSE", "Pyro5/py.typed", "serpent.py"}, set(names))
        package = Path(PROJECT, "Pyro5")
        expected = {"Pyro5/" + path.relative_to(package).as_posix() for path in package.rglob("*")
                    if path.is_file() and path.suffix not in (".pyc", ".pyo")}
        self.assertEqual(expected, {name for name in names if name.startswith("Pyro5/")} - {"Pyro5/LICENSE"})
        self.assertTrue(os.access(str(target), os.X_OK))

    def test_the_same_sources_give_the_same_bytes(self) -> None:
        self.make("pyz", self.folder / "one.pyz")
        root = self.use_copy_of_sources()
        (root / "Pyro5" / "__pycache__").mkdir()
        (root / "Pyro5" / "__pycache__" / "x.py").write_text("")
        (root / "Pyro5" / "notes.orig").write_text("")
        os.utime(str(root / "Pyro5" / "api.py"), (1e9, 1e9))
        (root / "Pyro5" / "api.py").chmod(0o600)
        self.make("pyz", self.folder / "two.pyz")
        self.assertEqual((self.folder / "one.pyz").read_bytes(), (self.folder / "two.pyz").read_bytes())

    def test_runs_tools_and_programs(self) -> None:
        target, program = self.folder / "pyro5.pyz", self.folder / "program.py"
        self.make("pyz", target)
        program.write_text(PROGRAM)
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(daemon):
            tool = start("-I", target, "nsc", "-n", "127.0.0.1", "-p", uri.port, "ping")
            user = start(program, uri.port, PYTHONPATH=str(target))
            results = finish(tool), finish(user)
        self.assertEqual(results[0], ToolResult(0, "Name server ping ok.\n", ""))
        self.assertEqual(results[1], ToolResult(0, "['Pyro.NameServer']\n{'.pyz'}\n", ""))


class OneFolder(BundleTestCase):
    def test_contents(self) -> None:
        target = self.folder / "vendored"
        self.make("vendor", target)
        found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
        self.assertEqual(found, set(self.bundle.contents()))
        self.assertEqual((target / "Pyro5" / "LICENSE").read_bytes(), Path(PROJECT, "LICENSE").read_bytes())

    def test_replaces_an_older_copy_and_nothing_else(self) -> None:
        target = self.folder / "vendored"
        self.make("vendor", target)
        (target / "Pyro5" / "gone.py").write_text("")
        (target / "other.py").write_text("")
        self.make("vendor", target)
        self.assertEqual([(target / "Pyro5" / "gone.py").exists(), (target / "other.py").exists()], [False, True])

    def test_refuses_what_is_no_copy(self) -> None:
        root = self.use_copy_of_sources()
        (self.folder / "Pyro5").mkdir()
        (self.folder / "Pyro5" / "precious").write_text("")
        for target in (root, self.folder):
            with self.assertRaisesRegex(SystemExit, "is not a copy of the package"):
                self.make("vendor", target)
        self.assertTrue((root / "Pyro5" / "api.py").exists() and (self.folder / "Pyro5" / "precious").exists())


class Serpent(BundleTestCase):
    def test_a_package_instead_of_a_module(self) -> None:
        library = self.folder / "serpent"
        library.mkdir()
        (library / "__init__.py").write_text("")
        (library / "part.py").write_text("")
        spec = mock.Mock(origin=str(library / "__init__.py"))
        with mock.patch.object(self.bundle.importlib.util, "find_spec", lambda name: spec):
            self.assertLess({"serpent/__init__.py", "serpent/part.py"}, set(self.bundle.contents()))

    def test_none(self) -> None:
        with mock.patch.object(self.bundle.importlib.util, "find_spec", lambda name: None), \
                self.assertRaisesRegex(SystemExit, "pip install serpent"):
            self.bundle.contents()

    def test_no_licence_file(self) -> None:
        self.assertIsNone(self.bundle.license_of("no-such-distribution-at-all"))


if __name__ == "__main__":
    unittest.main()
