"""The documentation site: what its build script checks, and how the description of the package links to it."""
from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
import tempfile
import types
import unittest
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

from tests.docs.test_links import PAGES
from tests.support import PROJECT


def load() -> Any:
    spec = importlib.util.spec_from_file_location("build_site", str(Path(PROJECT, ".ci", "site", "build.py")))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    with mock.patch("sys.path", list(sys.path)):
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


build = load()


class Pages(unittest.TestCase):
    def test_every_page_is_in_the_tree(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder)
            build.copy_pages(source)
            build.write_start_page(source)
            start = (source / "index.md").read_text("utf-8")
            index = (source / "docs" / "README.md").read_text("utf-8")
            self.assertTrue((source / "examples" / "greeting" / "README.md").is_file())
        for page in Path(PROJECT, "docs").glob("*.md"):
            if page.stem != "README":
                self.assertRegex(start, r"(?m)^docs/%s$" % page.stem)
        self.assertTrue(index.startswith("---\norphan: true\n---\n# Documentation"))
        self.assertNotIn("pydoc", start)

    def test_links_show_titles(self) -> None:
        self.assertEqual("see [](a.md#b), [](../c.md), [own text](d.md), `[e.md](f)`",
                         build.with_titles("see [a.md](a.md#b), [`c.md`](../c.md), [own text](d.md), `[e.md](f)`"))

    def test_broken_links_are_found(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            html = Path(folder).resolve()
            (html / "a.html").write_text('<h1 id="top-a"><a href="b.html#there">x</a><a href="b.html#gone">y</a>'
                                         '<a href="#top-a">z</a><img src="c.svg"><a href="https://x.invalid/">w</a>', "utf-8")
            (html / "b.html").write_text('<p id="there"><a href="a.html">x</a>', "utf-8")
            self.assertEqual(["a.html: there is no anchor for b.html#gone", "a.html: there is no c.svg"],
                             list(build.broken_links(html)))


class Reference(unittest.TestCase):
    def test_every_public_name_has_one_place(self) -> None:
        modules = build.load_modules()
        homes: Dict[Any, str] = build.homes(modules)
        self.assertEqual("Pyro5.client.Proxy", homes["Pyro5.api", "Proxy"])
        self.assertEqual("Pyro5.aio.Proxy", homes["Pyro5.aio", "Proxy"])
        pages: List[str] = ["\n".join(build.module_page(name, module, homes)) for name, module in modules.items()]
        text = "\n".join(pages)
        for (module, name), home in homes.items():
            if home == "%s.%s" % (module, name):
                self.assertTrue(":: %s\n" % home in text or ":: %s\n" % name in text, home)
            else:
                self.assertIn("<%s>`\n" % home, text)

    def test_all_public_modules_are_in_it(self) -> None:
        names = {path.stem for path in Path(PROJECT, "Pyro5").glob("*.py")} - {"__init__", "__main__", "constants"}
        self.assertEqual(set(), names - set(build.MODULES))


class Description(unittest.TestCase):
    def description(self, site: str) -> str:
        # Not every Python has setuptools.
        setup = mock.Mock()
        stand_in: Any = types.SimpleNamespace(setup=setup, find_packages=mock.Mock())
        with mock.patch.dict(sys.modules, setuptools=stand_in), mock.patch.dict(os.environ, PYRO5_SITE=site):
            runpy.run_path(os.path.join(PROJECT, "setup.py"))
        return str(setup.call_args[1]["long_description"])

    def test_links_lead_to_the_site(self) -> None:
        text = self.description("https://pyro.invalid/5/")
        self.assertIn("[First steps](https://pyro.invalid/5/docs/first-steps.html)", text)
        self.assertNotRegex(text, r"\]\((?!https://)")

    def test_no_links_without_a_site(self) -> None:
        text = self.description("")
        self.assertIn("First steps (`docs/first-steps.md`)", text)
        self.assertNotRegex(text, r"\]\((?!https://)")


class Installing(unittest.TestCase):
    def test_pages_say_how_this_release_is_installed(self) -> None:
        # The package index has other releases under this name.
        for page in PAGES:
            for paragraph in page.read_text(encoding="utf-8").split("\n\n"):
                if re.search(r"pip install[^`\n]* Pyro5(?![-\w])", paragraph):
                    self.assertIn("pip install .", paragraph, page.name)


if __name__ == "__main__":
    unittest.main()
