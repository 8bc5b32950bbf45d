"""Objects of clients that servers call back over connections of the client, which needs no listening port.

Loaded by proxies when ``_pyroCallback`` is used. Start reading at ``endpoint``.
"""
