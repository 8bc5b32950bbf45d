"""The tests. Most of what they provoke is logged; only those that look at the log are to see it."""
import logging

logging.getLogger("Pyro5").addHandler(logging.NullHandler())
