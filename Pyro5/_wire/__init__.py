"""The wire format without I/O: received bytes to messages, and the memory of large messages.

It uses no sockets, threads or clocks, so any module above it may import it, and any kind of transport can drive it.
Start reading at ``reader``; the format of a single message is in ``Pyro5.protocol``, its meaning in the package ``_messages``.
"""
