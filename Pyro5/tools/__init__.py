"""What ``python -m Pyro5`` offers besides the servers: serve, call, inspect and doctor."""
