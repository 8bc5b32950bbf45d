"""Checks of marshal data before the marshal module of the interpreter decodes it.

Imported by the marshal serializer and the package ``_messages``. Start reading at ``check``.
"""
