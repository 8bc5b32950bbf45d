"""
The object that a name server is: it maps names to uris, with metadata tags, on top of a storage.
"""
from __future__ import annotations

import logging
import threading
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple, Union

from . import constants, errors
from .exposure import behavior, expose
from .storage import Registration, matching_names
from .storage.specs import open_storage
from .uri import URI

log = logging.getLogger("Pyro5.registry")

# Part of the wire format: clients search for it.
OWN_METADATA = frozenset(["class:Pyro5.nameserver.NameServer"])


@behavior(instance_mode="single")
class NameServer:
    """
    Maps names to uris, with metadata tags for each.

    Every method may be called in any thread; only those marked as exposed can be called remotely. The name
    ``Pyro.NameServer`` is its own: no client can remove or replace that registration.

    Attributes:
        storage: the `Storage` that holds the registrations.
    """

    def __init__(self, storageProvider: Any = None) -> None:
        """
        Args:
            storageProvider: as for `open_storage`.
        """
        self.storage = open_storage(storageProvider)
        # Guards storage. Not held while a regular expression of a client runs.
        self._lock = threading.RLock()

    @expose
    def count(self) -> int:
        """Give the number of registrations, the name server's own included."""
        with self._lock:
            return len(self.storage)

    @expose
    def ping(self) -> None:
        """Do nothing: whoever gets an answer knows that the name server is there."""

    @expose
    def lookup(self, name: str, return_metadata: bool = False) -> Union[URI, Tuple[URI, Set[str]]]:
        """
        Find one registration.

        Returns:
            its URI, or a tuple of its URI and its set of metadata tags.

        Raises:
            NamingError: the name is not registered.
        """
        with self._lock:
            uri_text, metadata = self._registration(name)
        uri = URI(uri_text)
        # Clients up to release 5.17 put the seconds that they are willing to wait in the place of return_metadata.
        if return_metadata and not isinstance(return_metadata, float):
            return uri, set(metadata)
        return uri

    @expose
    def register(self, name: str, uri: Union[URI, str], safe: bool = False,
                 metadata: Optional[Iterable[str]] = None) -> None:
        """
        Register a uri under a name.

        Args:
            safe: refuse to replace a registration that exists.
            metadata: tags to find the registration by; the tags that it had before are gone in any case.

        Raises:
            NamingError: the name is taken (safe), or is the name server's own.
            PyroError: the text is no uri.
            TypeError: an argument is of the wrong type.
        """
        _checked_text(name, "name")
        uri_text = _uri_text(uri)
        tags = _tags(metadata, "metadata")
        if name == constants.NAMESERVER_NAME:
            raise errors.NamingError("the name server's own registration cannot be replaced: %s" % name)
        with self._lock:
            if safe and name in self.storage:
                raise errors.NamingError("name already registered: %s" % name)
            self.storage[name] = uri_text, tags
        log.debug("registered %s as %s", uri_text, name)

    @expose
    def set_metadata(self, name: str, metadata: Optional[Iterable[str]]) -> None:
        """
        Replace the metadata tags of a registration; None takes them away.

        Raises:
            NamingError: the name is not registered.
            TypeError: an argument is of the wrong type.
        """
        tags = _tags(metadata, "metadata")
        with self._lock:
            uri_text, _ = self._registration(name)
            self.storage[name] = uri_text, tags

    @expose
    def remove(self, name: Optional[str] = None, prefix: Optional[str] = None, regex: Optional[str] = None) -> int:
        """
        Remove the registration of that name, or all whose name begins with the prefix or matches the regex.

        Returns:
            how many were removed; a name that is not registered, or no argument at all, is 0.

        Raises:
            NamingError: invalid regex.
            ValueError: more than one argument is given.
        """
        _require_one_at_most(name, prefix, regex)
        names = self._names_matching(regex) if regex else []
        with self._lock:
            if name:
                names = [_checked_text(name, "name")]
            elif prefix:
                names = list(self.storage.find_prefix(_checked_text(prefix, "prefix")))
            return self.storage.remove_names(found for found in names if found != constants.NAMESERVER_NAME)

    @expose
    def list(self, prefix: Optional[str] = None, regex: Optional[str] = None,
             return_metadata: bool = False) -> Dict[str, Any]:
        """
        Give all registrations, or those whose name begins with the prefix or matches the regex at its beginning.

        Returns:
            name -> uri text, or name -> tuple of uri text and set of metadata tags.

        Raises:
            NamingError: invalid regex.
            ValueError: both a prefix and a regex are given.
        """
        _require_one_at_most(prefix, regex)
        if regex:
            names = self._names_matching(regex)
            with self._lock:
                found = self.storage.find_names(names)
        else:
            with self._lock:
                found = self.storage.find_prefix(_checked_text(prefix or "", "prefix"))
        return _result(found, return_metadata)

    @expose
    def yplookup(self, meta_all: Optional[Iterable[str]] = None, meta_any: Optional[Iterable[str]] = None,
                 return_metadata: bool = True) -> Dict[str, Any]:
        """
        Search by metadata ("yellow pages").

        Args:
            meta_all: find what has all of these tags.
            meta_any: find what has at least one of these tags.

        Returns:
            as for `list`; empty if no tags are given.

        Raises:
            ValueError: both are given.
            TypeError: tags are not a collection of strings.
        """
        if meta_all and meta_any:
            raise ValueError("you can't use meta_all or meta_any at the same time")
        if meta_all:
            tags, match_all = _tags(meta_all, "metadata_all"), True
        else:
            tags, match_all = _tags(meta_any, "metadata_any"), False
        with self._lock:
            found = self.storage.find_tags(tags, match_all)
        return _result(found, return_metadata)

    def register_self(self, uri: URI) -> None:
        """Make, or bring up to date, the name server's own registration."""
        with self._lock:
            self.storage[constants.NAMESERVER_NAME] = str(uri), OWN_METADATA

    def remove_unchanged(self, name: str, uri_text: str) -> bool:
        """Remove a registration if it still has this uri; tell whether it had."""
        with self._lock:
            if name not in self.storage or self.storage[name][0] != uri_text:
                return False
            return self.storage.remove_names([name]) > 0

    def close(self) -> None:
        """Close the storage, when no other thread uses it."""
        with self._lock:
            self.storage.close()

    def _registration(self, name: str) -> Registration:
        """Read one registration; the caller holds the lock."""
        _checked_text(name, "name")
        try:
            return self.storage[name]
        except KeyError:
            raise errors.NamingError("unknown name: %s" % name) from None

    def _names_matching(self, regex: str) -> List[str]:
        """Run a client's regular expression on a snapshot of the names; the caller does not hold the lock."""
        _checked_text(regex, "regex")
        with self._lock:
            names = self.storage.names()
        return matching_names(names, regex)


def _checked_text(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError("%s must be a str" % what)
    return text


def _uri_text(uri: Union[URI, str]) -> str:
    """Give the text of a uri, which is checked."""
    if isinstance(uri, URI):
        return str(uri)
    if not isinstance(uri, str):
        raise TypeError("only URIs or strings can be registered")
    URI(uri)
    return uri


def _tags(tags: Optional[Iterable[str]], what: str) -> FrozenSet[str]:
    """Give the set of metadata tags, each of which is checked; None is no tags."""
    if isinstance(tags, str):
        raise TypeError("%s should not be a str, but another iterable (set, list, etc)" % what)
    return frozenset(_checked_text(tag, "each tag of " + what) for tag in tags or ())


def _require_one_at_most(*criteria: Any) -> None:
    if sum(1 for criterion in criteria if criterion) > 1:
        raise ValueError("you can only filter on one thing at a time")


def _result(found: Dict[str, Registration], return_metadata: bool) -> Dict[str, Any]:
    """Make the reply of a search. Metadata are plain sets, which every serializer can send."""
    if return_metadata:
        return {name: (uri_text, set(metadata)) for name, (uri_text, metadata) in found.items()}
    return {name: uri_text for name, (uri_text, _) in found.items()}
