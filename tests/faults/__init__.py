"""What becomes of calls when processes are killed, networks fail and disks are full: ``python -m tests.faults``.

Clients put down which calls they begin and which are acknowledged, servers which calls they execute; when everything is over
the two must fit together.
"""
