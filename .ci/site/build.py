"""Build the documentation site: static HTML of all pages, and a reference of every public name made from the docstrings.

Usage: build.py FOLDER, with a Python that has the packages of .ci/site.txt. The site is then in FOLDER/html. The build fails
if Sphinx has a warning, if a link leads nowhere, or if a public name is not in the reference.
"""
from __future__ import annotations

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

# The modules of the reference, in its order. An object that several of them have is described where it is defined.
MODULES = """api client server core aio nameserver errors configure callcontext typed serializers protocol socketutil nsc
             svr_threads svr_multiplex svr_existingconn utils.echoserver utils.httpgateway compatibility.Pyro4
             observe observe.opentelemetry""".split()
FUNCTIONS = (inspect.isfunction, inspect.isbuiltin, inspect.ismethod)


# ---------------------------------------------------------------- pages

def copy_pages(source: Path) -> None:
    """Copy all Markdown pages with their pictures, in the same folders, so that their links stay right."""
    pages = [ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").iterdir()),
             *sorted((ROOT / "examples").glob("**/*.md"))]
    for page in pages:
        target = source / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            target.write_text(with_titles(page.read_text("utf-8")), "utf-8")
        else:
            shutil.copy(page, target)
    shutil.copy(ROOT / "LICENSE", source / "LICENSE.txt")
    (source / "_static").mkdir()
    shutil.copy(HERE / "site.css", source / "_static")


def with_titles(text: str) -> str:
    """Return the text of a page in which links that show the name of a file show the title of that page, or section."""
    return re.sub(r"\[`?[\w./-]+\.md`?\](?=\([\w./-]+\.md)", "[]", text)


def write_start_page(source: Path) -> None:
    """Write the start page: the README, and the tree of all pages in the order of the index."""
    text = (ROOT / "README.md").read_text("utf-8").replace("`LICENSE`", "[LICENSE](LICENSE.txt)")
    text = text.replace("the reference of the API, `python -m pydoc Pyro5.api`", "the [reference of the API](api/index.rst)")
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    text = with_titles(text)
    using, making = index.split("\n## How it is made\n")
    trees = [("Using it", ["docs/" + name for name in rows(using)]),
             ("Reference", ["api/index"]),
             ("Examples", ["examples/README"]),
             ("How it is made", ["docs/" + name for name in rows(making)] + ["CONTRIBUTING", "CHANGELOG"])]
    (source / "index.md").write_text(text + "".join(toctree(*tree) for tree in trees), "utf-8")
    append(source / "docs" / "README.md", "\n---\norphan: true\n---\n")
    examples = sorted(path.relative_to(source / "examples").with_suffix("").as_posix()
                      for path in (source / "examples").glob("*/README.md"))
    append(source / "examples" / "README.md", toctree("Programs", examples))


def rows(text: str) -> List[str]:
    """Return the pages that the table of an index links to, without suffixes."""
    return re.findall(r"^\| \[[^]]*\]\(([\w-]+)\.md\)", text, re.MULTILINE)


def toctree(caption: str, pages: List[str]) -> str:
    return "\n```{toctree}\n:hidden:\n:caption: %s\n\n%s\n```\n" % (caption, "\n".join(pages))


def append(page: Path, text: str) -> None:
    """Add text at the end of a page; front matter goes to its beginning."""
    content = page.read_text("utf-8")
    front = text.startswith("\n---\n")
    page.write_text(text.lstrip("\n") + content if front else content + text, "utf-8")


# ---------------------------------------------------------------- reference

def public_names(module: Any) -> List[str]:
    """Return the names that a module offers: those in its ``__all__``, or those that it defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if not name.startswith("_")
                 and getattr(value, "__module__", None) == module.__name__]
    return sorted(names, key=str.lower)


def load_modules() -> Dict[str, Any]:
    found = {}
    for name in MODULES:
        try:
            found["Pyro5." + name] = importlib.import_module("Pyro5." + name)
        except ModuleNotFoundError as x:
            if x.name != "Pyro5." + name:
                raise
    return found


def homes(modules: Dict[str, Any]) -> Dict[Tuple[str, str], str]:
    """Return where each public name is described: (module, name) -> full name."""
    seen: Dict[int, str] = {}
    everything = [(module, name, getattr(loaded, name)) for module, loaded in modules.items() for name in public_names(loaded)]
    # First the modules that define an object, then those that only pass it on.
    for module, name, value in sorted(everything, key=lambda row: getattr(row[2], "__module__", None) != row[0]):
        seen.setdefault(key_of(module, name, value), "%s.%s" % (module, name))
    return {(module, name): seen[key_of(module, name, value)] for module, name, value in everything}


def key_of(module: str, name: str, value: Any) -> Any:
    # Equal constants, such as small numbers, are one object for Python, but not for a reader.
    return (name, value) if isinstance(value, (int, str)) else id(value)


def write_reference(source: Path, modules: Dict[str, Any]) -> None:
    """Write a page for each module, and an index."""
    folder = source / "api"
    folder.mkdir()
    home = homes(modules)
    lines = ["API reference", "=============", "",
             "Programs import :doc:`Pyro5.api <Pyro5.api>`; asyncio programs :doc:`Pyro5.aio <Pyro5.aio>`.", "",
             ".. toctree::", "   :maxdepth: 1", "", *("   " + name for name in modules), ""]
    (folder / "index.rst").write_text("\n".join(lines), "utf-8")
    for module in modules:
        (folder / (module + ".rst")).write_text("\n".join(module_page(module, modules[module], home)), "utf-8")


def module_page(module: str, loaded: Any, home: Dict[Tuple[str, str], str]) -> Iterator[str]:
    yield from (module, "=" * len(module), "", ".. automodule:: " + module, "   :no-members:", "")
    elsewhere = [name for name in public_names(loaded) if home[module, name] != "%s.%s" % (module, name)]
    if elsewhere:
        yield from (".. list-table::", "   :widths: 30 70", "")
        for name in elsewhere:
            target = home[module, name]
            yield "   * - :py:obj:`%s <%s>`" % (name, target)
            yield "     - %s" % first_sentence(getattr(loaded, name))
        yield ""
    for name in public_names(loaded):
        if name not in elsewhere:
            yield from directive(module, name, getattr(loaded, name))


def first_sentence(value: Any) -> str:
    if isinstance(value, (int, str)):
        return "``%r``" % (value,)
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text)[0].replace("*", r"\*")


def directive(module: str, name: str, value: Any) -> Iterator[str]:
    full = "%s.%s" % (module, name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        yield from (".. %s:: %s" % (kind, full), "   :members:", "   :undoc-members:", "   :private-members:",
                    "   :show-inheritance:", *exclusion(value), "")
    elif any(check(value) for check in FUNCTIONS) or callable(value) and hasattr(value, "__code__"):
        yield from (".. autofunction:: " + full, "")
    else:
        # Not autodata, which would repeat the description of the class.
        yield from (".. py:data:: " + name, "   :type: " + type(value).__name__,
                    *(["   :value: %r" % (value,)] if isinstance(value, (int, str)) else []), "")


def exclusion(value: Any) -> List[str]:
    """Return the option that leaves out slots without an attribute: those of the settings, which the docstring lists."""
    slots = [name for name in vars(value).get("__slots__", ()) if not hasattr(value, name)]
    return ["   :exclude-members: " + ", ".join(slots)] if slots else []


def missing_names(modules: Dict[str, Any], html: Path) -> List[str]:
    """Return the public names that the reference does not describe."""
    described = {unquote(found) for page in html.glob("api/*.html")
                 for found in re.findall(r'<dt [^>]*id="([^"]+)"', page.read_text("utf-8"))}
    return sorted(set(homes(modules).values()) - described)


# ---------------------------------------------------------------- links

class Links(HTMLParser):
    """Collects the links and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: List[str] = []
        self.anchors: Set[str] = {"", "top"}

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Any]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)
            elif name == "id" or name == "name" and tag == "a":
                self.anchors.add(value or "")


def broken_links(html: Path) -> Iterator[str]:
    """Yield a line for each link inside of the site that leads nowhere."""
    pages: Dict[Path, Links] = {}
    for path in sorted(html.rglob("*.html")):
        pages[path] = Links()
        pages[path].feed(path.read_text("utf-8"))
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield "%s: there is no %s" % (path.relative_to(html), link)
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield "%s: there is no anchor for %s" % (path.relative_to(html), link)


# ---------------------------------------------------------------- all of it

def build(folder: Path) -> int:
    source, html = folder / "source", folder / "html"
    for old in (source, html):
        shutil.rmtree(old, ignore_errors=True)
    source.mkdir(parents=True)
    modules = load_modules()
    copy_pages(source)
    write_start_page(source)
    write_reference(source, modules)
    environment = {**os.environ, "SITE_ROOT": str(ROOT), "SITE_SOURCE": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html",
                           "-c", str(HERE), "-d", str(folder / "doctrees"), str(source), str(html)],
                          env=environment, check=False)
    problems = list(dict.fromkeys(broken_links(html)))
    problems += ["%s is not in the reference" % name for name in missing_names(modules, html)]
    print("\n".join(problems) or "%d pages, all links lead somewhere: %s" % (
        len(list(html.rglob("*.html"))), html / "index.html"))
    return 1 if problems or done.returncode else 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]).resolve()))
