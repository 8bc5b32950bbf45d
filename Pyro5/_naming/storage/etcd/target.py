"""Parse what stands after ``etcd:``: the endpoints of a cluster, the prefix of the keys, and how to log in."""
from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

from .... import NamedTuple

PORT = 2379
PREFIX = "/pyro5/"
FORM = "etcd:http://HOST1:2379,HOST2:2379/PREFIX"
_OPTIONS = ("password_file", "ca_file", "cert_file", "key_file")


class Target(NamedTuple):
    """A cluster, and the part of it that belongs to these name servers."""

    endpoints: Tuple[Tuple[str, int], ...]  # host and port
    is_https: bool
    prefix: str                     # of the keys; begins and ends with a slash
    user: Optional[str] = None
    password_file: Optional[str] = None
    ca_file: Optional[str] = None   # the certificates to trust; None for those of the system
    cert_file: Optional[str] = None
    key_file: Optional[str] = None

    def __str__(self) -> str:
        return "%s://%s%s" % ("https" if self.is_https else "http", ",".join(map(endpoint_text, self.endpoints)),
                              self.prefix[:-1])


def endpoint_text(endpoint: Tuple[str, int]) -> str:
    """Return host and port as text."""
    return ("[%s]:%d" if ":" in endpoint[0] else "%s:%d") % endpoint


def parse_target(text: Optional[str]) -> Target:
    """Parse the text after ``etcd:``.

    Raises:
        ValueError: it is not of the form ``http://HOST1:2379,HOST2:2379/PREFIX``.
    """
    # The tools of etcd write the scheme for each endpoint.
    scheme, _, rest = re.sub(",https?://", ",", text or "").partition("://")
    # Not by urlsplit(), which in newer releases of Python refuses several endpoints with an IPv6 address among them.
    netloc = re.split("[/?#]", rest, maxsplit=1)[0]
    url = urlsplit(rest[len(netloc):])
    if scheme not in ("http", "https") or not netloc or url.fragment:
        raise ValueError("storage type 'etcd' needs the addresses of a cluster: %s" % FORM)
    user, at, hosts = netloc.rpartition("@")
    options = _options(url.query)
    user, colon, _ = user.partition(":")
    # Everyone can read the command lines of a machine.
    if colon:
        raise ValueError("the password belongs into a file: etcd:http://USER@HOST:2379/PREFIX?password_file=FILE")
    if bool(at) != ("password_file" in options):
        raise ValueError("a user and a password_file belong together: etcd:http://USER@HOST:2379/PREFIX?password_file=FILE")
    if scheme == "http" and {"ca_file", "cert_file", "key_file"} & set(options):
        raise ValueError("certificates are for https: addresses")
    endpoints = [_endpoint(host) for host in hosts.split(",")]
    path = unquote(url.path).strip("/")
    return Target(tuple(endpoints), scheme == "https", "/%s/" % path if path else PREFIX, unquote(user) or None, **options)


def _options(query: str) -> Dict[str, str]:
    try:
        pairs: List[Tuple[str, str]] = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as x:
        raise ValueError("invalid options of storage type 'etcd': %s" % query) from x
    for option, value in pairs:
        if option not in _OPTIONS or not value:
            raise ValueError("invalid option of storage type 'etcd': %s; available: %s" % (option, ", ".join(_OPTIONS)))
    return dict(pairs)


def _endpoint(text: str) -> Tuple[str, int]:
    try:
        url = urlsplit("//" + text)
        host, port = url.hostname, url.port
    except ValueError as x:
        raise ValueError("invalid address of an etcd server: %s" % text) from x
    if not host or url.path or url.query:
        raise ValueError("invalid address of an etcd server: '%s'" % text)
    return host, PORT if port is None else port
