"""What happens to a request after it was received: handshakes are answered, calls run, and their results become replies.

Imported by the daemons and by what their connections are made of; it uses no connection itself. Start reading at ``dispatch``
(calls) and ``handshakes``.
"""
