"""The HTTP gateway: an HTTP server, a WSGI application and the page that it serves.

Imported by ``Pyro5.utils.httpgateway`` only. Start reading at ``app``.
"""
