"""Convert numpy arrays to tagged dicts and back, for programs that have called ``register_types("numpy")``.

An array is sent as ``{"__class__": "numpy.ndarray", "dtype": "<f8", "shape": [3, 4], "data": bytes}``. If its memory is in
Fortran order, there is also ``"order": "F"``. Instead of a text, the dtype of a structured array is a dict of its fields.

What arrives comes from the network: the dtype is checked against a strict pattern, and the size against that of the data,
before anything is allocated. Types that contain references to Python objects are neither sent nor accepted.

This package never imports numpy. If the program has not imported it, there is no array to send, and none can be received.
"""
from __future__ import annotations

import base64
import binascii
import math
import re
import sys
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple, Union

from .. import errors
from .._wire.chunks import MIN_CHUNK_BYTES
from . import classes, large_buffers, plain
from .numpy_scalars import NO_ARRAY, is_array, set_array_form

TAG_ARRAY = "numpy.ndarray"

MAX_DIMENSIONS = 64  # numpy 2 has this limit, numpy 1 half of it
MAX_FIELDS = 1000  # of a structured dtype, those of nested ones included
MAX_NESTED_FIELDS = 8  # levels of structured dtypes in structured dtypes
MAX_ITEM_BYTES = 1 << 31

_SIMPLE_DTYPE = re.compile(
    r"[<>|][biufcSUV][0-9]{1,10}|[<>][mM]8(?:\[(?:[1-9][0-9]{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")
_KINDS = frozenset("biufcSUVmM")
_Dtype = Union[str, Dict[str, Any]]
_other_form: Optional[Callable[[Any], Any]] = None


def register() -> None:
    """Send numpy arrays as tagged dicts from now on, and accept them."""
    classes.register_own_tag(TAG_ARRAY, build_array)
    set_array_form(_array_form)


def add_form(form: Callable[[Any], Any]) -> None:
    """Set the function that converts tables, which consist of arrays; it returns NO_ARRAY for other values."""
    global _other_form
    _other_form = form


def unregister() -> None:
    """Neither send nor accept numpy arrays any more."""
    global _other_form
    _other_form = None
    set_array_form(None)
    classes.unregister_own_tag(TAG_ARRAY)


# ---------------------------------------------------------------- array -> dict

def _array_form(value: Any, as_text: bool) -> Any:
    """Return the tagged dict of an array or a table, see numpy_scalars.array_form."""
    if not is_array(value):
        return NO_ARRAY if _other_form is None else _other_form(value)
    numpy = sys.modules["numpy"]
    masked = getattr(getattr(numpy, "ma", None), "MaskedArray", None)
    if masked is not None and isinstance(value, masked):
        raise errors.SerializeError("masked arrays (%s) are not sent; send the arrays 'data' and 'mask' of it"
                                    % type(value).__qualname__)
    # A view of the data without what subclasses add to it.
    array = numpy.asarray(value)
    form: Dict[str, Any] = {classes.TAG: TAG_ARRAY, "dtype": _dtype_form(array.dtype), "shape": list(array.shape)}
    order = "C"
    # Only if it is not both, as one-dimensional arrays are: the other order needs no key.
    if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        form["order"] = order = "F"
    number = _buffer_number(numpy, array, order) if array.nbytes > MIN_CHUNK_BYTES else None
    if number is not None:
        form["data"] = number
        return form
    data = array.tobytes(order)
    form["data"] = base64.b64encode(data).decode("ascii") if as_text else data
    return form


def _buffer_number(numpy: Any, array: Any, order: str) -> Optional[int]:
    """Return the number of the array's data among the buffers of the message; None if they have to be in the payload."""
    if large_buffers.current.outgoing is None:
        return None
    # a view of the bytes: most dtypes of dates and texts have no buffer interface of their own
    flat = numpy.ascontiguousarray(array.T if order == "F" else array).reshape(-1)
    return large_buffers.number_of(memoryview(flat.view("u1")))


def _dtype_form(dtype: Any) -> _Dtype:
    if dtype.hasobject:
        raise errors.SerializeError("numpy arrays with the dtype 'object' are not sent, because their elements are "
                                    "references to Python objects")
    if dtype.kind not in _KINDS:
        raise errors.SerializeError("numpy arrays with the dtype %s are not sent" % dtype)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _dtype_form(base), "shape": list(shape)}
    if dtype.names is None:
        return str(dtype.str)
    fields = [[name, _dtype_form(dtype.fields[name][0]), int(dtype.fields[name][1])] for name in dtype.names]
    return {"fields": fields, "itemsize": int(dtype.itemsize)}


# ---------------------------------------------------------------- dict -> array

def build_array(data: Dict[str, Any], convert: classes.Convert) -> Any:
    """Return the array that a tagged dict describes. It can be written to.

    Raises:
        ValueError: the dict does not describe an array.
        SerializeError: the program has not imported numpy.
    """
    # Not imported: a peer must not make a program load numpy.
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        raise errors.SerializeError("a numpy array has arrived, but this program has not imported numpy")
    dtype = _dtype_from(numpy, data.get("dtype"), 0, [MAX_FIELDS])
    shape = _shape_from(data.get("shape"), MAX_DIMENSIONS)
    order = data.get("order", "C")
    if type(order) is not str or order not in ("C", "F"):
        _refuse("its order is %s" % plain.text_of(order))
    content = checked_bytes(data.get("data"))
    # Checked before anything is allocated: the sizes come from the peer.
    announced = dtype.itemsize * math.prod(shape)
    if not dtype.itemsize and 0 not in shape:
        _refuse("its items have no size")
    if announced != len(content):
        _refuse("dtype and shape announce %d bytes, but there are %d" % (announced, len(content)))
    try:
        array = numpy.ndarray(shape, dtype, content, 0, None, order)
    except (TypeError, ValueError, OverflowError) as x:
        raise ValueError("invalid numpy array: %s" % x) from None
    _check_texts(numpy, array)
    # A buffer that was cut out of a message may begin at any byte.
    return array if array.flags.aligned else array.copy(order)


def checked_bytes(data: Any) -> Union[bytearray, memoryview]:
    """Return the content of a buffer, in memory of its own that can be written to.

    Args:
        data: bytes; text in base64; the dict that serpent writes for bytes; or the number of a buffer of the message.

    Raises:
        ValueError: it is something else.
    """
    if type(data) is int:
        return large_buffers.received(data)
    if type(data) is dict and data.get("encoding") == "base64":
        data = data.get("data")
    if type(data) is str:
        try:
            return bytearray(base64.b64decode(data.encode("ascii"), validate=True))
        except (UnicodeEncodeError, binascii.Error) as x:
            raise ValueError("invalid numpy array: its data are no text in base64 (%s)" % x) from None
    if type(data) not in (bytes, bytearray, memoryview):
        _refuse("its data are %s" % plain.text_of(data))
    return bytearray(data)


def _refuse(reason: str) -> NoReturn:
    raise ValueError("invalid numpy array: " + reason)


def _shape_from(shape: Any, most: int) -> Tuple[int, ...]:
    if type(shape) not in plain.SEQUENCES or len(shape) > most:
        _refuse("its shape is %s" % plain.text_of(shape))
    for size in shape:
        if type(size) is not int or not 0 <= size < 1 << 63:
            _refuse("its shape contains %s" % plain.text_of(size))
    return tuple(shape)


def _dtype_from(numpy: Any, form: Any, level: int, fields_left: List[int]) -> Any:
    """Return the dtype for its form, which a peer has sent; see _dtype_form."""
    # An exact pattern: other texts can be names of types, or lists of fields, of any size.
    if type(form) is str:
        if not _SIMPLE_DTYPE.fullmatch(form):
            _refuse("its dtype is %s" % plain.text_of(form))
        return _made(numpy, form)
    if type(form) is not dict or level >= MAX_NESTED_FIELDS:
        _refuse("its dtype is %s" % plain.text_of(form))
    if "base" in form:
        shape = _shape_from(form.get("shape"), MAX_DIMENSIONS)
        base = _dtype_from(numpy, form["base"], level + 1, fields_left)
        if base.itemsize * math.prod(shape) > MAX_ITEM_BYTES:
            _refuse("the items of its dtype are too large")
        return _made(numpy, (base, shape))
    return _structured(numpy, form, level, fields_left)


def _structured(numpy: Any, form: Dict[str, Any], level: int, fields_left: List[int]) -> Any:
    fields: Any = form.get("fields")
    size: Any = form.get("itemsize")
    if type(fields) not in plain.SEQUENCES or type(size) is not int or not 0 <= size <= MAX_ITEM_BYTES:
        _refuse("its dtype is %s" % plain.text_of(form))
    # One budget for the whole dtype, since nested ones multiply.
    fields_left[0] -= len(fields)
    if fields_left[0] < 0:
        _refuse("its dtype has more than %d fields" % MAX_FIELDS)
    names, formats, offsets = [], [], []
    for field in fields:
        if type(field) not in plain.SEQUENCES or len(field) != 3 or type(field[0]) is not str or type(field[2]) is not int:
            _refuse("a field of its dtype is %s" % plain.text_of(field))
        names.append(field[0])
        formats.append(_dtype_from(numpy, field[1], level + 1, fields_left))
        offsets.append(field[2])
        # Overlapping fields are valid in numpy; fields beyond the item would read foreign memory.
        if not 0 <= field[2] <= size - formats[-1].itemsize:
            _refuse("a field of its dtype does not fit into %d bytes" % size)
    return _made(numpy, {"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def _made(numpy: Any, description: Any) -> Any:
    try:
        dtype = numpy.dtype(description)
    except (TypeError, ValueError, OverflowError, MemoryError) as x:
        raise ValueError("invalid numpy array: its dtype is unknown here (%s)" % x) from None
    if dtype.hasobject or dtype.itemsize > MAX_ITEM_BYTES:
        _refuse("its dtype is %s" % dtype)
    return dtype


def _check_texts(numpy: Any, array: Any) -> None:
    """Refuse texts with numbers that are no characters: numpy fails with them later, in other places."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            if array.dtype.fields[name][0].base.kind in "UV":
                _check_texts(numpy, array[name])
    elif array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        numbers = numpy.array(array, copy=True, order="C").reshape(-1).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if numbers.max() > sys.maxunicode:
            _refuse("it contains a text with an invalid character")
