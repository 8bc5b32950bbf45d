"""The table of settings, kinds of values with parsing and checking, and environment variables.

Imported by ``configure`` and the tool that prints the settings; imports no other module of the package. Start reading at
``table``.
"""
