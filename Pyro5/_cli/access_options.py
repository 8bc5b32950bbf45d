"""Options of the command line tools that say who the user of the tool is."""
from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from .. import config
from .._client.connecting import first_values

if TYPE_CHECKING:
    import argparse  # the name server, which uses this module too, is loaded by every program


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tool that connects to servers."""
    _add_key_option(parser)
    parser.add_argument("--user", metavar="NAME", help="connect as this user; the password is asked for, unless the setting "
                        "AUTH_PASSWORD_FILE names a file (default: the setting AUTH_USER)")
    parser.add_argument("--handshake", type=_json, metavar="JSON", help="value for the server's validateHandshake; a text "
                        "that is not JSON is sent as it is (default: \"hello\")")


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tool that is a server."""
    _add_key_option(parser)
    parser.add_argument("--users-file", metavar="FILE", help="file with the users that may connect, see 'pyro5 user' "
                        "(default: the setting AUTH_USERS_FILE)")


def _add_key_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key-file", metavar="FILE", help="file with the key that clients and servers share, see 'pyro5 key' "
                        "(default: the setting AUTH_KEY_FILE)")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def use(options: argparse.Namespace) -> None:
    """Apply the options to this process: to all its connections, also those for finding an object.

    Raises:
        SecurityError: the key file cannot be used.
        ValueError: a password is needed, and there is no terminal.
    """
    if options.key_file is not None:
        config.AUTH_KEY_FILE = options.key_file
    if config.AUTH_KEY_FILE:
        from .._auth.files import load_key  # only with a key
        load_key(config.AUTH_KEY_FILE)  # reported now, and not as an error of the first connection
    if getattr(options, "users_file", None) is not None:
        config.AUTH_USERS_FILE = options.users_file
    if getattr(options, "user", None) is not None:
        _use_user(options.user)
    if getattr(options, "handshake", None) is not None:
        first_values.handshake = options.handshake


def _use_user(name: str) -> None:
    config.AUTH_USER = name
    if config.AUTH_PASSWORD_FILE:
        return
    if not sys.stdin.isatty():
        raise ValueError("the password of %s is needed: set AUTH_PASSWORD_FILE (PYRO_AUTH_PASSWORD_FILE) to a file that "
                         "contains it" % name)
    # only with a user
    import getpass
    from .._auth import credentials
    credentials.typed_passwords[name] = getpass.getpass("Password of %s: " % name)
