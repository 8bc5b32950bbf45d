"""Convert settings into the arguments of the parts of a daemon."""
from __future__ import annotations

from typing import Tuple

from .. import config
from .._calls.reply_encoding import DispatchOptions
from .._messages.requests import WireOptions


def dispatch_options() -> DispatchOptions:
    """Return the options of a `Dispatcher`."""
    return DispatchOptions(WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION)),
                           # A copy: the program may change the list in the configuration while requests compare
                           # against this one.
                           list(config.SERIALIZERS_ACCEPTED), bool(config.ITER_STREAMING), bool(config.DETAILED_TRACEBACK),
                           bool(config.LOGWIRE), max(1, config.MAX_STATISTICS or 0) if config.STATISTICS else 0,
                           config.STALL_SECONDS or 0.0)


def stream_limits() -> Tuple[float, float, int]:
    """Return the limits of a `StreamTable`."""
    # None is a valid value of these settings and means the same as 0: no limit.
    return config.ITER_STREAM_LIFETIME or 0.0, config.ITER_STREAM_LINGER or 0.0, config.MAX_STREAMS or 0


def oneway_limits() -> Tuple[int, int]:
    """Return the limits of `OnewayCalls`."""
    return config.MAX_ONEWAY or 0, config.MAX_BUFFERED_SIZE or 0
