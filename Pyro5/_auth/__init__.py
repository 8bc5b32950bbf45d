"""Authentication: the shared key, users with passwords, and their roles.

Imported by `_client`, `_aio`, `_server`, the naming package and the tools. Start reading at ``exchange``, which describes
the messages.
"""
