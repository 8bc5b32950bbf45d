"""The tools of ``python -m Pyro5`` other than the servers: serve, call, inspect and doctor."""
