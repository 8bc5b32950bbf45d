"""Implementation of the name server: the registry, its storages, searches, broadcast responses and liveness checks.

Imported by ``Pyro5.nameserver``, the gateway and the tools. Start reading at ``registry``.
"""
