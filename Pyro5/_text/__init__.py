"""Make text from the network safe for logs and terminals.

Imported by every other package. Start reading at ``printable``.
"""
