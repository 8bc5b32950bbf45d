"""Measures calls against what the same bytes cost over bare sockets. Run ``python -m tests.bench``, or ``make bench``."""
