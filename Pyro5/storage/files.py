"""What the storages that keep a file have in common: the place of the file, and how they say what is wrong with it."""
from __future__ import annotations

import os

from .. import errors


def unusable(spec: str, reason: object) -> errors.NamingError:
    """Make the error which says that a storage, named as the user named it, cannot do its work, and why."""
    return errors.NamingError("storage %s: %s" % (spec, reason))


def checked_path(spec: str, filename: str) -> str:
    """
    Give the absolute path of the file, which stays right when the program changes its working folder.

    Raises:
        NamingError: there can be no such file, because its folder is not there or something else has its name.
    """
    path = os.path.abspath(filename)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise unusable(spec, "there is no folder %s" % folder)
    if os.path.exists(path) and not os.path.isfile(path):
        raise unusable(spec, "%s is not a file" % path)
    return path
