"""Decide which names beginning with an underscore can be names of remote methods."""
from __future__ import annotations

__all__ = ["may_be_remote"]

# Names that copy, pickle, inspect and other libraries look up on any object. Sending these to the server would only cost time.
LOCAL_ONLY_NAMES = frozenset("""
    __deepcopy__ __getinitargs__ __getnewargs__ __getnewargs_ex__ __wrapped__ __signature__ __text_signature__
    __annotations__ __set_name__ __get__ __set__ __delete__ __index__ __array__ __array_interface__ __array_struct__
    __length_hint__ __fspath__ __await__ __aiter__ __anext__ __aenter__ __aexit__ __class_getitem__ __html__
    """.split())


def may_be_remote(name: str) -> bool:
    """Return whether a name that begins with an underscore may be that of a remote method."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__") and name not in LOCAL_ONLY_NAMES
