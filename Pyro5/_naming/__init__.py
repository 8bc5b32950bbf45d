"""
What the name server is made of: the registry, its storages, searches, broadcast answers and liveness checks.

Imported by ``Pyro5.nameserver``, the gateway and the tools. Start reading at ``registry``.
"""
