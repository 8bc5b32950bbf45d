"""A small HTTP/1.1 server for WSGI applications, with limits for everything that clients control.

Imported by the HTTP gateway and by daemons that serve their metrics. Start reading at ``server`` (connections) and ``head``
(parsing of requests).
"""
