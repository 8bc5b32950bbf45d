"""
Text of peers, on its way to a log or a terminal.

Imported by every other package. Start reading at ``printable``.
"""
