"""
The wire protocol without I/O: bytes to messages, messages to requests, replies and handshakes, and back.

Everything here is free of sockets, threads and clocks, so it may be imported by any module above it and driven by any
kind of transport. Start reading at ``reader`` (bytes to messages) and ``calls`` (what requests and replies mean).
"""
