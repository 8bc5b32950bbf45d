"""What the storages that keep a file have in common: the place of the file, and how they say what is wrong with it."""
from __future__ import annotations

import os
from typing import Iterable

from .. import errors


def unusable(spec: str, reason: object) -> errors.NamingError:
    """Make the error which says that a storage, named as the user named it, cannot do its work, and why."""
    return errors.NamingError("storage %s: %s" % (spec, reason))


def checked_path(spec: str, filename: str, suffixes: Iterable[str] = ("",)) -> str:
    """
    Give the absolute path of the file, which stays right when the program changes its working folder.

    Args:
        suffixes: what may stand behind the name; one name can mean several files.

    Raises:
        NamingError: such files cannot be there, or cannot be written to. None of them has been opened.
    """
    path = os.path.abspath(filename)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise unusable(spec, "there is no folder %s" % folder)
    for file in filter(os.path.exists, [path + suffix for suffix in suffixes]):
        if not os.path.isfile(file):
            raise unusable(spec, "%s is not a file" % file)
        if not os.access(file, os.R_OK):
            raise unusable(spec, "no permission to read %s" % file)
        if not os.access(file, os.W_OK):
            raise unusable(spec, "%s is read-only" % file)
    # Each storage has further files beside the one with the name.
    if not os.access(folder, os.W_OK):
        raise unusable(spec, "the folder %s is read-only" % folder)
    return path
