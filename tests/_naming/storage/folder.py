"""A folder for the files of a test."""
from __future__ import annotations

import os
import tempfile
import unittest
from typing import Dict


class FolderTestCase(unittest.TestCase):
    """Each test has a folder of its own, and the path of a file in it that is not there yet."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = directory.name
        self.path = os.path.join(self.folder, "names")

    def files(self) -> Dict[str, bytes]:
        """Return what is in the files of the folder: name -> content."""
        found = {}
        for name in sorted(os.listdir(self.folder)):
            if os.path.isfile(os.path.join(self.folder, name)):
                with open(os.path.join(self.folder, name), "rb") as file:
                    found[name] = file.read()
        return found

    def write(self, name: str, content: bytes) -> None:
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)
