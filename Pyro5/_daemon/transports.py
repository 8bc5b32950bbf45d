"""Create the socket server of a daemon, find its external address behind a NAT router, and read the settings of its parts."""
from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple, Type, Union

from .. import config, errors
from .._calls.reply_encoding import DispatchOptions
from .._messages.requests import WireOptions
from .._net.addresses import IPAddress, server_host
from .._observe import process_end
from .._processes.reports import report_of_process
from .._processes.shared_calls import share_calls
from .._processes.shared_marks import DRAINING
from .._processes.siblings import Siblings
from .._processes.supervisor import Roles, Supervisor
from .._server.callbacks import DaemonCallbacks
from .._server.loop import SocketServer
from ..svr_multiplex import SocketServer_Multiplex
from ..svr_threads import SocketServer_Threadpool

SERVER_TYPES: Mapping[str, Type[SocketServer]] = {"thread": SocketServer_Threadpool, "multiplex": SocketServer_Multiplex}

MAX_PROCESSES = 1024

Host = Union[str, IPAddress, None]


def listen(callbacks: DaemonCallbacks, daemon: Any, host: Host, port: int, unixsocket: Optional[str]) -> SocketServer:
    """Create the socket server that the setting SERVERTYPE names, and start listening.

    Args:
        host: None: the setting HOST.

    Raises:
        PyroError: there is no such server type.
        OSError: cannot listen on that address.
    """
    return _listening(server_type()(callbacks), daemon, host, port, unixsocket)


def supervise(callbacks: DaemonCallbacks, daemon: Any, host: Host, port: int, unixsocket: Optional[str],
              processes: int) -> SocketServer:
    """Create the supervisor of several processes, which start when its loop does, and start listening.

    Raises:
        ValueError, TypeError: the number of processes is invalid; or this system cannot fork.
        PyroError, OSError: as `listen`.
    """
    server_class = server_type()

    def begin_child(server: SocketServer, siblings: Siblings) -> None:
        daemon.transportServer = server
        daemon._leases.threaded = True
        # The HTTP server for metrics runs in the supervising process. It is not closed here: that would stop it there.
        siblings.inherited, daemon._metrics = daemon._metrics, None
        share_calls(daemon, siblings)

    def end_child() -> None:
        report_of_process(daemon)  # keeps what this process has counted for the time after its end
        process_end.run()

    def tick() -> None:
        # A method has asked for it, in a process that cannot remove names.
        if DRAINING in supervisor.siblings.marks():
            daemon._leases.close()

    daemon._leases.threaded = False  # a thread would not be copied by a fork, but the locks that it holds
    roles = Roles(lambda: server_class(callbacks), begin_child, daemon._leases.next_due, daemon._leases.renew_due,
                  end_child, tick)
    supervisor = Supervisor(callbacks, roles, processes)
    daemon._siblings = supervisor.siblings
    return _listening(supervisor, daemon, host, port, unixsocket)


def check_processes(processes: int, connected_socket: Any) -> None:
    """Check the number of processes for a daemon.

    Raises:
        ValueError, TypeError: it is invalid, or this system cannot fork.
    """
    if type(processes) is not int:
        raise TypeError("processes must be an int, not %s" % type(processes).__name__)
    if not 1 <= processes <= MAX_PROCESSES:
        raise ValueError("processes must be from 1 to %d, not %d" % (MAX_PROCESSES, processes))
    if processes > 1 and not hasattr(os, "fork"):
        raise ValueError("this system cannot fork, so a daemon has one process; start the program several times instead")
    if processes > 1 and connected_socket is not None:
        raise ValueError("a daemon that serves a connected_socket has one client, so it needs one process")


def server_type() -> Type[SocketServer]:
    """Return the class that the setting SERVERTYPE names. Raises PyroError if there is none."""
    # Read for each daemon, so that one program can have daemons of both types.
    server_class = SERVER_TYPES.get(config.SERVERTYPE)
    if server_class is None:
        # As the cause, so that the text names the setting while the class of the exception stays that of 5.x.
        reason = ValueError("the setting SERVERTYPE is one of: %s" % ", ".join(SERVER_TYPES))
        raise errors.PyroError("invalid server type '%s'" % config.SERVERTYPE) from reason
    return server_class


def _listening(server: SocketServer, daemon: Any, host: Host, port: int, unixsocket: Optional[str]) -> SocketServer:
    try:
        server.init(daemon, str(server_host() if host is None else host), port, unixsocket)
    # Else the selector and the wake-up of a daemon that could not bind would stay open until the garbage collection.
    except BaseException:
        server.discard()
        raise
    return server


def nat_address(nathost: Host, natport: Optional[int], unixsocket: Optional[str]) -> Any:
    """Return (host, port) to publish instead of the address listened on, None without NAT; port 0: the same port."""
    # A router forwards ports. There is nothing to forward for a socket in the file system.
    if unixsocket:
        if nathost or natport:
            raise ValueError("nathost and natport cannot be used with a Unix domain socket")
        return None
    nathost = nathost or config.NATHOST
    # 0 has a meaning of its own, so only None stands for "not given".
    natport = config.NATPORT or 0 if natport is None else natport
    if not nathost:
        if natport:
            raise ValueError("natport %d was given without nathost" % natport)
        return None
    # The port that was listened on is not known before, so the caller replaces 0 by it.
    return str(nathost), natport


def dispatch_options() -> DispatchOptions:
    """Return the options of a `Dispatcher`."""
    return DispatchOptions(WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION)),
                           # A copy: the program may change the list in the configuration while requests compare
                           # against this one.
                           list(config.SERIALIZERS_ACCEPTED), bool(config.ITER_STREAMING), bool(config.DETAILED_TRACEBACK),
                           bool(config.LOGWIRE), max(1, config.MAX_STATISTICS or 0) if config.STATISTICS else 0,
                           config.STALL_SECONDS or 0.0)


def stream_limits() -> Tuple[float, float, int]:
    """Return the limits of a `StreamTable`."""
    # None is a valid value of these settings and means the same as 0: no limit.
    return config.ITER_STREAM_LIFETIME or 0.0, config.ITER_STREAM_LINGER or 0.0, config.MAX_STREAMS or 0


def oneway_limits() -> Tuple[int, int]:
    """Return the limits of `OnewayCalls`."""
    return config.MAX_ONEWAY or 0, config.MAX_BUFFERED_SIZE or 0
