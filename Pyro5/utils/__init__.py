"""Ready-made servers: the test echo server and the HTTP gateway."""
