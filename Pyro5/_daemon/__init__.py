"""The parts of the class Daemon: registering objects, reporting what happens inside, and creating its socket server.

Imported by ``Pyro5.server`` and ``Pyro5._aio_server``. Start reading at ``registrations`` (the base class of the daemons) and
``transports`` (socket servers).
"""
