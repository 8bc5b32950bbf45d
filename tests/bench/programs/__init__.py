"""The programs that are measured. They import nothing from outside this folder but Pyro5 and the standard library, and of
Pyro5 only the public API, so that they run unchanged with any Python and any Pyro5: ``cd tests/bench``, and then
``PYTHON -m programs.server``, ``programs.client`` or ``programs.floors``.
"""
