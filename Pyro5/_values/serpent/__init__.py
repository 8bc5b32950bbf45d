"""
A fast reader and writer of serpent text, equal in results to the serpent library.

Imported by the serpent serializer only. Start reading at ``reader``.
"""
