"""Names and numbers that several modules share and that are no settings."""
from __future__ import annotations

PROTOCOL_VERSION = 502
DAEMON_NAME = "Pyro.Daemon"
NAMESERVER_NAME = "Pyro.NameServer"
NS_QUESTION = b"GET_NSURI"  # the datagram that clients broadcast to find a name server
# methods of the daemon's own object by which clients read item streams
NEXT_ITEM_METHOD = "get_next_stream_item"
CLOSE_STREAM_METHOD = "close_stream"
ACQUIRE_METHOD, RELEASE_METHOD = "acquire_object", "release_object"  # by which they acquire an object for exclusive use
CANCEL_METHOD = "cancel"  # and by which they cancel a call that is being run
DEFAULT_TTL = 30.0  # seconds that the name server keeps a name whose lease is not renewed
