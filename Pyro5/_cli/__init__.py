"""
What the command line tools share: output, progress, checks and conversions of arguments.

Imported by the tools and by modules that can be run as one. Start reading at ``console``.
"""
