"""What a daemon is made of: published objects, dispatch of calls, the event loop, workers and limits.

Imported by ``Pyro5.server`` and the socket servers ``Pyro5.svr_*``. Start reading at ``loop`` (connections) and
``dispatch`` (calls).
"""
