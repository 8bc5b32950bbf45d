"""How a server treats its clients: sockets, the event loop, workers, output, and limits for clients.

Imported by the daemons, by the socket servers ``Pyro5.svr_*`` and by ``Pyro5._processes``. Start reading at ``loop``
(connections) and ``workers`` (threads).
"""
