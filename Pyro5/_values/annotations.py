"""Read the annotations of classes and functions, also those that cannot be evaluated as a whole."""
from __future__ import annotations

import inspect
import logging
import sys
import typing
from typing import Any, Dict

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
    for each in reversed(annotated.__mro__) if isinstance(annotated, type) else [inspect.unwrap(annotated)]:
        for name, annotation in _raw_annotations(each).items():
            # Removed even if the new one cannot be evaluated: an inherited annotation does not apply then.
            found.pop(name, None)
            try:
                found.update(_evaluated(each, name, annotation))
            except Exception as x:
                log.debug("the annotation of %s of %r cannot be evaluated: %s", name, each, x)
    return found


def _evaluated(annotated: Any, name: str, annotation: Any) -> Dict[str, Any]:
    """Return the type of one annotation. Raises what evaluating it raises."""
    holder = type("holder", (), {"__module__": getattr(annotated, "__module__", ""), "__annotations__": {name: annotation}})
    names: Dict[str, Any] = {each.__name__: each for each in getattr(annotated, "__type_params__", ())}
    if isinstance(annotated, type):
        names.update(vars(annotated))  # an annotation in a class may name what the class contains
    return typing.get_type_hints(holder, getattr(annotated, "__globals__", None), names)


def _raw_annotations(annotated: Any) -> Dict[str, Any]:
    """Return the annotations of a function, or of a class without its bases; some may be texts or forward references."""
    try:
        if sys.version_info >= (3, 14):
            import annotationlib  # new in Python 3.14
            # Annotations are evaluated when they are read. In this format, names that are not defined become forward
            # references instead of errors.
            return annotationlib.get_annotations(annotated, format=annotationlib.Format.FORWARDREF)
        if isinstance(annotated, type):
            return dict(vars(annotated).get("__annotations__", {}))
        return dict(getattr(annotated, "__annotations__", {}))
    except Exception as x:  # an annotation that raises another error than NameError
        log.debug("the annotations of %r cannot be read: %s", annotated, x)
        return {}
