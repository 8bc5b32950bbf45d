"""Rebuild the arguments of calls where the parameters of exposed methods are annotated with registered types."""
from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

from .. import LazyModule
from .._values import registered_types
from .._values.annotations import hints_of
from .._values.mismatch import Mismatch
from .descriptions import read_signature
from .members import Members, class_of

if TYPE_CHECKING:
    from .._values import rebuilding
    from .._values.builders import Build
else:
    rebuilding = LazyModule(globals(), ".._values.rebuilding")  # it imports decimal, pathlib, dataclasses, ...

log = logging.getLogger("Pyro5.server.types")

# Called with the arguments of a call, returns those to call the method with. Raises TypeError.
Rebuild = Callable[[Sequence[Any], Mapping[str, Any]], Tuple[Sequence[Any], Mapping[str, Any]]]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def rebuilders_for(target: Any, members: Members) -> Dict[str, Rebuild]:
    """Return the functions that rebuild arguments, by the names of methods, and of attributes that are assigned.

    Members without annotations of registered types are not in it.
    """
    # Most programs register no types: their methods are then called without this step, see PublishedObject.direct.
    found: Dict[str, Rebuild] = {}
    if not registered_types.registered():
        return found
    for name in members.methods | members.writable:
        try:
            rebuild = _rebuilder(target, name)
        except Exception as x:  # reading a signature may run user code
            log.debug("the parameters of %s.%s are unknown: %s", class_of(target).__name__, name, x)
            continue
        if rebuild is not None:
            found[name] = rebuild
    return found


def argument_name(target: Any, method: str, place: Union[int, str]) -> str:
    """Return the name of an argument in the text of an error, such as "Plotter.mirror() argument 'point'".

    Args:
        place: the number of a positional argument, from 0 on; the name of a keyword argument.
    """
    name = place
    if isinstance(place, int):
        parameters = list(read_signature(getattr(target, method)).parameters.values())
        if inspect.isclass(target) and inspect.isfunction(inspect.getattr_static(target, method)):
            place += 1  # the function of a class has the parameter "self"
        positional = [each for each in parameters if each.kind in _POSITIONAL + (inspect.Parameter.VAR_POSITIONAL,)]
        name = positional[min(place, len(positional) - 1)].name
    return "%s.%s() argument '%s'" % (class_of(target).__name__, method, name)


def _rebuilder(target: Any, name: str) -> Optional[Rebuild]:
    # Static access, because ordinary access would run a property's getter or bind the method.
    member = inspect.getattr_static(target, name)
    label = "%s.%s" % (class_of(target).__name__, name)
    if isinstance(member, property):
        return _for_function(member.fset, label, 1) if member.fset else None
    # A function that was assigned to the instance is not bound either: it has no parameter to skip.
    is_static = isinstance(member, staticmethod) or name in getattr(target, "__dict__", ()) and not inspect.isclass(target)
    function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
    return _for_function(function, label + "()", 0 if is_static else 1)


def _for_function(function: Any, label: str, skipped: int) -> Optional[Rebuild]:
    """Return the function that rebuilds the arguments of a function, None if no parameter needs it."""
    hints = hints_of(function)
    parameters = list(read_signature(function).parameters.values())[skipped:]
    # Compiled once, when the object is registered. Reading annotations per call would take longer than the call itself.
    builders: Dict[str, Build] = {}
    for each in parameters:
        build = rebuilding.builder_for(hints.get(each.name))
        if build is not None:
            builders[each.name] = build
    if not builders:
        return None
    positional = [each.name for each in parameters if each.kind in _POSITIONAL]
    rest = next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL), "")
    keywords = next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD), "")

    def rebuilt(name: str, value: Any, shown: str) -> Any:
        build = builders.get(name)
        try:
            return value if build is None else build(value)
        except Mismatch as x:
            raise x.described("%s argument '%s'" % (label, shown)) from None

    def rebuild(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tuple[Sequence[Any], Mapping[str, Any]]:
        # Arguments beyond the parameters that can be given by position belong to *args, if the method has it. If not,
        # the call fails with Python's own error, so their number is not checked here.
        names = positional[:len(args)] + [rest] * (len(args) - len(positional))
        return ([rebuilt(name, value, name) for name, value in zip(names, args)],
                {name: rebuilt(name if name in hints else keywords, value, name) for name, value in kwargs.items()})
    return rebuild
