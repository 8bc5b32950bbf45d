"""The storage ``sql:FILE``: an SQLite database, compatible with releases 5.x in both directions.

The table ``pyro_names`` has a row for each name, ``pyro_metadata`` one for each tag of a name. Missing indexes that
the searches need are created when the file is opened.

Acknowledged changes are durable: each change is one transaction that has reached the disk when the method
returns (``synchronous=FULL``). With a write-ahead log, that takes a single disk write instead of the several of a
rollback journal, and other programs can read the file (for a backup, for example) without blocking a registration. The log
consists of two files beside the database while that is open.

One connection makes all changes, one at a time: a second one could not speed up the disk. Reads use
connections of their own in parallel: a lookup does not wait for the disk, for a writing process, or for a
large read. Where the write-ahead log is not available (some network file systems), readers would block
writers, and a single connection does everything.
"""
from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import sys
import threading
from typing import (Any, Callable, Dict, FrozenSet, ItemsView, Iterable, Iterator, List, Optional, Sequence, Tuple, TypeVar,
                    cast)

from . import ENTRY_BYTES, TAG_BYTES, Registration, StorageWithDetails
from .files import LOCK_SUFFIX, checked_path, locked_out_others, require_regular, unusable
from .sharing import DatabaseFiles, Locked, Patience, Readers, connect

# How long a change waits for another process that is writing to the file.
BUSY_SECONDS = 1.0
# Maximum numbers in one statement; every build of SQLite allows 999 variables.
NAMES_PER_QUERY = 500
TAGS_PER_QUERY = 50

# Suffixes of all files beside the database.
_OTHER_SUFFIXES = ("-wal", "-shm", "-journal", LOCK_SUFFIX)
# The smallest possible SQLite database: a single page of the minimum page size.
_SMALLEST_FILE_BYTES = 512
_TABLES = (
    "CREATE TABLE IF NOT EXISTS pyro_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uri TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pyro_metadata (object INTEGER NOT NULL REFERENCES pyro_names(id) ON DELETE CASCADE,"
    " metadata TEXT NOT NULL)")
# Created with the first lease. Other releases ignore it: after they have changed the others, a row may be outdated.
_DETAILS_TABLE = "CREATE TABLE IF NOT EXISTS pyro_details (name TEXT PRIMARY KEY, details TEXT NOT NULL)"
# Table, and the columns that an index of it must begin with.
_INDEXES = (("pyro_names", ["name"]), ("pyro_metadata", ["object"]), ("pyro_metadata", ["metadata", "object"]))
_COLUMNS = ("SELECT id, name, uri FROM pyro_names LIMIT 0", "SELECT object, metadata FROM pyro_metadata LIMIT 0")

# The plus before id makes SQLite use the index of the column object, even in an older file that declares no type for it.
_SELECT = ("SELECT n.name, n.uri, m.metadata FROM pyro_names AS n"
           " LEFT JOIN pyro_metadata AS m ON m.object = +n.id ")
_WITH_TAG = "n.id IN (SELECT t.object FROM pyro_metadata AS t WHERE "
_AND_TAG = " AND EXISTS (SELECT 1 FROM pyro_metadata AS o WHERE o.metadata = ? AND o.object = t.object)"

_LOCKED = "database is locked"
# SQLite's messages, and what they mean for a name server.
_PLAIN_WORDS = (
    (_LOCKED, "another process has locked it"),
    ("readonly database", "it is read-only"),
    ("file is not a database", "the file is not an SQLite database"),
    ("no such column", "the tables in this database are not those of a name server"))

T = TypeVar("T")
Operation = TypeVar("Operation", bound=Callable[..., Any])


def _patient(operation: Operation) -> Operation:
    """Decorate a method that is repeated while another process has the database locked."""
    @functools.wraps(operation)
    def run(storage: SqlStorage, *args: Any) -> Any:
        return storage.patiently(functools.partial(operation, storage, *args))
    return cast(Operation, run)


class SqlStorage(StorageWithDetails):
    """Stores the registrations in an SQLite database. Thread-safe."""

    reads_alongside = True

    def __init__(self, filename: str) -> None:
        """Open the file; it is created if it does not exist.

        Raises:
            NamingError: the file cannot be used, or is in use already. It is left unchanged.
        """
        self._spec = "sql:" + filename
        path = checked_path(self._spec, filename)
        # SQLite keeps its other files, and we the lock file, beside the target of any links.
        require_regular(self._spec, *[os.path.realpath(path) + suffix for suffix in _OTHER_SUFFIXES])
        _check_size(self._spec, path)
        # Before the file is opened: opening it may already create tables.
        self._file_lock = locked_out_others(self._spec, path)
        # Guards the connection: statements of one thread must not become part of a transaction of another.
        self._lock = threading.Lock()
        self._readers: Optional[Readers] = None
        self._has_details = False
        self._closed = False
        self._patience = Patience(BUSY_SECONDS)
        self._files = DatabaseFiles(self._spec, path)
        try:
            self._connection = connect(path, BUSY_SECONDS)
        except sqlite3.Error as x:
            self._file_lock.release()
            raise unusable(self._spec, _plain_words(x)) from x
        try:
            journal = self.patiently(self._prepare)
            self._connection.execute(_COLUMNS[0]).fetchall()  # creates the other files
            self._files.note()
            if journal == "wal":
                self._readers = Readers(path, self._files, _COLUMNS[0], BUSY_SECONDS)
        except BaseException:
            self.close()  # closes what was opened up to here, and releases the lock
            raise

    def _prepare(self) -> str:
        """Check that this is a writable name server database, and create missing tables and indexes; return its journal mode.
        """
        with self._change() as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            # An empty file is accepted: it is what the creation of temporary files leaves behind.
            if tables and "pyro_names" not in tables:
                raise unusable(self._spec, "the file is the database of another program")
            self._has_details = "pyro_details" in tables
            # Selecting the columns checks that tables which exist have them.
            for statement in _TABLES + _COLUMNS:
                database.execute(statement)
            for table, columns in _INDEXES:
                _make_index(database, table, columns)
        with self._exclusively() as database:
            # Each change is on the disk before it is acknowledged: a name that was registered survives a power failure.
            database.execute("PRAGMA synchronous = FULL")
            # This may fail (network file systems, other users of the file): then the journal mode stays as it is.
            with contextlib.suppress(sqlite3.OperationalError):
                database.execute("PRAGMA journal_mode = WAL").fetchall()
            journal: str = database.execute("PRAGMA journal_mode").fetchone()[0]
            # From now on no call blocks inside SQLite while holding our lock; see `Patience`.
            database.execute("PRAGMA busy_timeout = 0")
        return journal

    def patiently(self, operation: Callable[[], T]) -> T:
        return self._patience.run(operation)

    @_patient
    def __getitem__(self, name: str) -> Registration:
        with self._reading() as database:
            rows = database.execute(_SELECT + "WHERE n.name = ?", (name,)).fetchall()
        return _registrations(rows)[name]  # a KeyError for a name that does not exist

    @_patient
    def store(self, name: str, registration: Registration, details: Optional[str] = None) -> None:
        uri, metadata = registration
        with self._change() as database:
            if details is None:
                self._delete_details(database, [(name,)])
            else:
                # Created when needed: a file without leases stays as other releases make it.
                database.execute(_DETAILS_TABLE)
                database.execute("DELETE FROM pyro_details WHERE name = ?", (name,))
                database.execute("INSERT INTO pyro_details (name, details) VALUES (?, ?)", (name, details))
            # Not INSERT OR REPLACE, which would change the id, and so the order of the registrations.
            row = database.execute("SELECT id FROM pyro_names WHERE name = ?", (name,)).fetchone()
            if row is None:
                key = database.execute("INSERT INTO pyro_names (name, uri) VALUES (?, ?)", (name, uri)).lastrowid
            else:
                key = row[0]
                database.execute("UPDATE pyro_names SET uri = ? WHERE id = ?", (uri, key))
            # Also for a new name: a file may contain orphaned tags, and SQLite reuses ids.
            database.execute("DELETE FROM pyro_metadata WHERE object = ?", (key,))
            database.executemany("INSERT INTO pyro_metadata (object, metadata) VALUES (?, ?)",
                                 [(key, tag) for tag in frozenset(metadata)])
        self._has_details = self._has_details or details is not None

    def _delete_details(self, database: sqlite3.Connection, rows: List[Tuple[str]]) -> None:
        if self._has_details:
            database.executemany("DELETE FROM pyro_details WHERE name = ?", rows)

    @_patient
    def load_details(self) -> Dict[str, str]:
        if not self._has_details:
            return {}
        with self._reading() as database:
            # one query sees one state, so no transaction is needed
            return dict(database.execute("SELECT name, details FROM pyro_details"))

    def __delitem__(self, name: str) -> None:
        if not self.remove_names([name]):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    @_patient
    def __len__(self) -> int:
        with self._reading() as database:
            [(count,)] = database.execute("SELECT count(*) FROM pyro_names").fetchall()
        return int(count)

    @_patient
    def total_cost(self) -> int:
        text = sys.getsizeof("")
        with self._snapshot() as database:
            [(names, chars)] = database.execute(
                "SELECT count(*), total(length(name) + length(uri)) FROM pyro_names").fetchall()
            # Length in characters; most names are ASCII, for which that is the size in memory too.
            [(tags, tag_chars)] = database.execute("SELECT count(*), total(length(metadata)) FROM pyro_metadata").fetchall()
        return int(names * (ENTRY_BYTES + 2 * text) + chars + tags * (TAG_BYTES + text) + tag_chars)

    def items(self) -> ItemsView[str, Registration]:
        """Return a view of the current registrations, read in one query."""
        return self.find_prefix("").items()

    @_patient
    def names(self) -> List[str]:
        with self._reading() as database:
            return [name for (name,) in database.execute("SELECT name FROM pyro_names")]

    @_patient
    def find_names(self, names: Iterable[str]) -> Dict[str, Registration]:
        rows: List[Tuple[str, str, Optional[str]]] = []
        with self._snapshot() as database:  # several queries, between which no change may come
            for some in _portions(list(names)):
                rows += database.execute(_SELECT + "WHERE n.name IN (%s)" % _marks(some), some)
        return _registrations(rows)

    @_patient
    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        # SQLite compares the UTF-8 bytes, which is the order of the code points, so this is a range of the index.
        condition, limits = "WHERE n.name >= ?", [prefix]
        end = _end_of_prefix(prefix)
        if end is not None:
            condition, limits = "WHERE n.name >= ? AND n.name < ?", [prefix, end]
        with self._reading() as database:
            return _registrations(database.execute(_SELECT + condition, limits))

    @_patient
    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        if not tags:  # as for other storages: no condition is met by nothing
            return {}
        with self._snapshot() as database:
            return _with_all_tags(database, tags) if match_all else _with_any_tag(database, list(tags))

    @_patient
    def remove_names(self, names: Iterable[str]) -> int:
        rows = [(name,) for name in names]
        with self._change() as database:
            self._delete_details(database, rows)
            database.executemany(
                "DELETE FROM pyro_metadata WHERE object IN (SELECT +id FROM pyro_names WHERE name = ?)", rows)
            # Without rows nothing is executed, and the count is -1.
            return max(database.executemany("DELETE FROM pyro_names WHERE name = ?", rows).rowcount, 0)

    def close(self) -> None:
        # Marked as closed before the connections are closed, so that queries that begin now do not use them.
        if not self._closed:
            self._files.prepare_closing()  # another program may have truncated the shared memory
        self._closed = True
        if self._readers:
            self._readers.close()
        with self._lock:
            self._connection.close()
        self._file_lock.release()

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for changes, with exclusive access for this thread."""
        with self._lock, self._faults_reported():
            self._files.require_intact()
            yield self._connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for one query."""
        # A closed storage is empty: queries get a new database in memory, so that all of them still work.
        if self._closed:
            with contextlib.closing(connect(":memory:", 0)) as empty:
                for statement in _TABLES:
                    empty.execute(statement)
                yield empty
            return
        self._files.require_intact()
        with self._faults_reported():
            reader = self._readers.maybe_take() if self._readers else None
        # Without a connection of its own, the query uses the one for changes, and waits for the change in progress.
        if self._readers is None or reader is None:
            with self._exclusively() as database:
                yield database
            return
        try:
            with self._faults_reported():
                yield reader
        finally:
            self._readers.give_back(reader)

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for one change; an exception rolls it back."""
        if self._closed:
            raise unusable(self._spec, "it is closed")
        with self._exclusively() as database:
            # Before the change: the file may have been removed or replaced, and writing to it would be lost.
            self._files.require_in_place()
            # Takes the lock for writing at once: a transaction that reads first could fail when it begins to write.
            with _transaction(database, "BEGIN IMMEDIATE"):
                yield database
            # Not acknowledged unless the file that was written is still the one with that name.
            self._files.require_in_place()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for several queries that see the same state."""
        with self._reading() as database, _transaction(database, "BEGIN"):
            yield database

    @contextlib.contextmanager
    def _faults_reported(self) -> Iterator[None]:
        """Convert the errors of the block to NamingError."""
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError) as x:
            error = unusable(self._spec, _plain_words(x))
            # Locked is the one that is tried again.
            raise (Locked(str(error)) if _LOCKED in str(x) else error) from x


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, begin: str) -> Iterator[None]:
    database.execute(begin)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # Some errors of SQLite have already rolled back.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _check_size(spec: str, path: str) -> None:
    """Raise an error for a file that is too short for a database but not empty: SQLite treats some of those as new, and would
    overwrite them.

    The file must not be opened for this. Closing it would release the locks that other connections of this process hold on it.
    """
    if os.path.exists(path) and 0 < os.path.getsize(path) < _SMALLEST_FILE_BYTES:
        raise unusable(spec, "the file is not an SQLite database")


def _plain_words(error: Exception) -> str:
    text = str(error)
    # The first that fits. The text of SQLite is shown if none does: it is better than nothing.
    for theirs, ours in _PLAIN_WORDS:
        if theirs in text:
            return ours
    return text


def _make_index(database: sqlite3.Connection, table: str, columns: List[str]) -> None:
    """Create an index unless the table has one that begins with these columns."""
    for _, name, _, _, is_partial in database.execute("PRAGMA index_list(%s)" % table).fetchall():
        indexed = [row[2] for row in database.execute('PRAGMA index_info("%s")' % name)]
        if indexed[:len(columns)] == columns and not is_partial:
            return
    # The name contains the table and columns, so that two processes that create it make the same one.
    database.execute("CREATE INDEX %s_by_%s ON %s (%s)" % (table, "_".join(columns), table, ", ".join(columns)))


def _registrations(rows: Iterable[Tuple[str, str, Optional[str]]]) -> Dict[str, Registration]:
    """Build the registrations from the rows of a query: one row per tag, or one for a name without tags."""
    uris: Dict[str, str] = {}
    tags: Dict[str, Tuple[str, ...]] = {}
    for name, uri, tag in rows:
        # In the order of the rows, which is that in which the names were registered.
        uris[name] = uri
        if tag is not None:
            tags[name] = tags.get(name, ()) + (tag,)
    # Many names have the same tags and share one set.
    sets = {some: frozenset(some) for some in {(), *tags.values()}}
    return {name: (uri, sets[tags.get(name, ())]) for name, uri in uris.items()}


def _portions(values: List[str]) -> Iterator[List[str]]:
    """Yield the values in portions that fit into a single query."""
    for start in range(0, len(values), NAMES_PER_QUERY):
        yield values[start:start + NAMES_PER_QUERY]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _end_of_prefix(prefix: str) -> Optional[str]:
    """Return the smallest text that is greater than all texts with the prefix; None if there is none."""
    for index in reversed(range(len(prefix))):
        code = ord(prefix[index])
        if code < 0x10ffff:
            # the next code points are surrogates, which are not characters
            return prefix[:index] + chr(0xe000 if code == 0xd7ff else code + 1)
    return None


def _with_any_tag(database: sqlite3.Connection, tags: List[str]) -> Dict[str, Registration]:
    found: Dict[str, Registration] = {}
    for some in _portions(tags):
        found.update(_registrations(database.execute(
            "%s WHERE %s t.metadata IN (%s))" % (_SELECT, _WITH_TAG, _marks(some)), some)))
    return found


def _with_all_tags(database: sqlite3.Connection, tags: FrozenSet[str]) -> Dict[str, Registration]:
    """Search among the names with the rarest of the tags, so that the number of names with other tags does not matter."""
    rarest = _rarest(database, tags)
    # The number of variables in a statement is limited.
    others = list(tags - {rarest})[:TAGS_PER_QUERY]
    found = _registrations(database.execute(
        "%s WHERE %s t.metadata = ?%s)" % (_SELECT, _WITH_TAG, _AND_TAG * len(others)), [rarest] + others))
    # Necessary if there were too many tags for the query.
    return {name: registration for name, registration in found.items() if tags.issubset(registration[1])}


def _rarest(database: sqlite3.Connection, tags: FrozenSet[str]) -> str:
    """Return the tag with the fewest names; the cost depends on their number, not on those of the other tags."""
    query = "SELECT count(*) FROM (SELECT 1 FROM pyro_metadata WHERE metadata = ? LIMIT ?)"
    # Counting stops at a limit that grows: the count of a tag that all names have would read the whole index.
    limit = 16
    while True:
        counts = {tag: database.execute(query, (tag, limit)).fetchone()[0] for tag in sorted(tags)}
        rarest = min(counts, key=counts.__getitem__)
        if counts[rarest] < limit:
            return rarest
        limit *= 8
