"""Convert numpy scalars, such as numpy.float64 and numpy.int32, to values of Python's builtin types.

They look like numbers, but no serializer supports all of them: some are instances of subclasses of float or str, most are not
numbers of Python at all, and marshal sends them as the bytes of their memory.

This package never imports numpy. If the program has not imported it, there is nothing to convert.
"""
from __future__ import annotations

import collections
import gc
import sys
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Set

ARRAY_ADVICE = "send its tolist(), or call register_types(\"numpy\") in both programs"

NO_ARRAY = object()  # result of array_form() for other values
# Set by numpy_arrays, a large module that most programs never need, when the program registers arrays.
_array_form: Optional[Callable[[Any, bool], Any]] = None

_DICTS_AND_SETS = (dict, set, frozenset)
_SEQUENCES = (list, tuple)
_CONTAINERS = frozenset((dict, set, frozenset, list, tuple))
_BUILTIN = frozenset((type(None), bool, int, float, complex, str, bytes, tuple))


def scalar_class() -> Any:
    """Return the base class of all numpy scalars; None if the program has not imported numpy."""
    # Not imported here: a value of its types exists only if the program has loaded it.
    clazz = getattr(sys.modules.get("numpy"), "generic", None)
    return clazz if isinstance(clazz, type) else None


def is_array(value: Any) -> bool:
    """Return whether a value is a numpy array. A masked array is one, too."""
    clazz = getattr(sys.modules.get("numpy"), "ndarray", None)
    return isinstance(clazz, type) and isinstance(value, clazz)


def set_array_form(form: Optional[Callable[[Any, bool], Any]]) -> None:
    """Set the function that does what array_form() does; None if arrays are not registered."""
    global _array_form
    _array_form = form


def array_form(value: Any, as_text: bool = False) -> Any:
    """Return the tagged dict of a numpy array, or of a table; NO_ARRAY for other values, or if these are not registered.

    Args:
        as_text: write the data as text in base64, for formats that have no bytes.

    Raises:
        SerializeError: the array is a masked array, or has a dtype that cannot be sent.
    """
    return NO_ARRAY if _array_form is None else _array_form(value, as_text)


def plain_scalar(value: Any) -> Any:
    """Convert a numpy scalar to a value of a builtin type, and return other values unchanged.

    A number becomes a bool, int, float or complex, a date the text of ISO 8601, a time difference its seconds, and a record
    the tuple of its fields, which may be other scalars.

    Raises:
        ValueError: the time difference is in months or years, whose length in seconds is not fixed.
    """
    generic = scalar_class()
    if generic is None or not isinstance(value, generic):
        return value
    convert = _BY_KIND.get(value.dtype.kind)
    if convert is not None:
        return convert(value)
    plain = value.item()
    return plain if type(plain) in _BUILTIN else value


def _seconds(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    unit = numpy.datetime_data(value.dtype)[0]
    # A difference without a unit is a plain number, and NaT is the only value that is not equal to itself.
    if unit == "generic":
        return int(value.astype("int64")) if value == value else float("nan")
    if unit in ("Y", "M"):
        raise ValueError("a time difference in months or years has no fixed length in seconds")
    return float(value / numpy.timedelta64(1, "s"))


def _from_void(value: Any) -> Any:
    names = value.dtype.names
    return value.item() if names is None else tuple([value[name] for name in names])


# By the kind of the dtype. item() would return numpy's own type for a long double, and int or datetime for times, depending on
# their unit.
_BY_KIND: Mapping[str, Callable[[Any], Any]] = {"f": float, "c": complex, "M": str, "m": _seconds, "V": _from_void}


# ---------------------------------------------------------------- keys

def with_plain_keys(value: Any) -> Any:
    """Return a dict or set whose keys are not numpy scalars: the given one if it has none, otherwise a copy.

    Raises:
        ValueError: two keys of a dict become equal.
    """
    generic = scalar_class()
    if generic is None or not isinstance(value, _DICTS_AND_SETS):
        return value
    # Searched before anything is copied: few dicts have keys of these types.
    if not any([isinstance(key, (generic, tuple, frozenset)) for key in value]):
        return value
    if not isinstance(value, dict):
        return type(value)([_plain_key(key) for key in value]) if type(value) in _CONTAINERS else value
    kind = collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict
    changed: Dict[Any, Any] = kind([(_plain_key(key), element) for key, element in value.items()])
    # Such as those for a numpy date and for the same date as a text.
    if len(changed) < len(value):
        raise ValueError("two keys of a dict are equal when they are converted from numpy scalars to Python's types")
    return changed


def _plain_key(key: Any) -> Any:
    if isinstance(key, (tuple, frozenset)):
        return type(key)([_plain_key(each) for each in key]) if type(key) in _CONTAINERS else key
    return plain_scalar(key)


def with_plain_keys_inside(value: Any) -> Any:
    """Return a copy of nested dicts, lists and tuples without numpy scalars as keys of dicts."""
    if isinstance(value, dict):
        return {key: with_plain_keys_inside(element) for key, element in with_plain_keys(value).items()}
    if isinstance(value, _SEQUENCES):
        return [with_plain_keys_inside(element) for element in value]
    return value


# ---------------------------------------------------------------- other types

def is_foreign(container: Any, known: FrozenSet[type]) -> bool:
    """Return whether something in a dict, list, tuple or set, or in those inside, is not of one of the known types."""
    # Level by level, not container by container: get_referents() returns the elements of all of them at the speed of C. It
    # leaves out the keys of dicts that have no other keys than texts.
    level: List[Any] = [container]
    seen: Set[int] = {id(container)}  # containers may contain themselves, or the same one many times
    while level:
        elements = gc.get_referents(*level)
        kinds = set(map(type, elements))
        if not kinds <= known:
            return True
        if kinds.isdisjoint(_CONTAINERS):
            return False
        inner = {id(element): element for element in elements if type(element) in _CONTAINERS}
        level = [element for number, element in inner.items() if number not in seen]
        seen.update(inner)
    return False
