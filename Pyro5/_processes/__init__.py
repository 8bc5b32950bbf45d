"""Several processes that serve the clients of one daemon: starting and replacing them, and the messages between them.

Imported by ``Pyro5._daemon``. Start reading at ``supervisor`` (the processes) and ``siblings`` (their messages).
"""
