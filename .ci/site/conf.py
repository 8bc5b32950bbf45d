"""Settings of Sphinx for the documentation site; build.py prepares the folder with the sources and starts Sphinx."""
import os
import re
import sys
from pathlib import Path

ROOT = Path(os.environ["SITE_ROOT"])
sys.path.insert(0, str(ROOT))

project = "Pyro5"
copyright = "Pyro5 contributors"
release = version = re.search(r'^__version__ = "([^"]+)"', (ROOT / "Pyro5/__init__.py").read_text("utf-8"), re.MULTILINE)[1]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = []
# As on code hosting sites: every heading is an anchor.
myst_heading_anchors = 6
highlight_language = "text"
pygments_style = "default"
pygments_dark_style = "github-dark"

# Single backticks in docstrings: a link, if there is something with this name, otherwise code.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
autodoc_typehints = "signature"
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# "type" is the name of several attributes, and of a class of Python.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = "Pyro5 " + release
html_static_path = [os.path.join(os.environ["SITE_SOURCE"], "_static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = False


def skip_member(app, what, name, obj, skip, options):
    """Decide whether a member is left out: names that begin with _pyro are public, if they are documented."""
    if name.startswith("_pyro"):
        return not (getattr(obj, "__doc__", None) or "").strip()
    return True if name.startswith("_") and name != "__init__" else skip


def setup(app):
    app.connect("autodoc-skip-member", skip_member)
