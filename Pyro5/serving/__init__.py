"""The server's inner parts: published objects, item streams, dispatch of requests; connections, limits, threads, the loop."""
