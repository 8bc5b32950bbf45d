"""Finds the object by its name and calls it: python client.py [NAME]..."""
import sys

import Pyro5.api

names = sys.argv[1:] or [input("What is your name? ").strip()]
with Pyro5.api.Proxy("PYRONAME:example.greeting") as greeter:
    for name in names:
        print(greeter.greet(name))
