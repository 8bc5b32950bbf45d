"""
What the table of settings is made of: the kinds of values, how they are parsed and checked.

Imported by ``configure`` only; it imports nothing of the package. Start reading at ``kinds``.
"""
