"""Network helpers beyond the standard library: addresses, TLS, thread wake-ups and busy polling.

Imported by the client and the server side, through ``Pyro5.socketutil`` or directly. Start reading at ``addresses``.
"""
