"""Mixed clients, well-behaved ones and others, against servers for a long time: ``python -m tests.soak``, or ``make soak``."""
