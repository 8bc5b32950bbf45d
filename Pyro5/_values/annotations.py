"""Read the annotations of classes and functions, also those that cannot be evaluated as a whole."""
from __future__ import annotations

import inspect
import logging
import sys
import typing
from typing import Any, Dict

__all__ = ["hints_of"]

log = logging.getLogger("Pyro5.types")


def hints_of(annotated: Any) -> Dict[str, Any]:
    """Return the types of the annotations of a class or function, without those that cannot be evaluated.

    An annotation may name a class that is imported for type checkers only, or use the syntax of a later Python.
    """
    try:
        return typing.get_type_hints(annotated)
    except Exception as x:  # user code: any expression can be an annotation
        log.debug("not all annotations of %r can be evaluated: %s", annotated, x)
    # Evaluated one by one: an annotation that fails must not hide the others.
    found: Dict[str, Any] = {}
    for each in reversed(annotated.__mro__) if isinstance(annotated, type) else [annotated]:
        for name, annotation in _raw_annotations(each).items():
            # Removed even if the new one cannot be evaluated: an inherited annotation does not apply then.
            found.pop(name, None)
            holder = type("holder", (), {"__module__": getattr(each, "__module__", ""), "__annotations__": {name: annotation}})
            try:
                found.update(typing.get_type_hints(holder, getattr(each, "__globals__", None)))
            except Exception as x:
                log.debug("the annotation of %s of %r cannot be evaluated: %s", name, each, x)
    return found


def _raw_annotations(annotated: Any) -> Dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib
        # Names that are not defined yet become placeholders instead of errors.
        return annotationlib.get_annotations(annotated, format=annotationlib.Format.FORWARDREF)
    if isinstance(annotated, type):
        return dict(vars(annotated).get("__annotations__", {}))
    return dict(getattr(inspect.unwrap(annotated), "__annotations__", {}))
