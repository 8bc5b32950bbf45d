"""The table of settings: their names, defaults, kinds and meanings, which values are suitable, and environment variables.

Imported by ``configure`` and the tool that prints the settings; imports no other module of the package. Start reading at
``SETTINGS``.
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Sequence, Set

from .. import LazyModule

if TYPE_CHECKING:
    import ipaddress
else:
    ipaddress = LazyModule(globals(), "ipaddress")

ENVIRONMENT_PREFIX = "PYRO_"
# For a service named "pyro-ns", Kubernetes and Docker set PYRO_NS_PORT to the address of that service.
_SERVICE_ADDRESSES = ("tcp://", "udp://", "sctp://")
_BOOL_TEXTS = {"1": True, "yes": True, "on": True, "true": True, "0": False, "no": False, "off": False, "false": False}


class Kind:
    """The kind of a setting: the values that it accepts.

    Args:
        takes: description for error messages.
        parse: text of an environment variable -> value, or ValueError.
        accept: assigned value -> stored value, or TypeError or ValueError.
    """

    # Not a NamedTuple, which takes 0.3 ms more to create: every program imports this.
    __slots__ = ("takes", "parse", "accept")

    def __init__(self, takes: str, parse: Callable[[str], Any], accept: Callable[[Any], Any]) -> None:
        self.takes = takes
        self.parse = parse
        self.accept = accept


def _parse_bool(text: str) -> bool:
    if text.lower() not in _BOOL_TEXTS:
        raise ValueError(text)
    return _BOOL_TEXTS[text.lower()]


def _parse_list(text: str) -> List[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def accept_bool(value: Any) -> bool:
    if isinstance(value, str):
        return _parse_bool(value)
    # Not bool(value): any text and any object would be accepted as True.
    if value in (0, 1):
        return bool(value)
    raise TypeError(value)


def _accept_int(value: Any) -> int:
    # int() would parse the bytes as text, which is nearly always a mistake.
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    number = int(value)
    if not isinstance(value, str) and number != value:  # 1.5 is not a whole number
        raise ValueError(value)
    return number


def _accept_float(value: Any) -> float:
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    number = float(value)
    if number != number:  # not a number
        raise ValueError(value)
    return number


def _accept_text(value: Any) -> str:
    # Accepts a pathlib.Path for the settings that are file names.
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(value)
    return text


def _accept_host(value: Any) -> str:
    if not isinstance(value, str):
        if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            return str(getattr(value, "ip", value))  # the address of an interface, without its network
    return _accept_text(value)


def _accept_level(value: Any) -> Any:
    return value if isinstance(value, str) else _accept_int(value)


def _accept_list(value: Any) -> List[str]:
    if isinstance(value, str):
        return _parse_list(value)
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    items = [_accept_host(item) for item in value]
    # Sets have no order: sorted, so that a dump of the settings is the same in each run.
    return sorted(items) if isinstance(value, (set, frozenset)) else items


def _optional(kind: Kind) -> Kind:
    """Return a kind that also accepts None, which means off, none or no limit, depending on the setting."""
    return Kind(kind.takes + " or None", kind.parse, lambda value: None if value is None else kind.accept(value))


INT = Kind("a whole number", int, _accept_int)
TEXT = Kind("a string", str, _accept_text)
LIST = Kind("a list of strings, or one string with commas between them", _parse_list, _accept_list)
BOOL = _optional(Kind("True or False (or as text: 1, yes, on, true, 0, no, off, false)", _parse_bool, accept_bool))
OPTIONAL_INT = _optional(INT)
FLOAT = _optional(Kind("a number", _accept_float, _accept_float))
OPTIONAL_TEXT = _optional(TEXT)
HOST = _optional(Kind("a string, an ipaddress object", str, _accept_host))
LEVEL = _optional(Kind("a level of the logging module: a string, a number", str, _accept_level))


class Setting:
    """One row of the table of settings."""

    __slots__ = ("name", "default", "kind", "doc")

    def __init__(self, name: str, default: Any, kind: Kind, doc: str) -> None:
        self.name = name
        self.default = default
        self.kind = kind
        self.doc = doc


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
BY_NAME = {setting.name: setting for setting in SETTINGS}

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


def own(value: Any) -> Any:
    """Return a value of the table or of another configuration as a copy that is not shared."""
    # The program may change a list in place; the table, and other configurations, must not notice.
    return list(value) if isinstance(value, (list, tuple)) else value


def shown(name: str, value: Any) -> Any:
    """Return a value as it is shown to people: not the passwords, as the text is pasted into mails and logs."""
    return "(set)" if value and name.endswith("PASSWD") else value


def suitable_values(name: str, value: Any) -> str:
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


def closest(name: str, similarity: float) -> str:
    """Return the name of a setting similar to a misspelled one, or an empty text."""
    import difflib  # only for this hint, so that importing the package does not load it
    return next(iter(difflib.get_close_matches(name.upper(), BY_NAME, 1, similarity)), "")


# ------------------------------------------------------------ environment variables

def from_environment(environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return the values of settings in environment variables, by name of the setting."""
    values = {}
    present = {variable for variable in environ if variable.startswith(ENVIRONMENT_PREFIX)}
    for name, setting in BY_NAME.items():
        variable = ENVIRONMENT_PREFIX + name
        if variable in present and not _is_foreign(setting, environ[variable]):
            values[name] = _parse(variable, environ[variable], setting.kind)
    return values


def ignored_variables(environ: Mapping[str, str]) -> List[str]:
    """Return the variables with the prefix that are not settings, sorted, with a hint at similar names."""
    ignored = []
    for variable in sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX)):
        name = variable[len(ENVIRONMENT_PREFIX):]
        if name not in BY_NAME:
            close = closest(name, 0.8)
            ignored.append(variable + (" (did you mean %s%s?)" % (ENVIRONMENT_PREFIX, close) if close else ""))
        elif _is_foreign(BY_NAME[name], environ[variable]):
            ignored.append("%s=%s" % (variable, environ[variable]))
    return ignored


def _is_foreign(setting: Setting, text: str) -> bool:
    """Return whether the value is not a number, but the address of a service of that name."""
    return setting.kind is INT and text.startswith(_SERVICE_ADDRESSES)


def origin(name: str, value: Any, environment: Mapping[str, Any]) -> str:
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
