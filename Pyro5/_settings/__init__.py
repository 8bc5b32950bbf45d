"""The building blocks of the table of settings: kinds of values, with parsing and checking.

Imported by ``configure`` only; imports no other module of the package. Start reading at ``kinds``.
"""
