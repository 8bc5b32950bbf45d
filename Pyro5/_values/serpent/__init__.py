"""A fast reader and writer of serpent text, with the same results as the serpent library.

Imported by the serpent serializer only. Start reading at ``reader``.
"""
