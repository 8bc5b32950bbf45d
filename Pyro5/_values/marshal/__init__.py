"""
Checks of marshal data before the interpreter's own reader gets it.

Imported by the marshal serializer and the request parser only. Start reading at ``check``.
"""
