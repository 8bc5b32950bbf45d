"""The settings, ``Pyro5.config``: a table of their names, defaults, kinds and meanings.

The values come from the table and from environment variables with the prefix ``PYRO_``, which are read once when the package
is imported. A program changes them by assigning attributes: ``Pyro5.config.COMMTIMEOUT = 2.5``.

Threads: reading and assigning single settings is thread-safe. Every change increases the ``version`` of the configuration;
proxies and daemons compare it once per call, and read their settings again after a change.
"""
from __future__ import annotations

import importlib
import itertools
import logging
import os
import platform
import re
import sys
from typing import Any, ClassVar, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from . import __version__
from ._settings.kinds import BOOL, FLOAT, HOST, INT, LEVEL, LIST, OPTIONAL_INT, OPTIONAL_TEXT, TEXT, Kind, accept_bool
from .constants import PROTOCOL_VERSION

__all__ = ["Configuration", "dump", "global_config"]

log = logging.getLogger("Pyro5.configure")

ENVIRONMENT_PREFIX = "PYRO_"
# For a service named "pyro-ns", Kubernetes and Docker set PYRO_NS_PORT to the address of that service.
_SERVICE_ADDRESS = re.compile("(tcp|udp|sctp)://")
# The next number, for all configurations: two threads that change settings concurrently never produce the same number.
_versions = itertools.count(1)


class Version:
    """Holds a number that changes with each change of a configuration.

    Code that runs for every call reads it here: an attribute of the configuration itself takes four times as long (90 ns
    instead of 20), because reading one may end in ``__getattr__``.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = next(_versions)

    def renew(self) -> None:
        """Set a new number."""
        self.number = next(_versions)


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: Any
    kind: Kind
    doc: str


SETTINGS = tuple(Setting(*row) for row in (
    ("AUTH_KEY_FILE", "", OPTIONAL_TEXT, "file with the key that clients and servers share; empty = no key"),
    ("AUTH_PASSWORD_FILE", "", OPTIONAL_TEXT, "file with the password of AUTH_USER"),
    ("AUTH_REQUIRED", True, BOOL,
     "with a key or users: servers refuse clients that have none, clients refuse servers that do not prove to have them"),
    ("AUTH_USER", "", OPTIONAL_TEXT, "name of the user as which clients of this process connect; empty = none"),
    ("AUTH_USERS_FILE", "", OPTIONAL_TEXT,
     "file with the users that servers accept; those that exist already do not notice a change of this setting"),
    ("BROADCAST_ADDRS", ("<broadcast>", "0.0.0.0"), LIST, "addresses to which clients broadcast to find a name server"),
    ("BROADCAST_LOOKUP", True, BOOL, "search for the name server by broadcast too; any program on the network can answer"),
    ("COMMTIMEOUT", 0.0, FLOAT, "seconds that a network operation, such as a call, may take; 0 = no limit"),
    ("COMPRESSION", False, BOOL, "compress the messages that are sent"),
    ("DETAILED_TRACEBACK", False, BOOL, "include the values of local variables in the tracebacks sent to clients"),
    ("EXCLUSIVE_USE", True, BOOL, "let clients use objects of a server exclusively, so that the calls of others are refused"),
    ("GATEWAY_HOSTS", (), LIST,
     "host names that HTTP gateways accept in requests, besides localhost and their own address; * = any"),
    ("HANDSHAKE_TIMEOUT", 20.0, FLOAT, "seconds in which a new client must complete the handshake; 0 = no limit"),
    ("HOST", "localhost", HOST, "host name or address that daemons listen on"),
    ("ITER_STREAMING", True, BOOL, "send the iterators that methods return as item streams; if off, they are refused"),
    ("ITER_STREAM_BATCH", 1, INT, "items of a stream that a client fetches in one round trip; 1 = each when it is requested"),
    ("ITER_STREAM_LIFETIME", 0.0, FLOAT, "seconds that an item stream can exist; 0 = no limit"),
    ("ITER_STREAM_LINGER", 30.0, FLOAT,
     "seconds that an item stream is kept after its connection is lost; 0 = it is closed at once"),
    ("LOGFILE", "pyro5.log", OPTIONAL_TEXT, "file for the log, or {stderr}; read only from the environment, at import"),
    ("LOGLEVEL", None, LEVEL, "level of the log; read only from the environment variable, at import; None = no log"),
    ("LOGWIRE", False, BOOL, "log the messages that are sent and received, at level DEBUG"),
    ("MAX_BUFFERED_SIZE", 2147483648, OPTIONAL_INT,
     "bytes of incomplete messages and of oneway calls that a server keeps for all clients together; 0 = no limit"),
    ("MAX_CONNECTIONS", 0, OPTIONAL_INT,
     "clients that can be connected to a server; 0 = as many as the limit of open files allows"),
    ("MAX_CONTAINERS", 2000000, OPTIONAL_INT,
     "lists, dicts, tuples and sets in one message; in a compressed one, 100000 plus 4 per byte sent; 0 = no limit"),
    ("MAX_GATEWAY_MEMORY", 268435456, OPTIONAL_INT,
     "bytes of request bodies and large results that an HTTP gateway keeps; 0 = no limit"),
    ("MAX_HANDSHAKE_SIZE", 262144, OPTIONAL_INT,
     "bytes of a client's first message; its annotations may have 16 times as many; 0 = no limit"),
    ("MAX_INFLATED_SIZE", 4194304, OPTIONAL_INT,
     "bytes that a compressed request may always decompress to (replies: 16 times as many); a larger request may "
     "have at most 32 times its compressed size; 0 = no limit"),
    ("MAX_MESSAGE_SIZE", 1073741824, OPTIONAL_INT, "bytes of one message, compressed and decompressed; 0 = no limit"),
    ("MAX_ONEWAY", 1000, OPTIONAL_INT,
     "oneway calls that a server runs at once, and that one client can have unfinished; 0 = no limit"),
    ("MAX_RETRIES", 0, OPTIONAL_INT, "how many times a proxy repeats a call after a timeout or a lost connection"),
    ("MAX_STATISTICS", 1000, OPTIONAL_INT, "methods that a server counts apart from each other; others are counted together"),
    ("MAX_STREAMS", 1000, OPTIONAL_INT, "item streams that one client can have open; 0 = no limit"),
    ("NATHOST", None, HOST, "host name under which clients outside of the NAT reach this server"),
    ("NATPORT", 0, OPTIONAL_INT, "port to use with NATHOST; 0 = the port that the daemon listens on"),
    ("NS_AUTOCLEAN", 0.0, FLOAT, "seconds between checks that remove dead registrations, at least 3; 0 = never"),
    ("NS_BCHOST", None, HOST, "host name or address that the name server's broadcast responder listens on"),
    ("NS_BCPORT", 9091, INT, "UDP port of the name server's broadcast responder"),
    ("NS_ETCD_TIMEOUT", 5.0, FLOAT, "seconds that a change of a name server with the storage etcd: waits for the cluster"),
    ("NS_HOST", "localhost", HOST,
     "host where clients look for the name server, or a list of hosts; the default is PYRO_HOST, if that is set"),
    ("NS_LOOKUP_DELAY", 0.0, FLOAT, "seconds that a lookup waits for a name, or for the name server, to appear"),
    ("NS_MAX_SIZE", 134217728, OPTIONAL_INT,
     "bytes of memory for all registrations of a name server; read when it is created; 0 = no limit"),
    ("NS_PORT", 9090, INT, "TCP port of the name server"),
    ("NS_WATCH_CHANGES", 10000, OPTIONAL_INT,
     "changes that the name server keeps for its watchers; one that is further behind starts again"),
    ("ONEWAY_THREADED", True, BOOL, "run oneway calls in separate threads"),
    ("OUT_OF_BAND_BUFFERS", True, BOOL,
     "send buffers of more than 16 KB (numpy arrays, bytes) beside the payload of messages, to peers that support it; "
     "read when a connection is opened"),
    ("POLLTIMEOUT", 2.0, FLOAT, "seconds between the housekeeping runs of an idle server"),
    ("PREFER_IP_VERSION", 0, OPTIONAL_INT, "4 or 6: the IP version to use if a host has both; 0 = the system chooses"),
    ("PROCESS_RESTARTS", 10, OPTIONAL_INT,
     "processes of a daemon that are replaced within a minute when they die; then it gives up; 0 = no limit"),
    ("PROXY_CONNECTIONS", 8, INT, "maximum number of connections of a proxy, for calls of several threads at the same time"),
    ("PROXY_SHARING", "shared", TEXT, "who can use a proxy: shared (any thread) or strict (only the thread that owns it)"),
    ("SERIALIZER", "serpent", TEXT, "serializer that proxies use: serpent, json, marshal or msgpack"),
    ("SERIALIZERS_ACCEPTED", ("serpent", "json", "marshal", "msgpack"), LIST, "serializers that servers accept"),
    ("SERPENT_BYTES_REPR", False, BOOL, "write bytes as Python literals instead of base64 (serpent only)"),
    ("SERVERTYPE", "thread", TEXT, "how daemons run calls: thread (in a pool of threads) or multiplex (one after the other)"),
    ("SHARED_MEMORY", True, BOOL,
     "send buffers of at least 256 KB through shared memory to peers on the same host (Linux only, same user); read when a "
     "connection is opened"),
    ("SHUTDOWN_TIMEOUT", 3.0, FLOAT, "seconds that running calls have to finish when a server stops"),
    ("SOCK_NODELAY", False, BOOL, "no effect, accepted for existing programs: TCP_NODELAY is always set"),
    ("SOCK_REUSE", True, BOOL, "set SO_REUSEADDR on listening sockets"),
    ("SPINNING", True, BOOL,
     "poll a socket up to 250 times before blocking on it (only on machines with more than one processor)"),
    ("SSL", False, BOOL, "encrypt connections with TLS"),
    ("SSL_CACERTS", "", OPTIONAL_TEXT, "file or directory with the certificates of trusted authorities"),
    ("SSL_CLIENTCERT", "", OPTIONAL_TEXT, "certificate file of clients"),
    ("SSL_CLIENTKEY", "", OPTIONAL_TEXT, "private key file of clients"),
    ("SSL_CLIENTKEYPASSWD", "", OPTIONAL_TEXT, "password for the private key of clients"),
    ("SSL_REQUIRECLIENTCERT", False, BOOL, "refuse clients without a trusted certificate"),
    ("SSL_SERVERCERT", "", OPTIONAL_TEXT, "certificate file of servers"),
    ("SSL_SERVERKEY", "", OPTIONAL_TEXT, "private key file of servers"),
    ("SSL_SERVERKEYPASSWD", "", OPTIONAL_TEXT, "password for the private key of servers"),
    ("STALL_SECONDS", 0.0, FLOAT, "seconds after which a call that still runs is logged, with its stack; 0 = never"),
    ("STATISTICS", True, BOOL, "count calls, their durations and errors, see Pyro.Daemon.stats()"),
    ("THREADPOOL_SIZE", 80, INT, "maximum number of calls that a thread server runs at once"),
    ("THREADPOOL_SIZE_MIN", 4, INT, "number of threads that a thread server keeps when it is idle"),
))
_BY_NAME = {setting.name: setting for setting in SETTINGS}

# Unsuitable values are not rejected by assignments, but by the code that uses them, so that programs may try values.
_SERIALIZERS = ("serpent", "json", "marshal", "msgpack")
program_serializers: Set[str] = set()  # names of those that the program has registered, see Pyro5.serializers
_CHOICES: Mapping[str, Sequence[Any]] = {
    "PREFER_IP_VERSION": (0, 4, 6), "PROXY_SHARING": ("shared", "strict"),
    "SERIALIZER": _SERIALIZERS, "SERIALIZERS_ACCEPTED": _SERIALIZERS,
    "SERVERTYPE": ("thread", "multiplex"),
}
_PORTS = ("NATPORT", "NS_BCPORT", "NS_PORT")
_AT_LEAST = {"PROXY_CONNECTIONS": 1, "THREADPOOL_SIZE": 1, "THREADPOOL_SIZE_MIN": 1}  # all other numbers: 0
_LEAST_AUTOCLEAN_SECONDS = 3


class Configuration:
    """All settings as attributes. Each assignment is checked; the only other attribute is ``version``, a number that
    changes with each change of a setting.

    Settings, with their defaults:
    """

    __slots__: ClassVar[Tuple[str, ...]]  # the names of all settings, set below; the values are in __dict__
    _version: Version

    def __init__(self) -> None:
        self.__dict__["_version"] = Version()
        self.reset()

    @property
    def version(self) -> int:
        """A number that changes with each change of a setting."""
        return self._version.number

    def reset(self, use_environment: bool = True) -> None:
        """Set every setting to its default value, then to the value of its environment variable, if that exists.

        Environment variables that begin with ``PYRO_`` but are not settings are ignored; a warning in the log lists them.

        Raises:
            ValueError: an environment variable has an invalid value. Nothing is changed in this case.
        """
        # All values are computed before the first one is set, so that an invalid variable changes nothing.
        values = {setting.name: _own(setting.default) for setting in SETTINGS}
        if use_environment:
            # NS_HOST follows PYRO_HOST, unless it has a variable of its own.
            changes = _from_environment(os.environ)
            values.update({"NS_HOST": changes.get("HOST", values["NS_HOST"]), **changes})
            ignored = _ignored_variables(os.environ)
            if ignored:
                log.warning("environment variables that are no settings are ignored: %s", ", ".join(ignored))
        self.__dict__.update(values)
        self._version.renew()  # last, see __setattr__

    def as_dict(self) -> Dict[str, Any]:
        """Return a dict of all settings and their values, in alphabetical order."""
        return {setting.name: _own(self.__dict__[setting.name]) for setting in SETTINGS}

    def copy(self) -> Configuration:
        """Return an independent configuration with the same values."""
        duplicate = object.__new__(type(self))
        # A version of its own: a copy must not be taken for the original.
        duplicate.__dict__.update(self.as_dict(), _version=Version())
        return duplicate

    __copy__ = copy

    def __reduce__(self) -> Tuple[Any, ...]:
        # A pickle has the plain values, so that a process with other settings, or another release, can read it.
        return type(self), (), self.as_dict()

    def __setstate__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
        self._version.renew()

    @staticmethod
    def parse_bool(value: Any) -> bool:
        """Return the truth value of a text such as "yes" or "off", or of a value equal to 0 or 1.

        Raises:
            ValueError: it is another text.
        """
        return accept_bool(value)

    def dump(self) -> str:
        """Return a readable text with the version, the platform and all settings."""
        lines = [
            "Pyro version: %s" % __version__,
            "Loaded from: %s" % os.path.dirname(os.path.abspath(__file__)),
            "Python version: %s %s (%s, %s)" % (
                platform.python_implementation(), platform.python_version(), platform.system(), os.name),
            "Protocol version: %d" % PROTOCOL_VERSION,
            "Currently active global configuration settings:",
        ]
        lines.extend("%s = %s" % (name, _shown(name, value)) for name, value in self.as_dict().items())
        return "\n".join(lines)

    def changes(self) -> str:
        """Return a readable text of the settings that are not at their defaults and where they come from; empty if there are
        none.
        """
        environment = _from_environment(os.environ)
        lines = []
        for setting in SETTINGS:
            value, default = self.__dict__[setting.name], _own(setting.default)
            if value != default:
                lines.append("  %s: %s (default: %s)" % (
                    setting.name, _origin(setting.name, value, environment), "empty" if default == "" else default))
        return "\n".join(["Settings that are not at their defaults:", *lines]) if lines else ""

    def problems(self) -> List[str]:
        """Return a line about each unsuitable value, which makes the code that uses it fail or use another value, and
        one about each environment variable that has the prefix but is not a setting."""
        wanted = {name: _wanted(name, value) for name, value in self.as_dict().items()}
        lines = ["%s is %r: it takes %s" % (name, self.__dict__[name], takes) for name, takes in wanted.items() if takes]
        return lines + ["unknown environment variable: " + variable for variable in _ignored_variables(os.environ)]

    def __getattr__(self, name: str) -> Any:
        # Reached for names that are no settings, because all settings are in the dict.
        raise AttributeError(_unknown(name))

    def __setattr__(self, name: str, value: Any) -> None:
        # a misspelled setting would otherwise be assigned without effect
        if name not in _BY_NAME:
            raise AttributeError(_unknown(name))
        kind = _BY_NAME[name].kind
        try:
            self.__dict__[name] = kind.accept(value)
            self._version.renew()  # after the value: a thread that reads this number also sees the new value
        except (TypeError, ValueError, OverflowError) as x:
            raise TypeError("config.%s takes %s, not %s: %.100r" % (
                name, kind.takes, type(value).__name__, value)) from x

    def __delattr__(self, name: str) -> None:
        raise AttributeError("config.%s cannot be deleted; reset() restores the defaults" % name)


def _own(value: Any) -> Any:
    """Return a value of the table or of another configuration as a copy that is not shared."""
    # The program may change a list in place; the table, and other configurations, must not notice.
    return list(value) if isinstance(value, (list, tuple)) else value


def _shown(name: str, value: Any) -> Any:
    """Return a value as it is shown to people: not the passwords, as the text is pasted into mails and logs."""
    return "(set)" if value and name.endswith("PASSWD") else value


def _wanted(name: str, value: Any) -> str:
    """Return a description of suitable values if this value is unsuitable; otherwise an empty text."""
    if name in _CHOICES:
        # Both SERIALIZER (one name) and SERIALIZERS_ACCEPTED (a list).
        values = value if isinstance(value, list) else [] if value is None else [value]
        others = set(values) - set(_CHOICES[name])
        if name.startswith("SERIALIZER"):
            others -= program_serializers
        return "" if not others else ", ".join(map(str, _CHOICES[name]))
    # Texts, lists and None were checked when they were assigned.
    if not isinstance(value, (int, float)):
        return ""
    if name in _PORTS:
        return "" if 0 <= value <= 65535 else "a port, 0 to 65535"
    if name == "NS_AUTOCLEAN" and 0 < value < _LEAST_AUTOCLEAN_SECONDS:
        return "0, or %d and more" % _LEAST_AUTOCLEAN_SECONDS
    least = _AT_LEAST.get(name, 0)
    return "" if value >= least else "%d or more" % least


def _unknown(name: str) -> str:
    close = _closest(name, 0.6)
    return "no such setting: config.%s%s" % (name, "; did you mean %s?" % close if close else "")


def _closest(name: str, similarity: float) -> str:
    """Return the name of a setting similar to a misspelled one, or an empty text."""
    import difflib  # only for this hint, so that importing the package does not load it
    return next(iter(difflib.get_close_matches(name.upper(), _BY_NAME, 1, similarity)), "")


def _from_environment(environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return the values of settings in environment variables, by name of the setting."""
    values = {}
    for name, setting in _BY_NAME.items():
        text = environ.get(ENVIRONMENT_PREFIX + name)
        if text is not None and not _is_foreign(setting, text):
            values[name] = _parse(ENVIRONMENT_PREFIX + name, text, setting.kind)
    return values


def _ignored_variables(environ: Mapping[str, str]) -> List[str]:
    """Return the variables with the prefix that are not settings, sorted, with a hint at similar names."""
    ignored = []
    for variable in sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX)):
        name = variable[len(ENVIRONMENT_PREFIX):]
        if name not in _BY_NAME:
            close = _closest(name, 0.8)
            ignored.append(variable + (" (did you mean %s%s?)" % (ENVIRONMENT_PREFIX, close) if close else ""))
        elif _is_foreign(_BY_NAME[name], environ[variable]):
            ignored.append("%s=%s" % (variable, environ[variable]))
    return ignored


def _is_foreign(setting: Setting, text: str) -> bool:
    """Return whether the value is not a number, but the address of a service of that name."""
    return setting.kind is INT and _SERVICE_ADDRESS.match(text) is not None


def _origin(name: str, value: Any, environment: Mapping[str, Any]) -> str:
    """Return where a value that is not the default comes from; `environment` has the values of the environment variables."""
    variable = name
    if name == "NS_HOST" and name not in environment:
        variable = "HOST"  # NS_HOST defaults to it
    if variable in environment and environment[variable] == value:
        return "set by the environment variable %s%s" % (ENVIRONMENT_PREFIX, variable)
    return "set by the program"


def _parse(variable: str, text: str, kind: Kind) -> Any:
    try:
        return kind.parse(text)
    except ValueError as x:
        what = "boolean value" if kind is BOOL else "Pyro environment config value"
        raise ValueError("invalid %s: %s=%s (it takes %s)" % (what, variable, text, kind.takes)) from x


def _describe(settings: Iterable[Setting]) -> str:
    rows = ["    %s = %r\n        %s" % (row.name, _own(row.default), row.doc) for row in settings]
    return "\n".join(rows)


Configuration.__slots__ = tuple(_BY_NAME)
Configuration.__doc__ = "%s\n\n%s\n" % ((Configuration.__doc__ or "").rstrip(), _describe(SETTINGS))


def _of_this_process() -> Configuration:
    """Return the initial settings of this process.

    Raises:
        ValueError: an environment variable has an invalid value.
        SystemExit: the same in a command line tool of this package, with a one-line error.
    """
    try:
        return Configuration()
    except ValueError as x:
        if _runs_tool():
            raise SystemExit("Error: %s" % x) from None
        raise


def _runs_tool() -> bool:
    """Return whether this process runs one of the package's modules, or one of the scripts installed for them."""
    # `python -m` sets the spec of the main module; an installed script has none, and is recognized by its name
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return bool(spec.name.startswith("%s." % __package__))
    return any(os.path.basename(program).startswith("pyro5-") for program in sys.argv[:1])


global_config = _of_this_process()
# Compared in each call: reading an attribute of this object is faster than the property `version`.
global_version = global_config._version


def count_change() -> None:
    """Set a new version of the configuration after a change to something that is used along with settings.

    Proxies and daemons then read their settings and look up serializers again.
    """
    global_version.renew()


def dump() -> None:
    """Print the active configuration."""
    print(global_config.dump())


def main(args: Optional[Sequence[str]] = None) -> int:
    """Print the active configuration (``python -m Pyro5.configure`` and ``pyro5-check-config``)."""
    return int(importlib.import_module(".tools.configuration", __package__).main(args))


if __name__ == "__main__":
    sys.exit(main())
