"""The server's inner parts: registry of objects, item streams, dispatch of requests, listener, connections, the loop."""
