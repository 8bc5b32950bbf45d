"""The object that implements a name server: maps names to uris, with metadata tags, on top of a storage.
"""
from __future__ import annotations

import logging
import re
import threading
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple, Union

from .. import config, constants, errors
from .._server.exposure import behavior, expose
from .._values import plain
from .._values.uri import URI
from ..callcontext import current_context
from .capacity import LARGE_BYTES, Capacity, SearchTurns
from .regex_sandbox import Matcher
from .storage import Registration, adapt, listing
from .storage.specs import open_storage

log = logging.getLogger("Pyro5.registry")

# Limits of one registration: far more than programs need, and small enough that a few cannot exhaust the memory.
NAME_CHARS = 1000
URI_CHARS = 2000
TAG_CHARS = 1000
TAGS = 500
NAMES_AT_ONCE = 1000        # read from the storage while the lock is held

# Control characters, line and paragraph separators, and lone surrogates: they would break lines in listings and
# logs, and not every storage can store them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# The prefix of the name of an abstract Unix socket on Linux.
_ABSTRACT_SOCKET = "@./u:\0"

# Part of the wire format: clients search for it.
OWN_METADATA = frozenset(["class:Pyro5.nameserver.NameServer"])


@behavior(instance_mode="single")
class NameServer:
    """Maps names to uris, with metadata tags for each name.

    All methods are thread-safe; only those marked as exposed can be called remotely. The name ``Pyro.NameServer`` is reserved
    for itself: clients cannot remove or change that registration, only the process that runs the name server can.

    Attributes:
        lock: guards the storage, and operations on it that take several steps; reentrant. It is not held while a regular
            expression of a client runs. A program that accesses the storage while the name server is running must hold it.
    """

    def __init__(self, storageProvider: Any = None, *, matcher: Optional[Matcher] = None,
                 require_writer: Callable[[], None] = lambda: None, turns: Optional[SearchTurns] = None) -> None:
        """Args:
            storageProvider: as for `open_storage`. `close` closes the storage if it is opened here.
            matcher: runs the regular expressions of clients; None creates one with the default limits.
            require_writer: called before each change that `register`, `set_metadata` and `remove` make; raises a NamingError
                if the caller is not authorized.
            turns: limits searches of a large name server; the caller ends them when the reply has been encoded.
        """
        self._turns = turns
        self._owns_storage = storageProvider is None or isinstance(storageProvider, str)
        self._matcher = matcher or Matcher()
        self._require_writer = require_writer
        self.lock = threading.RLock()
        self._use_storage(open_storage(storageProvider) if self._owns_storage else storageProvider)

    @property
    def storage(self) -> Any:
        """The registrations: the object that the program passed in, or the `Storage` that was opened here."""
        return self._provider

    @storage.setter
    def storage(self, provider: Any) -> None:
        # A program may replace the storage while the name server runs; the lock keeps other calls out of a half-done change.
        with self.lock:
            if self._owns_storage and provider is not self._provider:
                self._storage.close()
                self._owns_storage = False
            self._use_storage(provider)

    def _use_storage(self, provider: Any) -> None:
        self._provider = provider
        self._capacity = Capacity(config.NS_MAX_SIZE or 0)
        self._storage = adapt(provider)
        self._reading: ContextManager[Any] = nullcontext() if self._storage.reads_alongside else self.lock

    @expose
    def count(self) -> int:
        """Return the number of registrations, including the name server's own."""
        with self._reading:
            return len(self._storage)

    @expose
    def ping(self) -> None:
        """Do nothing; a reply shows that the name server is running."""

    @expose
    def lookup(self, name: str, return_metadata: bool = False) -> Union[URI, Tuple[URI, Set[str]]]:
        """Return one registration.

        Returns:
            its URI, or a tuple of its URI and its set of metadata tags.

        Raises:
            NamingError: the name is not registered.
        """
        with self._reading:
            uri_text, metadata = self._registration(name)
        uri = URI(uri_text)  # parsed without the lock, which other clients wait for
        # Clients up to release 5.17 pass the seconds that they are willing to wait as return_metadata.
        if return_metadata and not isinstance(return_metadata, float):
            return uri, set(metadata)
        return uri

    @expose
    def register(self, name: str, uri: Union[URI, str], safe: bool = False,
                 metadata: Optional[Iterable[str]] = None) -> None:
        """Register a uri under a name.

        Args:
            safe: raise an error instead of replacing an existing registration.
            metadata: tags to find the registration by; they replace the previous tags in any case.

        Raises:
            NamingError: the name is already registered (safe) or reserved; or this client is not authorized.
            PyroError: the text is not a uri.
            TypeError: an argument is of the wrong type.
            ValueError: a text is empty or too long, or contains control characters.
        """
        # authorization first: nothing that an unauthorized client has sent is processed
        self._require_writer()
        _checked_text(name, "name", NAME_CHARS)
        uri_text = _uri_text(uri)
        tags = _checked_tags(metadata)
        _require_not_own(name, "replaced")
        self._storage.patiently(lambda: self._register(name, uri_text, tags, safe))
        log.debug("registered %s as %s", uri_text, name)

    @expose
    def set_metadata(self, name: str, metadata: Optional[Iterable[str]]) -> None:
        """Replace the metadata tags of a registration; None removes them.

        Raises:
            NamingError: the name is not registered, or reserved; or this client is not authorized.
            TypeError: an argument is of the wrong type.
            ValueError: there are too many tags, or one is empty or too long, or contains control characters.
        """
        self._require_writer()
        _checked_type(name, "name")
        tags = _checked_tags(metadata)
        _require_not_own(name, "changed")
        self._storage.patiently(lambda: self._replace_metadata(name, tags))

    @expose
    def remove(self, name: Optional[str] = None, prefix: Optional[str] = None, regex: Optional[str] = None) -> int:
        """Remove the registration of that name, or all whose name begins with the prefix or matches the regex.

        Returns:
            the number of removed registrations; 0 for a name that is not registered, or without arguments.

        Raises:
            NamingError: the regex is invalid, or takes too long; or this client is not authorized.
            ValueError: more than one argument is given.
            TypeError: an argument is not a str.
        """
        self._require_writer()
        _require_one_at_most(name, prefix, regex)
        # The expression runs before the lock is acquired. Names that are registered meanwhile are not removed.
        names = self._names_matching(regex) if regex else []
        _checked_type(name or "", "name")
        _checked_type(prefix or "", "prefix")
        return self._storage.patiently(lambda: self._remove(name, prefix, names))

    @expose
    def list(self, prefix: Optional[str] = None, regex: Optional[str] = None,
             return_metadata: bool = False) -> Dict[str, Any]:
        """Return all registrations, or those whose name begins with the prefix or matches the regex at its beginning.

        Returns:
            name -> uri text, or name -> tuple of uri text and set of metadata tags.

        Raises:
            NamingError: the regex is invalid, or takes too long.
            ValueError: both a prefix and a regex are given.
            TypeError: an argument is not a str.
        """
        _require_one_at_most(prefix, regex)
        names = self._names_matching(regex) if regex else []
        # From here on the result takes memory, so the number of searches in progress is limited.
        self._take_turn()
        if regex:
            found = self._find(names)
        else:
            with self._reading:
                found = self._storage.find_prefix(_checked_type(prefix or "", "prefix"))
        return listing(found, return_metadata)

    @expose
    def yplookup(self, meta_all: Optional[Iterable[str]] = None, meta_any: Optional[Iterable[str]] = None,
                 return_metadata: bool = True) -> Dict[str, Any]:
        """Search by metadata ("yellow pages").

        Args:
            meta_all: find registrations that have all of these tags.
            meta_any: find registrations that have at least one of these tags.

        Returns:
            as for `list`; empty if no tags are given.

        Raises:
            ValueError: both are given, or too many tags.
            TypeError: tags are not a collection of strings.
        """
        if meta_all and meta_any:
            raise ValueError("you can't use meta_all or meta_any at the same time")
        if meta_all:
            tags, match_all = _searched_tags(meta_all, "metadata_all"), True
        else:
            tags, match_all = _searched_tags(meta_any, "metadata_any"), False
        self._take_turn()
        with self._reading:
            found = self._storage.find_tags(tags, match_all)
        return listing(found, return_metadata)

    def register_self(self, uri: URI) -> None:
        """Create or update the name server's own registration."""
        self._storage.patiently(lambda: self._register(constants.NAMESERVER_NAME, str(uri), OWN_METADATA, False))

    def all_uris(self) -> Dict[str, str]:
        """Return the uri text of every name; the lock is only held for short periods."""
        return listing(self._find(self._names()), return_metadata=False)

    def remove_unchanged(self, name: str, uri_text: str) -> bool:
        """Remove a registration if it still has this uri; return whether it was removed."""
        return self._storage.patiently(lambda: self._remove_if(name, uri_text))

    def close(self) -> None:
        """Stop the helper processes for searches, and close the storage (unless the program passed it in). The name server
        must no longer be in use by other threads. Can be called more than once.
        """
        self.end_searches()
        if self._owns_storage:
            with self.lock:
                self._storage.close()

    def end_searches(self) -> None:
        """Make searches in progress fail, and all later ones that need a helper process."""
        self._matcher.close()

    def _take_turn(self) -> None:
        if self._turns is not None and self._capacity.used_bytes > LARGE_BYTES:
            self._turns.begin()

    # The methods below hold the lock for a single attempt; waiting for a storage locked by another process is done without
    # it.

    def _register(self, name: str, uri_text: str, tags: FrozenSet[str], safe: bool) -> None:
        with self.lock:
            if safe and name in self._storage:
                raise errors.NamingError("name already registered: %s" % name)
            self._capacity.store(self._storage, name, (uri_text, tags), name == constants.NAMESERVER_NAME)

    def _replace_metadata(self, name: str, tags: FrozenSet[str]) -> None:
        with self.lock:
            uri_text, _ = self._registration(name)
            self._capacity.store(self._storage, name, (uri_text, tags), name == constants.NAMESERVER_NAME)

    def _remove(self, name: Optional[str], prefix: Optional[str], names: List[str]) -> int:
        with self.lock:
            if name:
                if name not in self._storage or name == constants.NAMESERVER_NAME and _is_called_by_client():
                    return 0
                found = {name: self._storage[name]}
                del self._storage[name]  # not remove_names: a program may have overridden __delitem__
                self._capacity.removed(found)
                return 1
            if prefix:
                names = list(self._storage.find_prefix(prefix))
            # the costs are read before the removal, in the same period of the lock, so that the sum stays right
            names = [found for found in names if found != constants.NAMESERVER_NAME]
            found = self._storage.find_names(names)
            count = self._storage.remove_names(names)
            self._capacity.removed(found)
            return count

    def _remove_if(self, name: str, uri_text: str) -> bool:
        with self.lock:
            # autoclean has checked this uri; if the object was registered again meanwhile, the new one must stay
            if name not in self._storage or self._storage[name][0] != uri_text:
                return False
            found = {name: self._storage[name]}
            self._storage.remove_names([name])
            self._capacity.removed(found)
            return True

    def _registration(self, name: str) -> Registration:
        """Read one registration; the caller holds the lock if the storage needs it."""
        _checked_type(name, "name")
        try:
            return self._storage[name]
        except KeyError:
            raise errors.NamingError("unknown name: %s" % name) from None

    def _names_matching(self, regex: str) -> List[str]:
        """Run a client's regular expression on a snapshot of the names; the caller does not hold the lock."""
        return self._matcher.matching(_checked_type(regex, "regex"), self._names)

    def _names(self) -> List[str]:
        with self._reading:
            return self._storage.names()

    def _find(self, names: List[str]) -> Dict[str, Registration]:
        """Read those of the names that (still) exist, in portions, so that other threads get the lock in between."""
        found: Dict[str, Registration] = {}
        for start in range(0, len(names), NAMES_AT_ONCE):
            with self._reading:
                found.update(self._storage.find_names(names[start:start + NAMES_AT_ONCE]))
        return found


def _checked_type(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError("%s must be a str, not %s" % (what, type(text).__name__))
    return text


def _checked_text(text: str, what: str, most_chars: int) -> str:
    """Return the text after checking that it can be stored."""
    if not _checked_type(text, what):
        raise ValueError("%s must not be empty" % what)
    if len(text) > most_chars:
        raise ValueError("%s has %d characters, at most %d are allowed" % (what, len(text), most_chars))
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        raise ValueError("%s must have no control characters, but has %a at position %d"
                         % (what, unprintable.group(), unprintable.start()))
    return text


def _uri_text(uri: Union[URI, str]) -> str:
    """Return the text of a uri after checking it."""
    if isinstance(uri, URI):
        uri = str(uri)
    if not isinstance(uri, str):
        raise TypeError("only URIs or strings can be registered")
    URI(uri)
    _checked_text(uri.replace(_ABSTRACT_SOCKET, "@", 1), "uri", URI_CHARS)
    return uri


def _listed(tags: Optional[Iterable[str]], what: str) -> List[str]:
    if tags is None:
        return []
    # A client may send a proxy, which would open a connection when it is iterated.
    if type(tags) not in plain.COLLECTIONS and (_is_called_by_client() or isinstance(tags, (str, bytes))):
        raise TypeError("%s must be a set or list of str, not %s" % (what, type(tags).__name__))
    return list(tags)


def _tags(tags: Optional[Iterable[str]], what: str) -> FrozenSet[str]:
    """Return the set of metadata tags after checking their types; None means no tags."""
    return frozenset(_checked_type(tag, "each tag of " + what) for tag in _listed(tags, what))


def _searched_tags(tags: Optional[Iterable[str]], what: str) -> FrozenSet[str]:
    """Return the set of metadata tags to search for; None means no tags. The cost of a search grows with their number."""
    given = _listed(tags, what)
    # Checked before anything else: looking at a million tags would delay other clients.
    if len(given) > TAGS:
        raise ValueError("%s has %d tags, at most %d are allowed" % (what, len(given), TAGS))
    return _tags(given, what)


def _checked_tags(metadata: Optional[Iterable[str]]) -> FrozenSet[str]:
    """Return the set of metadata tags to store, after checking them; None means no tags."""
    tags = _tags(metadata, "metadata")
    if len(tags) > TAGS:
        raise ValueError("metadata has %d tags, at most %d are allowed" % (len(tags), TAGS))
    for tag in tags:
        _checked_text(tag, "each tag of metadata", TAG_CHARS)
    return tags


def _is_called_by_client() -> bool:
    """Return whether this thread is serving a remote call, rather than running code of the process itself."""
    return current_context.client is not None


def _require_not_own(name: str, done: str) -> None:
    if name == constants.NAMESERVER_NAME and _is_called_by_client():
        raise errors.NamingError("the name server's own registration cannot be %s: %s" % (done, name))


def _require_one_at_most(*criteria: Any) -> None:
    if sum(1 for criterion in criteria if criterion) > 1:
        raise ValueError("you can only filter on one thing at a time")
