"""Shared by the command line tools: output, progress, checks and conversion of arguments.

Imported by the tools and by modules that can be run as one. Start reading at ``console``.
"""
