"""Every link in the documentation has an existing target, and every page can be reached from README.md."""
from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import List, Optional

from tests.support import PROJECT

DOCS = Path(PROJECT, "docs")
PAGES = [*(Path(PROJECT, name) for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *sorted(DOCS.glob("*.md")),
         *sorted(Path(PROJECT, "examples").glob("**/*.md"))]
CODE = re.compile(r"^```.*?^```$|^ {4}[^\n]*$|``.*?``|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
STAND_FOR_ANY = {"tests/test_x.py", "Pyro5/x.py"}
ELSEWHERE = re.compile(r"[a-z]+://|mailto:")


def links(page: Path) -> List[str]:
    """Return the targets of the links of a page, except those in code."""
    return [link for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))) if not ELSEWHERE.match(link)]


def anchors(page: Path) -> List[str]:
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def problem_of_link(folder: Path, link: str) -> Optional[str]:
    """Return what is wrong with a link in a page of that folder, None if nothing is."""
    name, _, anchor = link.partition("#")
    target = folder / name
    if not target.is_file():
        return "there is no " + name
    if anchor and anchor not in anchors(target):
        return "%s has no heading for #%s" % (name, anchor)
    return None


class Links(unittest.TestCase):
    def test_lead_somewhere(self) -> None:
        for page in PAGES:
            for link in links(page):
                with self.subTest(page=page.name, link=link):
                    target = page.name + link if link.startswith("#") else link
                    self.assertIsNone(problem_of_link(page.parent, target))

    def test_files_that_are_named_are_there(self) -> None:
        for page in PAGES[:3] + sorted(DOCS.glob("*.md")):
            for name in re.findall(r"`((?:docs|examples|tests|Pyro5)/[\w./-]+)`", page.read_text(encoding="utf-8")):
                self.assertTrue(name in STAND_FOR_ANY or Path(PROJECT, name).exists(), "%s names %s" % (page.name, name))

    def test_modules_that_the_architecture_names_exist(self) -> None:
        text = (DOCS / "architecture.md").read_text(encoding="utf-8")
        names = set(re.findall(r"(?<![\w/])(_[a-z]+/(?:[\w/.]*\w)?)", text)) | set(re.findall(r"`(\w+\.py)`", text))
        self.assertGreater(len(names), 50)
        for name in sorted(names):
            path = Path(PROJECT, "Pyro5", name)
            self.assertTrue(path.exists() or path.with_suffix(".py").exists(), name)

    def test_the_architecture_has_every_package(self) -> None:
        text = (DOCS / "architecture.md").read_text(encoding="utf-8")
        folders = text.split("    Pyro5/\n")[1].split("    tests/")[0]
        packages = {path.parent.name for path in Path(PROJECT, "Pyro5").glob("*/__init__.py")}
        self.assertEqual(packages, set(re.findall(r"^ +(\w+)/", folders, re.MULTILINE)))

    def test_the_index_has_every_page(self) -> None:
        named = [link for link in links(DOCS / "README.md") if "/" not in link]
        self.assertEqual(sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md"), sorted(set(named)))
        self.assertIn("docs/README.md", links(Path(PROJECT, "README.md")))

    def test_what_is_missing_is_found(self) -> None:
        self.assertIn("no heading", str(problem_of_link(DOCS, "tls.md#nothing")))
        self.assertIn("there is no", str(problem_of_link(DOCS, "nothing.md")))
        self.assertIsNone(problem_of_link(DOCS, "tls.md#settings"))


if __name__ == "__main__":
    unittest.main()
