"""Packaging: ``pip install .`` or ``make dist``.

The environment variable PYRO5_SITE is the address where the documentation site of this version will be; without it, the
description of the package has no links to pages of the documentation.
"""
import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version():
    """Return the version that the package states, without importing it (its dependencies may be missing here)."""
    text = (HERE / "Pyro5" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def read_description():
    """Return the README with links that also work outside of the source tree: to the documentation site, or as paths."""
    site = os.environ.get("PYRO5_SITE", "").rstrip("/")

    def replace(match):
        text, target = match.groups()
        if "://" in target:
            return match[0]
        if not site:
            return text if text == target else "%s (`%s`)" % (text, target)
        return "[%s](%s/%s)" % (text, site, re.sub(r"\.md\b", ".html", target))

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", replace, (HERE / "README.md").read_text(encoding="utf-8"))


setup(
    name="Pyro5",
    version=read_version(),
    description="Python remote objects: call methods of objects in other processes and on other machines",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="Pyro5 contributors",
    license="MIT",
    python_requires=">=3.8",
    install_requires=["serpent>=1.41"],
    extras_require={"msgpack": ["msgpack"]},
    packages=find_packages(include=["Pyro5", "Pyro5.*"]),
    package_data={"Pyro5": ["py.typed"], "Pyro5._gateway": ["*.html"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "pyro5 = Pyro5.__main__:main",
            "pyro5-ns = Pyro5.nameserver:main",
            "pyro5-nsc = Pyro5.nsc:main",
            "pyro5-echoserver = Pyro5.utils.echoserver:main",
            "pyro5-check-config = Pyro5.configure:main",
            "pyro5-httpgateway = Pyro5.utils.httpgateway:main",
        ],
    },
    classifiers=[
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Software Development :: Object Brokering",
        "Topic :: System :: Distributed Computing",
        "Topic :: System :: Networking",
    ],
)
