"""Signatures and docstrings of exposed members, for clients that ask for them.

Members that are not exposed are not described, and default values only if they are plain constants.
"""
from __future__ import annotations

import inspect
import logging
import sys
import threading
import weakref
from typing import Any, Callable, Dict, Optional, Tuple

from .._values import plain
from .members import Members, class_of

log = logging.getLogger("Pyro5.server.descriptions")

# Default values of these types are shown, unless their repr() is longer than this.
_PLAIN_TYPES = (type(None), bool, int, float, str)
_PLAIN_CHARS = 40

# Weak keys: classes that are created at run time, in tests or by a plug-in, must not be kept alive by this cache.
_described: weakref.WeakKeyDictionary[type, Tuple[Members, Dict[str, Any]]] = weakref.WeakKeyDictionary()
# Guards _described.
_described_lock = threading.Lock()


def describe(obj_or_class: Any, members: Members) -> Dict[str, Any]:
    """Return the result of _describe(), which must not be changed. It is cached per class, as long as the members are
    the same.
    """
    clazz = class_of(obj_or_class)
    with _described_lock:
        cached = _described.get(clazz)
    if cached is not None and cached[0] is members:
        return cached[1]
    # Outside the lock, because it may run user code. Two threads may do this at the same time; one result is kept.
    description = _describe(clazz, members)
    with _described_lock:
        _described[clazz] = members, description
    return description


def _describe(clazz: type, members: Members) -> Dict[str, Any]:
    """Return descriptions of the exposed members of a class.

    Returns:
        A dict of ``doc`` (the docstring of the class, if it is exposed as a whole), ``methods`` (name -> ``signature``
            and ``doc``) and ``attrs`` (name -> ``doc`` and ``writable``). Unknown values are None.
    """
    return {
        # Other classes, such as a base class of the program, are not meant for clients; nor are their docstrings.
        "doc": _doc_text(clazz) if "_pyroExposed" in vars(clazz) else None,
        "methods": {name: _describe_method(inspect.getattr_static(clazz, name, None)) for name in sorted(members.methods)},
        "attrs": {name: {"doc": _doc_text(inspect.getattr_static(clazz, name, None)), "writable": name in members.writable}
                  for name in sorted(members.attrs)},
    }


def _describe_method(member: Any) -> Dict[str, Optional[str]]:
    is_static = isinstance(member, staticmethod)
    function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
    return {"signature": signature_text(function, skip_first=not is_static), "doc": _doc_text(function)}


def _doc_text(documented: Any) -> Optional[str]:
    """Return the member's own docstring: an inherited one belongs to a member that may not be exposed."""
    doc = getattr(documented, "__doc__", None)
    return inspect.cleandoc(doc) if isinstance(doc, str) and doc.strip() else None


def signature_text(function: Callable[..., Any], skip_first: bool = True) -> Optional[str]:
    """Return the signature of a function, such as ``(name: str, limit: int = 10) -> List[str]``; None if it is unknown.

    Args:
        skip_first: leave out the first parameter, which is ``self`` or the class.
    """
    try:
        signature = read_signature(function)
    except Exception as x:  # reading a signature may run user code, such as a property __signature__
        log.debug("%r has no signature: %s", function, x)
        return None
    parameters = list(signature.parameters.values())
    # The first parameter is filled in by Python. One that begins with *args takes self from there and stays as it is.
    if skip_first and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]
    shown = [each.replace(annotation=_shown_annotation(each.annotation), default=_shown_default(each.default))
             for each in parameters]
    return str(signature.replace(parameters=shown, return_annotation=_shown_annotation(signature.return_annotation)))


def read_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function. Annotations that cannot be evaluated are texts."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # the module exists from 3.14 on only
        try:
            return inspect.signature(function)
        except Exception as x:  # from this version on, annotations are evaluated here, and their names may not exist
            log.debug("an annotation of %r cannot be evaluated: %s", function, x)
            return inspect.signature(function, annotation_format=Format.STRING)
    else:
        return inspect.signature(function)


def _shown_annotation(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    return plain.Verbatim(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))


def _shown_default(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        # The repr() of other defaults may run user code, may show secrets, and is of no use to the client.
        return default
    is_plain = type(default) in _PLAIN_TYPES and len(repr(default)) <= _PLAIN_CHARS
    return plain.Verbatim(repr(default) if is_plain else "...")
