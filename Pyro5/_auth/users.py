"""The users file: names, password verifiers, roles, and rules that say which role may use what.

A JSON object: ``{"users": {"alice": {"roles": ["operator"], "scram-sha-256": {...}}}, "rules": {"operator": ["stage.*"]}}``.
"""
from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import os
import re
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Pattern, Tuple

from .. import NamedTuple, errors
from . import exchange, files
from .exchange import Verifier

NAMES = "ns:register "  # rules that begin with this are about names in a name server
_MECHANISM = "scram-sha-256"
# Nothing that could be taken for a separator in logs, rules or URIs.
_USER_NAME = re.compile(r"[^\W_][\w.@+-]{0,63}\Z")

Rule = Tuple[Pattern[str], str]  # what it applies to, and the role that may use it


class User(NamedTuple):
    """One user."""

    roles: FrozenSet[str]
    verifier: Verifier


class Users(NamedTuple):
    """The content of a users file.

    Attributes:
        by_name: the users.
        members: rules for "object.member".
        names: rules for names that are registered in a name server.
    """

    by_name: Dict[str, User]
    members: Tuple[Rule, ...]
    names: Tuple[Rule, ...]

    def roles_for(self, rules: Iterable[Rule], text: str) -> Optional[FrozenSet[str]]:
        """Return the roles that may use something, None if no rule mentions it."""
        # Several rules may apply; each of their roles is enough.
        roles = frozenset(role for pattern, role in rules if pattern.match(text))
        return roles or None


def open_file(path: str) -> files.SecretFile[Users]:
    """Return a users file, which is read again when it has changed.

    Raises:
        SecurityError: it cannot be read, others can read it, or it is malformed.
    """
    file = files.SecretFile(path, parse, "users file")
    file.get()  # fails at the start, not at the first handshake
    return file


def parse(content: bytes) -> Users:
    """Return the users in a file. Raises ValueError: it is malformed; the text contains no secret."""
    users, rules = _document(content)
    # All users at once: a mistake in one entry makes the file invalid, and the last valid content stays in use.
    by_name = {name: _parse_user(name, entry) for name, entry in users.items()}
    members: List[Rule] = []
    names: List[Rule] = []
    for role, patterns in rules.items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ValueError("the rules of role '%s' are not a list of texts" % role)
        for pattern in patterns:
            is_name = pattern.startswith(NAMES)
            # One list in the file, two here: members are checked for each call, names only by a name server.
            compiled = re.compile(fnmatch.translate(pattern[len(NAMES):] if is_name else pattern))
            # As in file names: * and ?, which are easy to write. Regular expressions could take
            # exponential time.
            (names if is_name else members).append((compiled, role))
    return Users(by_name, tuple(members), tuple(names))


def _document(content: bytes) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    try:
        # An empty file has no users: no client is accepted.
        document = json.loads(content.decode("utf-8")) if content.strip() else {}
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None  # the text of the error would contain a part of the file
    users, rules = (document.get(key, {}) if isinstance(document, dict) else None for key in ("users", "rules"))
    if not isinstance(users, dict) or not isinstance(rules, dict):
        raise ValueError("it is not an object with 'users' and 'rules'")
    return users, rules


def _parse_user(name: str, entry: Any) -> User:
    try:
        roles, stored = entry.get("roles", []), entry[_MECHANISM]
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise TypeError
        # validate: without it, characters that are no base64 would be skipped, and a damaged verifier accepted.
        salt, stored_key, server_key = (base64.b64decode(stored[key], validate=True)
                                        for key in ("salt", "stored_key", "server_key"))
        iterations = stored["iterations"]
        # The type first: bool is a subclass of int.
        if type(iterations) is not int or not exchange.MIN_ITERATIONS <= iterations <= exchange.MAX_ITERATIONS:
            raise ValueError
        if len(salt) < exchange.SALT_BYTES // 2 or len(stored_key) != 32 or len(server_key) != 32:
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        # The cause is dropped: its text may contain a part of the verifier.
        raise ValueError("the entry of user '%s' is malformed" % name) from None
    return User(frozenset(roles), Verifier(salt, iterations, stored_key, server_key))


# ---------------------------------------------------------------- changing a file


def load(path: str) -> Dict[str, Any]:
    """Return the document in a users file; an empty one if there is no such file.

    Raises:
        SecurityError: it cannot be read, others can read it, or it is malformed.
    """
    try:
        # Checked before it is changed: saving would otherwise hide what is wrong.
        content = files.read_private(path, "users file")[0]
        parse(content)
    except errors.SecurityError:
        # A missing file is the normal case of the first user; lexists, since a broken link is a mistake.
        if not os.path.lexists(path):
            return {"users": {}, "rules": {}}
        raise
    except ValueError as x:
        raise errors.SecurityError("the users file %s is not valid: %s" % (path, x)) from None
    return {"users": {}, "rules": {}, **(json.loads(content.decode("utf-8")) if content.strip() else {})}


def add_user(document: Dict[str, Any], name: str, password: str, roles: Iterable[str]) -> None:
    """Add a user to a document, or change its password and roles.

    Raises:
        ValueError: the name or the password cannot be used.
    """
    if not _USER_NAME.match(name):
        raise ValueError("'%s' is not a name for a user: letters, digits and . _ @ + - are allowed, 64 at most" % name)
    if not password:
        raise ValueError("the password is empty")
    verifier = exchange.make_verifier(password)
    text = {key: base64.b64encode(getattr(verifier, key)).decode() for key in ("salt", "stored_key", "server_key")}
    # Adding and changing are the same, apart from the check that the caller makes.
    document["users"][name] = {"roles": sorted(set(roles)), _MECHANISM: {**text, "iterations": verifier.iterations}}


def save(path: str, document: Dict[str, Any]) -> None:
    """Write a document to a users file, in one step."""
    # Sorted, so that versions of the file can be compared.
    files.replace(path, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("utf-8"))
