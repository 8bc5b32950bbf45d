"""
What a proxy is made of: its link and connection, batches, item streams and the search for a name server.

Imported by ``Pyro5.client``, the naming package and the tools. Start reading at ``link``.
"""
