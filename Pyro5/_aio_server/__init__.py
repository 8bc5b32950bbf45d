"""The daemon for asyncio programs: transports of the event loop in place of a socket server, around the parts of ``_calls``.

Imported by ``Pyro5.aio`` only. Start reading at ``server``.
"""
