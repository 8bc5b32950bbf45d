"""Convert pandas DataFrames and Series to tagged dicts and back, column by column, after ``register_types("pandas")``.

A Series is sent as ``{"__class__": "pandas.Series", "name": ..., "index": column, "data": column}``, a DataFrame as
``{"__class__": "pandas.DataFrame", "names": [...], "columns": [column, ...], "index": column}``. A column is a dict whose key
``kind`` says how its values are sent: most as a numpy array, texts and Python objects as a list.

As for arrays, pandas is never imported here, and everything that arrives is checked.
"""
from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Mapping

from .. import errors
from . import classes, numpy_arrays, plain
from .numpy_scalars import NO_ARRAY

TAG_FRAME, TAG_SERIES = "pandas.DataFrame", "pandas.Series"
MAX_COLUMNS = 100000  # as for fields of a dtype: a peer must not choose any number
# Nullable dtypes: their values and a mask are sent, because numpy has no missing integers.
_MASKED = frozenset(["boolean", "Float32", "Float64",
                     *["%sInt%d" % (sign, bits) for sign in ("", "U") for bits in (8, 16, 32, 64)]])
_TEXTS = frozenset(("object", "str", "string"))
_ARRAY_KINDS = "biufcmM"
# What column names and the index may be made of: plain data that can be a key everywhere.
_LABELS = frozenset((type(None), bool, int, float, str))


def register() -> None:
    """Send DataFrames and Series as tagged dicts from now on, and accept them; numpy arrays too, which they consist of."""
    # The arrays of columns are converted by numpy_arrays, so both are always registered together.
    numpy_arrays.register()
    numpy_arrays.add_form(_form)
    classes.register_own_tag(TAG_FRAME, _build_frame)
    classes.register_own_tag(TAG_SERIES, _build_series)


def unregister() -> None:
    """Neither send nor accept DataFrames and Series any more."""
    numpy_arrays.unregister()
    for tag in (TAG_FRAME, TAG_SERIES):
        classes.unregister_own_tag(tag)


# ---------------------------------------------------------------- table -> dict

def _form(value: Any) -> Any:
    # Not imported: a program that has no table has not loaded pandas either.
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return NO_ARRAY
    if isinstance(value, pandas.Series):
        return {classes.TAG: TAG_SERIES, "name": _label(value.name), "index": _index(pandas, value.index),
                "data": _column(pandas, value.array, value.dtype)}
    if isinstance(value, pandas.DataFrame):
        # By position: several columns may have the same name.
        columns = [value.iloc[:, number] for number in range(value.shape[1])]
        return {classes.TAG: TAG_FRAME, "names": [_label(name) for name in value.columns.tolist()],
                "columns": [_column(pandas, column.array, column.dtype) for column in columns],
                "index": _index(pandas, value.index)}
    return NO_ARRAY


def _label(label: Any) -> Any:
    label = label.item() if hasattr(label, "item") else label  # numpy.int64 and the like
    if type(label) is tuple:
        return [_label(part) for part in label]
    if type(label) not in _LABELS:
        raise errors.SerializeError("the names of pandas columns and series must be texts or numbers to be sent, not %s"
                                    % type(label).__name__)
    return label


def _index(pandas: Any, index: Any) -> Dict[str, Any]:
    if isinstance(index, pandas.MultiIndex):
        # A MultiIndex would need a form of its own, and most tables have none.
        raise errors.SerializeError("a pandas MultiIndex is not sent: send the table after reset_index()")
    name = _label(index.name)
    # Three numbers instead of a column: this is the index of most tables.
    if isinstance(index, pandas.RangeIndex):
        return {"kind": "range", "range": [index.start, index.stop, index.step], "name": name}
    return {**_column(pandas, index.array, index.dtype), "name": name}


def _column(pandas: Any, values: Any, dtype: Any) -> Dict[str, Any]:
    name = str(dtype)
    if name in _TEXTS or isinstance(dtype, pandas.StringDtype):
        # Elements of any kind, each converted as outside of a table.
        if name == "object":
            return {"kind": "objects", "dtype": name, "values": values.tolist()}
        return {"kind": "objects", "dtype": "str",
                "values": [None if absent else text for text, absent in zip(values.tolist(), values.isna())]}
    if isinstance(dtype, pandas.CategoricalDtype):
        # Each category once, and the number of it for each row.
        return {"kind": "categories", "codes": values.codes, "categories": _column(
            pandas, dtype.categories.array, dtype.categories.dtype), "ordered": bool(dtype.ordered)}
    if isinstance(dtype, pandas.DatetimeTZDtype):
        # Without the zone it is a column of numpy; the zone is sent by its name.
        return {"kind": "zone", "data": values.tz_convert("UTC").tz_localize(None).to_numpy(), "zone": str(dtype.tz)}
    if name in _MASKED:
        mask = values.isna()
        # What is at missing places is arbitrary: a fixed value reveals nothing that was there before.
        return {"kind": "masked", "dtype": name, "mask": mask, "data": values.to_numpy(
            dtype=dtype.numpy_dtype, na_value=False if name == "boolean" else 0)}
    if not isinstance(dtype, sys.modules["numpy"].dtype) or dtype.kind not in _ARRAY_KINDS:
        raise errors.SerializeError("pandas columns with the dtype %s are not sent" % name)
    return {"kind": "array", "data": values.to_numpy()}


# ---------------------------------------------------------------- dict -> table

def _build_series(data: Dict[str, Any], convert: classes.Convert) -> Any:
    pandas = _imported()
    values = _values_from(pandas, data.get("data"), convert)
    index = _index_from(pandas, data.get("index"), convert)
    _check_lengths(index, [values])
    return _made(lambda: pandas.Series(values, index=index, name=_label_from(data.get("name"))))


def _build_frame(data: Dict[str, Any], convert: classes.Convert) -> Any:
    pandas = _imported()
    names: Any = data.get("names")
    columns: Any = data.get("columns")
    if type(names) not in plain.SEQUENCES or type(columns) not in plain.SEQUENCES or len(names) != len(columns):
        raise ValueError("invalid table: its names are %s" % plain.text_of(names))
    # Each column is an object of its own, with a cost for the receiver.
    if len(columns) > MAX_COLUMNS:
        raise ValueError("invalid table: it has more than %d columns" % MAX_COLUMNS)
    labels = [_label_from(name) for name in names]
    values = [_values_from(pandas, column, convert) for column in columns]
    index = _index_from(pandas, data.get("index"), convert)
    # pandas would fill up shorter columns, or fail with an internal error.
    _check_lengths(index, values)

    def make() -> Any:
        # Numbers as names first, because a dict would drop columns whose names are equal.
        frame = pandas.DataFrame(dict(enumerate(values)), index=index)
        # tuples would become a MultiIndex
        frame.columns = pandas.Index(labels, tupleize_cols=False) if labels else frame.columns
        return frame
    return _made(make)


def _imported() -> Any:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        raise errors.SerializeError("a pandas table has arrived, but this program has not imported pandas")
    return pandas


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as x:  # data that does not fit together
        raise ValueError("invalid table: %s" % x) from None


def _check_lengths(index: Any, columns: List[Any]) -> None:
    if any([len(column) != len(index) for column in columns]):
        raise ValueError("invalid table: its columns and its index have different lengths")


def _label_from(label: Any) -> Any:
    if type(label) in plain.SEQUENCES and all([type(part) in _LABELS for part in label]):  # json sends tuples as lists
        return tuple(label)
    if type(label) not in _LABELS:
        raise ValueError("invalid table: a name is %s" % plain.text_of(label))
    return label


def _index_from(pandas: Any, form: Any, convert: classes.Convert) -> Any:
    if type(form) is not dict:
        raise ValueError("invalid table: its index is %s" % plain.text_of(form))
    name = _label_from(form.get("name"))
    if form.get("kind") != "range":
        return _made(lambda: pandas.Index(_values_from(pandas, form, convert), name=name))
    bounds: Any = form.get("range")
    # Exact types: bool is a subclass of int.
    if type(bounds) not in plain.SEQUENCES or len(bounds) != 3 or {type(bound) for bound in bounds} != {int}:
        raise ValueError("invalid table: its index is %s" % plain.text_of(bounds))
    return _made(lambda: pandas.RangeIndex(*bounds, name=name))


def _array(form: Mapping[str, Any], key: str, convert: classes.Convert, kinds: str) -> Any:
    """Return the one-dimensional array with this key, whose dtype is of one of these kinds."""
    array: Any = convert(form.get(key)) if type(form.get(key)) is dict else None
    # The result of a converter is checked, too: the tag may be that of another class.
    if type(array) is not sys.modules["numpy"].ndarray or array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError("invalid table: '%s' of a column is no such array" % key)
    return array


def _values_from(pandas: Any, form: Any, convert: classes.Convert) -> Any:
    kind = form.get("kind") if type(form) is dict else None
    # Looked up in a table: the name comes from a peer.
    if type(kind) is not str or kind not in _KINDS:
        raise ValueError("invalid table: a column is %s" % plain.text_of(form))
    return _made(lambda: _KINDS[kind](pandas, form, convert))


def _from_objects(pandas: Any, form: Mapping[str, Any], convert: classes.Convert) -> Any:
    values = convert(form.get("values")) if type(form.get("values")) in plain.SEQUENCES else None
    if values is None or form.get("dtype") not in ("object", "str"):
        raise ValueError("a column is no list of values")
    if form["dtype"] == "str":
        if not {type(value) for value in values} <= {str, type(None)}:
            raise ValueError("a column of texts has other values")
        # before pandas 3, texts are objects
        return pandas.Series(list(values), dtype="object" if int(pandas.__version__.split(".")[0]) < 3 else "str").array
    numpy = sys.modules["numpy"]
    array = numpy.empty(len(values), dtype=object)  # not numpy.array(), which would look into lists
    for number, value in enumerate(values):
        array[number] = value
    return array


def _from_categories(pandas: Any, form: Mapping[str, Any], convert: classes.Convert) -> Any:
    codes = _array(form, "codes", convert, "i")
    return pandas.Categorical.from_codes(codes, _values_from(pandas, form.get("categories"), convert),
                                         ordered=form.get("ordered") is True)


def _from_zone(pandas: Any, form: Mapping[str, Any], convert: classes.Convert) -> Any:
    zone = form.get("zone")
    if type(zone) is not str or len(zone) > 100:  # a name that is longer would be read as a file by some libraries
        raise ValueError("a time zone is %s" % plain.text_of(zone))
    return pandas.DatetimeIndex(_array(form, "data", convert, "M")).tz_localize("UTC").tz_convert(zone).array


def _from_masked(pandas: Any, form: Mapping[str, Any], convert: classes.Convert) -> Any:
    name = form.get("dtype")
    if type(name) is not str or name not in _MASKED:
        raise ValueError("the dtype of a column is %s" % plain.text_of(name))
    data, mask = _array(form, "data", convert, "biuf"), _array(form, "mask", convert, "b")
    if len(data) != len(mask):
        raise ValueError("a mask does not fit its column")
    # The constructor checks that the values fit the dtype.
    values = pandas.array(data, dtype=name)
    values[mask] = pandas.NA
    return values


_KINDS: Mapping[str, Callable[[Any, Mapping[str, Any], classes.Convert], Any]] = {
    "array": lambda pandas, form, convert: _array(form, "data", convert, _ARRAY_KINDS), "objects": _from_objects,
    "categories": _from_categories, "zone": _from_zone, "masked": _from_masked}
