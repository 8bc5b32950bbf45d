"""
Instances of classes, as plain data: a dict whose key ``__class__`` tells what it was; and back.

Nothing is ever imported, looked up or evaluated because of a name that came over the wire. What a tag can become is
decided by the tables here alone: converters that the program registered, this package's own classes (each registered
where it is defined), and the exceptions of module exceptions. Every other tag is refused.

Threads: the registries may be used and changed from any thread.
"""
from __future__ import annotations

import array
import enum
import importlib
import threading
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Type

from .. import errors
from . import exceptions, plain

__all__ = ["class_to_dict", "registered_form", "NOT_REGISTERED", "register_class_to_dict", "unregister_class_to_dict",
           "register_dict_to_class", "unregister_dict_to_class", "register_own_class", "register_own_dict", "set_autoproxy",
           "accepted_tags", "OwnClass", "registered_builder", "own_class"]

TAG = "__class__"

ToDict = Callable[[Any], Any]                    # instance -> dict (or other plain data)
FromDict = Callable[[str, Dict[str, Any]], Any]  # tag, dict -> instance
Convert = Callable[[Any], Any]                   # plain data -> the same with objects in the place of the tagged dicts
FromTaggedDict = Callable[[Any, Convert], Any]   # dict (or its state), what converts parts of it -> instance

NOT_REGISTERED = object()    # registered_form has nothing to say about an object


# Where own classes are that the serializers do not import, by their tags. No name from the wire is ever imported.
_HOMES = {"Pyro5.client.Proxy": ".client", "Pyro5.core.URI": "._values.uri", "Pyro5.server.Daemon": ".server"}
_PACKAGE = __name__.rsplit(".", 2)[0]


class _Converter(NamedTuple):
    convert: ToDict
    serpent_too: bool


class OwnClass(NamedTuple):
    """
    How instances of one of this package's classes are built.

    Attributes:
        build: called with the tagged dict, in which nothing has been converted, and a function that converts a part of it.
            Checks the exact types of all that it uses first.
        deliver: called with the instance when the message that it came in has been read and is handed over; None: nothing
            to do.
    """

    build: FromTaggedDict
    deliver: Optional[Callable[[Any], None]] = None


# Guards changes of the four tables below: a writer replaces a table whole, so readers need no lock.
_registry_lock = threading.Lock()
_class_to_dict: Dict[type, _Converter] = {}          # what the program registered
_dict_to_class: Dict[str, FromDict] = {}
_own_class_to_dict: Dict[type, ToDict] = {}          # this package's own classes
_own_dict_to_class: Dict[str, OwnClass] = {}

_autoproxy: Optional[Callable[[Any], Any]] = None


# ---------------------------------------------------------------- registries

def register_class_to_dict(clazz: Type[Any], converter: ToDict, serpent_too: bool = True) -> None:
    """
    Have instances of a class, and of its subclasses, serialized as what a converter makes of them.

    Where converters are registered for several of an object's base classes, the nearest in the method resolution order
    counts.

    Args:
        converter: called with the instance; returns a dict, usually with the key ``__class__``, or other plain data. One that
            cannot be called is a TypeError when such an instance is serialized.
        serpent_too: False: the serpent serializer goes on treating these instances in its own way.
    """
    global _class_to_dict
    if not isinstance(clazz, type):
        raise TypeError("converters are registered for a class, not for %r" % (clazz,))
    with _registry_lock:
        _class_to_dict = {**_class_to_dict, clazz: _Converter(converter, bool(serpent_too))}


def unregister_class_to_dict(clazz: Type[Any]) -> None:
    """Forget the converter for a class, if there is one."""
    global _class_to_dict
    with _registry_lock:
        _class_to_dict = {key: value for key, value in _class_to_dict.items() if key is not clazz}


def register_dict_to_class(classname: str, converter: FromDict) -> None:
    """
    Have dicts whose ``__class__`` is the given text turned into what a converter makes of them.

    Mind who may send you such dicts: a converter runs on whatever data a peer puts there.

    Args:
        classname: the text; anything else never equals one, and so is of no effect.
        converter: called with the class name and the dict; returns the object.
    """
    global _dict_to_class
    with _registry_lock:
        _dict_to_class = {**_dict_to_class, classname: converter}


def unregister_dict_to_class(classname: str) -> None:
    """Forget the converter for a class name, if there is one."""
    global _dict_to_class
    with _registry_lock:
        _dict_to_class = {key: value for key, value in _dict_to_class.items() if key != classname}


def register_own_class(clazz: Type[Any], tag: str, to_state: ToDict, from_state: FromTaggedDict,
                       deliver: Optional[Callable[[Any], None]] = None) -> None:
    """
    Register one of this package's classes to travel as ``{"__class__": tag, "state": to_state(instance)}``.

    An instance of a subclass travels under the subclass's own module and name: a receiver does not take it for more
    than it knows, unless a converter for that name is registered there.

    Args:
        from_state: called with a list of state and a function that converts tagged dicts; see OwnClass.build. The elements
            of the list have not been checked, and are plain data in which nothing has been converted.
        deliver: see OwnClass.
    """
    def to_dict(instance: Any) -> Dict[str, Any]:
        exact = type(instance) is clazz
        return {TAG: tag if exact else _full_name(type(instance)), "state": to_state(instance)}

    def from_dict(data: Dict[str, Any], convert: Convert) -> Any:
        state = data.get("state")
        if type(state) not in plain.SEQUENCES:
            raise ValueError("invalid %s state: %s" % (clazz.__name__, plain.text_of(state)))
        return from_state(state, convert)

    register_own_dict(clazz, tag, to_dict, from_dict, deliver)


def register_own_dict(clazz: Type[Any], tag: str, to_dict: ToDict, from_dict: FromTaggedDict,
                      deliver: Optional[Callable[[Any], None]] = None) -> None:
    """Register one of this package's classes to travel as a dict of another layout; the arguments are those of OwnClass."""
    global _own_class_to_dict, _own_dict_to_class
    with _registry_lock:
        _own_class_to_dict = {**_own_class_to_dict, clazz: to_dict}
        _own_dict_to_class = {**_own_dict_to_class, tag: OwnClass(from_dict, deliver)}


def registered_builder(tag: str) -> Optional[FromDict]:
    """Return the converter that the program registered for a tag, None if there is none."""
    return _dict_to_class.get(tag)


def own_class(tag: str) -> Optional[OwnClass]:
    """Return what builds instances of this package's own class with that tag, None if it is not one of them."""
    own = _own_dict_to_class.get(tag)
    if own is None and tag in _HOMES:  # a program that imports the serializers alone: the module registers its class
        importlib.import_module(_HOMES[tag], _PACKAGE)
        own = _own_dict_to_class.get(tag)
    return own


def set_autoproxy(replace: Optional[Callable[[Any], Any]]) -> None:
    """
    Install the hook that lets objects of a daemon travel as proxies.

    Args:
        replace: called with every class instance that is about to be serialized; returns what to serialize in its
            place, or None to leave it as it is.
    """
    global _autoproxy
    _autoproxy = replace


def accepted_tags() -> List[str]:
    """List the tags that become objects without any converter of the program's, sorted (and sqlite3's exceptions)."""
    return sorted(set(_own_dict_to_class) | set(exceptions.ACCEPTED))


# ---------------------------------------------------------------- object -> dict

def registered_form(obj: Any, for_serpent: bool = False) -> Any:
    """
    Give what an object is to be replaced by for the journey, if anything was laid down for its class.

    Returns:
        plain data, possibly with more objects in it; or NOT_REGISTERED.
    """
    autoproxy = _autoproxy
    if autoproxy is not None:
        replacement = autoproxy(obj)
        if replacement is not None:
            obj = replacement
    if _class_to_dict:
        converter = _find_converter(type(obj), obj)
        if converter is not None and (converter.serpent_too or not for_serpent):
            return converter.convert(obj)
    for base in type(obj).__mro__:
        if base in _own_class_to_dict:
            return _own_class_to_dict[base](obj)
    if isinstance(obj, BaseException):
        return exceptions.exception_to_dict(obj)
    return NOT_REGISTERED


def _find_converter(clazz: type, obj: Any) -> Optional[_Converter]:
    registry = _class_to_dict
    for base in clazz.__mro__:
        if base in registry:
            return registry[base]
    for base, converter in registry.items():    # abstract base classes may claim objects in their own way
        if isinstance(obj, base):
            return converter
    return None


def class_to_dict(obj: Any, serializer_name: Optional[str] = None) -> Any:
    """
    Turn an instance of any class into a dict, for serializers that cannot do so themselves.

    That is what was registered for its class; else what its __getstate__ returns, if that is a dict; else its
    attributes (or slots) and, under the key ``__class__``, the name of its class.

    Raises:
        SerializeError: there is nothing in the object to make a dict of.
    """
    form = registered_form(obj)
    if form is not NOT_REGISTERED:
        return form
    if isinstance(obj, (type, enum.Enum)):
        _refuse_object(obj, serializer_name)
    getstate = getattr(type(obj), "__getstate__", None)
    if getstate is not None and getstate is not getattr(object, "__getstate__", None):
        state = obj.__getstate__()
        if isinstance(state, dict):
            return state
    return {**_attributes(obj, serializer_name), TAG: _full_name(type(obj))}


def _attributes(obj: Any, serializer_name: Optional[str]) -> Dict[str, Any]:
    if hasattr(obj, "__dict__"):
        return dict(vars(obj))
    slots = getattr(obj, "__slots__", None)
    if slots is None:
        _refuse_object(obj, serializer_name)
    names = (slots,) if isinstance(slots, str) else slots
    return {name: getattr(obj, name) for name in names if hasattr(obj, name)}


def _refuse_object(obj: Any, serializer_name: Optional[str]) -> NoReturn:
    what = "the class %s itself" % _full_name(obj) if isinstance(obj, type) else "a %s" % _full_name(type(obj))
    raise errors.SerializeError(
        "don't know how to serialize %s%s: convert it to plain data first, give it vars() or a __getstate__ that returns "
        "a dict, or register a converter with register_class_to_dict"
        % (what, " using the %s serializer" % serializer_name if serializer_name else ""))


def is_array(obj: Any) -> bool:
    """Tell whether an object is an array.array."""
    return isinstance(obj, array.array)


def array_to_plain(values: Any) -> Any:
    """Turn an array.array into a str, if it is one of characters, or a list."""
    return values.tounicode() if values.typecode in "uw" else values.tolist()


def _full_name(clazz: type) -> str:
    return "%s.%s" % (clazz.__module__, clazz.__name__)
