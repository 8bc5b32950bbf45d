"""Convert instances of classes to plain data and back: tagged dicts, whose key ``__class__`` contains the name of the class.

Names from the network are never imported or evaluated. The tables here decide which tags are converted to objects: converters
that the program has registered, the classes of this package (each registered where it is defined), and the exceptions of the
module exceptions. All other tags are refused.

Thread-safe: any thread may use and change the registries.
"""
from __future__ import annotations

import array
import enum
import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, NoReturn, Optional, Sequence, Type

from .. import LazyModule, errors
from . import plain

if TYPE_CHECKING:
    from . import exceptions, numpy_scalars

    ToDict = Callable[[Any], Any]                    # instance -> dict (or other plain data)
    FromDict = Callable[[str, Dict[str, Any]], Any]  # tag, dict -> instance
    Convert = Callable[[Any], Any]                   # plain data -> plain data with objects in the place of tagged dicts
    FromTaggedDict = Callable[[Any, Convert], Any]   # dict (or its state), function that converts a part of it -> instance
else:
    exceptions = LazyModule(globals(), ".exceptions")
    numpy_scalars = LazyModule(globals(), ".numpy_scalars")
    ToDict = FromDict = Convert = FromTaggedDict = Any  # typing.get_type_hints() of public functions looks them up

TAG = "__class__"

NOT_REGISTERED = object()    # result of registered_form for an object without a converter

# The modules of own classes that the serializers do not import, by tag. A fixed table: no name from the network is imported.
_HOMES = {"Pyro5.client.Proxy": ".client", "Pyro5.core.URI": "._values.uri", "Pyro5.server.Daemon": ".server",
          **{"Pyro5.util.%sSerializer" % name.capitalize(): ".serializers." + name for name in ("json", "marshal", "msgpack")}}
_PACKAGE = __name__.rsplit(".", 2)[0]


class _Converter:
    def __init__(self, convert: ToDict, serpent_too: bool, form: Any = None) -> None:
        self.convert, self.serpent_too = convert, serpent_too
        self.form = form  # plain_forms.Form: convert returns the plain form


class OwnClass:
    """The functions that build instances of a class of this package.

    Attributes:
        build: called with the tagged dict, in which nothing has been converted, and a function that converts a part of it.
            It checks the exact types of everything that it uses.
        deliver: called with the instance when the message has been decoded and is delivered to the program; may be None.
    """

    def __init__(self, build: FromTaggedDict, deliver: Optional[Callable[[Any], None]] = None) -> None:
        self.build, self.deliver = build, deliver


# Guards changes of the five tables below. A change replaces the whole table and never modifies one, so readers need no lock
# and can iterate over a table while another thread changes it.
_registry_lock = threading.Lock()
_class_to_dict: Dict[type, _Converter] = {}          # converters of the program
_dict_to_class: Dict[str, FromDict] = {}
_own_class_to_dict: Dict[type, ToDict] = {}          # classes of this package
_own_dict_to_class: Dict[str, OwnClass] = {}
_own_class_to_tagged: Dict[type, ToDict] = {}        # those that contain objects, which may be of registered types

_autoproxy: Optional[Callable[[Any], Any]] = None
_may_replace: Optional[Callable[[Sequence[Any]], bool]] = None
_refer_to_array: Optional[Callable[[Any], Any]] = None


# ---------------------------------------------------------------- registries

def register_class_to_dict(clazz: Type[Any], converter: ToDict, serpent_too: bool = True) -> None:
    """Register the function that converts instances of a class and its subclasses when they are serialized.

    If there are converters for several base classes of an object, the nearest one in the method resolution order is used.
    All serializers use the converter. Any thread may call this.

    Args:
        converter: called with the instance, in the thread that serializes it; returns a dict, usually with the key
            ``__class__``, or other plain data. An object that is not callable raises TypeError only when an instance is
            serialized.
        serpent_too: if false, the serpent serializer ignores the converter and uses its own rules for the instances.

    Raises:
        TypeError: clazz is not a class.
    """
    global _class_to_dict
    if not isinstance(clazz, type):
        raise TypeError("converters are registered for a class, not for %r" % (clazz,))
    with _registry_lock:
        _class_to_dict = {**_class_to_dict, clazz: _Converter(converter, bool(serpent_too))}


def unregister_class_to_dict(clazz: Type[Any]) -> None:
    """Remove the function that converts instances of a class to dicts, if there is one. Any thread may call this."""
    global _class_to_dict
    with _registry_lock:
        _class_to_dict = {key: value for key, value in _class_to_dict.items() if key is not clazz}


def register_form(clazz: type, form: Any) -> None:
    """Register the plain_forms.Form of a class, as register_class_to_dict."""
    global _class_to_dict
    with _registry_lock:
        _class_to_dict = {**_class_to_dict, clazz: _Converter(form.plain, True, form)}


def form_of(clazz: type) -> Any:
    """Return the plain_forms.Form of exactly this class, None if there is none, or another converter."""
    converter = _class_to_dict.get(clazz)
    return None if converter is None else converter.form


def has_converter(clazz: type) -> bool:
    """Return whether the program has registered a converter for exactly this class."""
    return clazz in _class_to_dict and _class_to_dict[clazz].form is None


def register_dict_to_class(classname: str, converter: FromDict) -> None:
    """Register the function that converts dicts with this text as ``__class__`` to objects.

    Any peer can send a dict with this text and any other data: the converter must not trust the data. All serializers use the
    converter. Any thread may call this.

    Args:
        classname: the text; an object of another type has no effect, because it is never equal to a text.
        converter: called with the class name and the dict, in the thread that deserializes it; returns the object.
    """
    global _dict_to_class
    with _registry_lock:
        _dict_to_class = {**_dict_to_class, classname: converter}


def unregister_dict_to_class(classname: str) -> None:
    """Remove the function that converts dicts with this class name to objects, if there is one. Any thread may call this."""
    global _dict_to_class
    with _registry_lock:
        _dict_to_class = {key: value for key, value in _dict_to_class.items() if key != classname}


def register_own_class(clazz: Type[Any], tag: str, to_state: ToDict, from_state: FromTaggedDict,
                       deliver: Optional[Callable[[Any], None]] = None) -> None:
    """Register a class of this package to be sent as ``{"__class__": tag, "state": to_state(instance)}``.

    An instance of a subclass is sent with the module and name of the subclass. A receiver refuses it, unless a converter for
    that name is registered there.

    Args:
        from_state: called with the state, a list, and a function that converts tagged dicts; see OwnClass.build. The elements
            of the list have not been checked, and are plain data in which nothing has been converted.
        deliver: see OwnClass.
    """
    def to_dict(instance: Any) -> Dict[str, Any]:
        # not the tag of the class: the receiver would build an instance without what the subclass changes
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
    """Register a class of this package to be sent as a dict of another layout. See OwnClass for the arguments."""
    global _own_class_to_dict, _own_dict_to_class
    with _registry_lock:
        _own_class_to_dict = {**_own_class_to_dict, clazz: to_dict}
        _own_dict_to_class = {**_own_dict_to_class, tag: OwnClass(from_dict, deliver)}


def register_own_tag(tag: str, from_dict: FromTaggedDict) -> None:
    """Register the function that builds objects from dicts with this tag, for classes that are not sent by their type."""
    global _own_dict_to_class
    with _registry_lock:
        _own_dict_to_class = {**_own_dict_to_class, tag: OwnClass(from_dict)}


def unregister_own_tag(tag: str) -> None:
    """Remove the function of a tag, if there is one."""
    global _own_dict_to_class
    with _registry_lock:
        _own_dict_to_class = {key: own for key, own in _own_dict_to_class.items() if key != tag}


def register_own_tagged(clazz: Type[Any], to_dict: ToDict) -> None:
    """Register how a class of this package is sent to peers that know registered types, if they get another dict."""
    global _own_class_to_tagged
    with _registry_lock:
        _own_class_to_tagged = {**_own_class_to_tagged, clazz: to_dict}


def registered_builder(tag: str) -> Optional[FromDict]:
    """Return the converter that the program has registered for a tag, None if there is none."""
    return _dict_to_class.get(tag)


def own_class(tag: str) -> Optional[OwnClass]:
    """Return the functions for the class of this package with that tag, None if there is no such class."""
    own = _own_dict_to_class.get(tag)
    # A class registers itself when its module is imported, which a program that imports only the serializers has not done.
    if own is None and tag in _HOMES:
        importlib.import_module(_HOMES[tag], _PACKAGE)
        own = _own_dict_to_class.get(tag)
    return own


def set_autoproxy(replace: Optional[Callable[[Any], Any]],
                  may_replace: Optional[Callable[[Sequence[Any]], bool]] = None) -> None:
    """Set the function that replaces objects of a daemon by proxies when they are serialized.

    Args:
        replace: called with every class instance that is about to be serialized; returns the object to serialize in its place,
            or None to serialize the instance itself.
        may_replace: called with several instances of one class; returns whether one of them is replaced. It is faster than
            calling the other function for each.
    """
    global _autoproxy, _may_replace
    _autoproxy = replace
    _may_replace = may_replace


def is_replaced(objects: Sequence[Any]) -> bool:
    """Return whether one of these objects, all of one class, is replaced when it is serialized; see set_autoproxy."""
    may_replace, autoproxy = _may_replace, _autoproxy
    if may_replace is not None:
        return may_replace(objects)
    return autoproxy is not None and any([autoproxy(each) is not None for each in objects])


def set_array_reference(refer: Callable[[Any], Any]) -> None:
    """Set the function that returns what refers to a large array.array, or None if its elements have to be sent."""
    global _refer_to_array
    _refer_to_array = refer


# ---------------------------------------------------------------- object -> dict

def registered_form(obj: Any, for_serpent: bool = False, tagged: bool = False) -> Any:
    """Convert an object by the function that is registered for its class.

    Args:
        for_serpent: ignore converters that are not for the serpent serializer.
        tagged: return the tagged forms of instances of registered types, not the plain ones; and exceptions with causes.

    Returns:
        Plain data, which may contain other objects; NOT_REGISTERED if there is no function for the class.
    """
    autoproxy = _autoproxy  # read once: another thread may set it to None
    if autoproxy is not None:
        replacement = autoproxy(obj)
        if replacement is not None:
            obj = replacement
    if _class_to_dict:  # empty in most programs: then nothing is searched
        converter = _find_converter(type(obj), obj)
        if converter is not None and (converter.serpent_too or not for_serpent):
            return converter.form.tagged(obj) if tagged and converter.form is not None else converter.convert(obj)
    for base in type(obj).__mro__:
        if tagged and base in _own_class_to_tagged:
            return _own_class_to_tagged[base](obj)
        if base in _own_class_to_dict:
            return _own_class_to_dict[base](obj)
    if isinstance(obj, BaseException):
        return exceptions.exception_to_dict(obj, tagged)
    return NOT_REGISTERED


def _find_converter(clazz: type, obj: Any) -> Optional[_Converter]:
    # Read once: the table is replaced as a whole, and the loops below need one state of it.
    registry = _class_to_dict
    for base in clazz.__mro__:
        if base in registry:
            return registry[base]
    for base, converter in registry.items():    # an abstract base class can have virtual subclasses, not in the __mro__
        if isinstance(obj, base):
            return converter
    return None


def class_to_dict(obj: Any, serializer_name: Optional[str] = None) -> Any:
    """Convert an instance of any class to a dict, for serializers that do not do this themselves.

    The result is that of the function registered for the class; otherwise that of __getstate__ if it is a dict; otherwise a
    dict of the attributes (or slots) with the name of the class under the key ``__class__``.

    Raises:
        SerializeError: the object has no attributes to convert.
    """
    form = registered_form(obj)
    if form is not NOT_REGISTERED:
        return form
    # classes and enum members have a __dict__, but it does not describe them
    if isinstance(obj, (type, enum.Enum)) or numpy_scalars.is_array(obj):
        _refuse_object(obj, serializer_name)
    if is_mmap(obj):
        return obj[:]
    # since Python 3.11 every object has a __getstate__; only one that the class defines is used
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
    raise errors.SerializeError("don't know how to serialize %s%s: %s" % (
        what, " using the %s serializer" % serializer_name if serializer_name else "", advice(obj)))


def advice(obj: Any) -> str:
    """Return what to do with an object that cannot be sent, for the text of an error."""
    first = numpy_scalars.ARRAY_ADVICE if numpy_scalars.is_array(obj) else (
        "convert it to plain data first, give it vars() or a __getstate__ that returns a dict")
    return first + ", or register a converter with register_class_to_dict"


def is_array(obj: Any) -> bool:
    """Return whether an object is an array.array."""
    return isinstance(obj, array.array)


def is_mmap(obj: Any) -> bool:
    """Return whether an object is memory that is mapped to a file; it is sent as bytes."""
    module = sys.modules.get("mmap")
    return module is not None and isinstance(obj, module.mmap)


def array_to_plain(values: Any) -> Any:
    """Convert an array.array to a str if it is an array of characters, otherwise to a list.

    If large buffers are sent beside the payload, it may be converted to what refers to one.
    """
    reference = None if _refer_to_array is None else _refer_to_array(values)
    if reference is not None:
        return reference
    return values.tounicode() if values.typecode in "uw" else values.tolist()


def _full_name(clazz: type) -> str:
    return "%s.%s" % (clazz.__module__, clazz.__name__)
