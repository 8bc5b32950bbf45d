"""Servers that are ready to run: the test echo server and the HTTP gateway."""
