"""The meaning of messages: requests, replies and handshakes, to and from payloads of the serializers. No I/O.

Imported by the client, the server and the tools. Start reading at ``requests``; ``replies`` is the way back.
"""
