"""The parts of a proxy: its state and connection, its methods, batches, item streams, and the search for a name server.

Imported by ``Pyro5.client``, the naming package and the tools. Start reading at ``link``.
"""
