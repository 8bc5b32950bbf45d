"""A plain connection to a name server, for lookups."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

from .. import config, errors, serializers, socketutil
from .._messages.requests import WireOptions
from .._values import plain
from .._values.uri import URI
from ..constants import NAMESERVER_NAME
from .call_options import RANDOM, earlier
from .connection import Connection, first_values, open_connection

__all__ = ["NameServerConnection", "direct_uri"]


class NameServerConnection:
    """A connection to a name server.

    Args:
        limit_seconds: time limit for connecting and for the handshake.
        reply_seconds: time limit for each of these, and for each reply.  The setting COMMTIMEOUT applies to all in any case.
    """

    def __init__(self, uri: URI, limit_seconds: Optional[float] = None, reply_seconds: Optional[float] = None) -> None:
        self.uri = uri
        timeout = earlier(reply_seconds, socketutil.effective_timeout(-1))
        self._serializer = serializers.get_serializer(config.SERIALIZER)
        self._wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        self._seq = 0
        # the shorter limit is for the handshake, by which a name server proves to be one; then the usual timeout applies
        self._connection: Connection = open_connection(uri, earlier(limit_seconds, timeout), self._wire.max_size)
        try:
            _, metadata = self._connection.handshake(self._serializer, 0, NAMESERVER_NAME, first_values.handshake, self._wire)
            methods: Any = metadata.get("methods") if type(metadata) is dict else None
            self._has_members = plain.is_texts(methods) and "candidates" in methods
            self._connection.timeout = timeout
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, *args: Any) -> Any:
        self._seq += 1
        return self._connection.call(self._serializer, self._seq, NAMESERVER_NAME, method, args, self._wire)

    def lookup(self, name: str) -> URI:
        return direct_uri(self.ask("lookup", name), "name '%s'" % name)

    def candidates(self, name: str, pick: str) -> List[URI]:
        """Return the URIs of all members of a name; of a name server of another release, the only one."""
        if not self._has_members:
            return [self.lookup(name)]
        found = self.ask("candidates", name, *([] if pick == RANDOM else [pick]))
        if not plain.is_texts(found) or not found:
            raise errors.ProtocolError("the name server's answer for the name '%s' is not a list of URIs: %s" % (
                name, plain.text_of(found)))
        return [direct_uri(each, "name '%s'" % name) for each in found]

    def yplookup(self, meta_all: Optional[Set[str]], meta_any: Optional[Set[str]]) -> Dict[str, str]:
        # Only names and URIs are needed: with metadata, the answer of a large name server would be many times longer.
        found: Dict[str, str] = self.ask("yplookup", meta_all, meta_any, False)
        # untrusted: check the exact types first, so that no code of the values' own classes runs
        if type(found) is not dict or not plain.is_texts([*found, *found.values()]):
            raise errors.ProtocolError("the name server's answer is not a dict of names and URIs: %s" % plain.text_of(found))
        if not found:
            raise errors.NamingError("no object is registered with %s of the tags %s" % (
                "all" if meta_all else "any", ", ".join(sorted(meta_all or meta_any or ()))))
        return found


def direct_uri(answer: Any, subject: str) -> URI:
    if type(answer) is not str and type(answer) is not URI:
        raise errors.ProtocolError("the name server's answer for the %s is not a URI: %s" % (subject, plain.text_of(answer)))
    uri = URI(answer)
    if uri.protocol != "PYRO":
        raise errors.NamingError("the name server has no PYRO URI for the %s, but %s" % (subject, uri))
    return uri
