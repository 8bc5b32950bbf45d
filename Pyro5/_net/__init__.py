"""
Addresses, TLS, wake-ups and busy polling: what sockets need besides the standard library.

Imported by the client and the server side alike, through ``Pyro5.socketutil`` or directly. Start reading at
``addresses``.
"""
