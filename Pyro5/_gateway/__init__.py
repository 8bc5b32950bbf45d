"""The HTTP gateway: a WSGI application and the page that it serves. Its HTTP server is in ``_http``.

Imported by ``Pyro5.utils.httpgateway`` only. Start reading at ``app``.
"""
