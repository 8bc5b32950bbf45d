"""Publishes objects without a server program: ``python -m Pyro5.tools.serve module:Class`` serves a class or an object of a
module.
"""
from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import os
import sys
import traceback
from typing import Any, Optional, Sequence

from .._cli import access_options, console
from .._cli.parser import ToolParser
from .._objects.exposure import INSTANCE_MODES, behavior, expose, instancing_of
from .._objects.members import class_of, exposed_members, forget_members
from .._values.uri import URI
from ..client import locate_ns
from ..server import Daemon

# ---------------------------------------------------------------- what to publish

class BrokenModule(ValueError):
    """Importing a module failed; the cause is the exception that was raised."""


def load(target: str) -> Any:
    """Import the object that ``module:Class``, ``module:object`` or ``path/to/file.py:Class`` names; dots access attributes.

    Raises:
        ValueError: the text has another form, or the object does not exist.
        BrokenModule: the module cannot be imported.
    """
    module_name, _, path = target.rpartition(":")
    if not module_name or not path:
        raise ValueError("%r does not say what to publish: it takes module:Class or module:object" % target)
    directory = os.getcwd()
    # A file is imported under its own name, so that classes in it have the same name for clients as with python -m.
    if module_name.endswith(".py"):
        if not os.path.isfile(module_name):
            raise ValueError("there is no file %s" % module_name)
        directory, file_name = os.path.split(os.path.abspath(module_name))
        module_name = file_name[:-len(".py")]
    # as `python file.py` and `python -m` do, so that a module finds its neighbours
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _import(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            raise ValueError("there is no '%s' in %s" % (name, module_name))
        found = getattr(found, name)
    return found


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except Exception as x:  # the module may raise any exception
        # The missing module is the target itself, or a package that it is in. Otherwise an import inside of the
        # module has failed.
        if isinstance(x, ModuleNotFoundError) and x.name and (module_name + ".").startswith(x.name + "."):
            raise ValueError("there is no module %s, neither here nor where Python looks for modules" % x.name) from x
        raise BrokenModule("importing %s failed: %s: %s" % (module_name, type(x).__name__, x)) from x


def _report(error: BaseException) -> None:
    """Print an error on standard error; for an error in a module, print its traceback first."""
    if isinstance(error, BrokenModule) and error.__cause__ is not None:
        steps = error.__cause__.__traceback__
        # The steps of the import system say nothing about the error.
        while steps is not None and _is_importing(steps.tb_frame.f_code.co_filename):
            steps = steps.tb_next
        # The traceback begins in the user's module.
        sys.stderr.write("".join(traceback.format_exception(type(error.__cause__), error.__cause__, steps)))
    console.complain_of(error)


def _is_importing(file_name: str) -> bool:
    return file_name.startswith("<frozen importlib") or file_name in (__file__, importlib.__file__)


def prepare(published: Any, target: str, expose_all: bool, instance_mode: Optional[Any]) -> None:
    """Check, and change if requested, what clients can access of the object to publish.

    Args:
        target: the user's name for it.
        expose_all: apply ``@expose`` to its class.
        instance_mode: apply ``@behavior`` to a class.

    Raises:
        ValueError: it cannot be published; the text says why.
    """
    if inspect.ismodule(published) or inspect.isroutine(published):
        raise ValueError("%s is a %s; what can be published are classes and objects" % (target, type(published).__name__))
    # The class decides: attributes of an instance cannot be exposed.
    clazz = class_of(published)
    if expose_all:
        _expose(clazz)
    members = exposed_members(clazz)
    # Refused here: otherwise the first client would find it out.
    if not members.methods and not members.attrs:
        raise ValueError(_why_nothing_exposed(clazz, target, expose_all))
    if published is not clazz:
        if instance_mode:
            raise ValueError("%s is an object: only the instances of a class can be made in a mode" % target)
        return
    if instance_mode:
        behavior(instance_mode)(clazz)
    # Instances are created when a client calls; a constructor that needs arguments would fail then.
    _check_constructor(clazz, target)


def _expose(clazz: type) -> None:
    try:
        expose(clazz)
        forget_members(clazz)  # they may have been read before the class was marked
    except TypeError as x:
        raise ValueError("%s cannot be exposed, because it is not written in Python; write a class that uses it" %
                         clazz.__name__) from x


def _why_nothing_exposed(clazz: type, target: str, expose_all: bool) -> str:
    if expose_all:
        return "%s has nothing to expose: its class %s defines no public methods or properties itself" % (
            target, clazz.__name__)
    return ("%s exposes nothing: mark what clients may use with @Pyro5.api.expose, or use the option --expose for all public "
            "methods of %s" % (target, clazz.__name__))


def _check_constructor(clazz: type, target: str) -> None:
    """Raise ValueError if the daemon cannot create instances of a class."""
    # Then the creator makes the instances, with the arguments that it chooses.
    if instancing_of(clazz)[1] is not None:
        return
    try:
        signature = inspect.signature(clazz)
    except (TypeError, ValueError):  # unknown
        return
    try:
        signature.bind()
    except TypeError as x:
        raise ValueError("instances of %s cannot be made without arguments (%s); publish an object that the module has "
                         "made" % (target, x)) from x


# ---------------------------------------------------------------- serving

def _run(options: argparse.Namespace) -> None:
    access_options.use(options)  # before the module is imported, which may create daemons of its own
    published = load(options.target)
    prepare(published, options.target, options.expose, options.instance_mode)
    # Without a name server the name is only a part of the URI, so a generated one is enough.
    name = options.name or (options.target.replace(":", ".") if options.ns else None)
    with contextlib.ExitStack() as at_end:
        # Before the daemon exists, so that a signal at any time ends the tool in order.
        signals = at_end.enter_context(console.StopSignals())
        daemon = at_end.enter_context(Daemon(options.host, options.port, options.unixsocket,
                                             options.nathost, options.natport, processes=options.processes,
                                             metrics=options.metrics))
        # The loop wakes up when a signal arrives, because it watches the socket of the signals.
        daemon.combine(signals)
        uri = daemon.register(published, name)
        lines = ["URI = %s" % uri, "Serving %s; Ctrl-C stops it." % options.target]
        if options.metrics:
            lines.insert(1, "Metrics: port %s" % daemon.metrics_port)
        if options.ns:
            ns_uri = _register(daemon, str(name), published, options.member)
            lines.insert(1, "Registered as %s in the name server %s" % (name, ns_uri))
        console.say(*lines)
        console.tell_service_manager("READY=1", "STATUS=Serving %s" % uri)
        # In the reverse order: systemd knows that the tool is stopping before the daemon is closed.
        at_end.callback(console.tell_service_manager, "STOPPING=1")
        daemon.requestLoop(lambda: not signals.asked)


def _register(daemon: Daemon, name: str, published: Any, is_member: bool = False) -> URI:
    """Register a name, replacing an existing registration, and return the uri of the name server. The daemon keeps the name
    registered, and removes it when it is closed.

    Args:
        is_member: add it to those that have this name as members.
    """
    with locate_ns() as nameserver:
        # safe=False: after a crash, the name may still be registered with the old port.
        daemon.register_with(nameserver, name, published, safe=False, member=is_member)
        return URI(nameserver._pyroUri)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 serve", description="Publish a class or an object of a module until "
                                     "Ctrl-C or SIGTERM. Modules are searched for in the current directory too.")
    option = parser.add_argument
    option("target", metavar="module:Class", help="class to publish; or module:object, or path/to/file.py:Class")
    option("-n", "--name", help="name of the object, which becomes part of its uri (default: a generated name)")
    option("--ns", action="store_true", help="register the name in the name server, and remove it at the end (without "
           "--name, it is module.Class)")
    option("--member", action="store_true", help="with --ns: several servers have this name, and clients use one that can be "
           "reached")
    option("-H", "--host", help="host name or address to listen on (default: the setting HOST)")
    option("-p", "--port", type=console.port, default=0, help="port to listen on; 0 = any free port (default: 0)")
    option("-u", "--unixsocket", help="listen on this Unix domain socket instead")
    option("--nathost", help="host name in uris, for clients outside of a NAT (default: the setting NATHOST)")
    option("--natport", type=console.port,
           help="port in uris; 0 = the port that the server listens on (default: the setting NATPORT)")
    option("--processes", type=int, default=1, metavar="N", help="processes that serve clients at this address; each has its "
           "own copies of the object (default: 1)")
    option("--metrics", default="", metavar="HOST:PORT", help="HTTP port for monitoring systems: /metrics, /healthz, /readyz")
    option("-e", "--expose", action="store_true", help="expose all public methods and properties that the class itself "
           "defines, as if it were marked with @expose; for classes that do not use this library")
    option("-m", "--instance-mode", choices=INSTANCE_MODES, help="instances of the class: one for each connection, "
           "a single one, or one for each call (default: the mode of the class, otherwise session)")
    access_options.add_server_options(parser)
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: _run(options), _report)


if __name__ == "__main__":
    sys.exit(main())
