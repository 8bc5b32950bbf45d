"""Golden tests of the wire format: recordings of conversations between Pyro5 5.17 peers, one JSON file per group, and what
replays them.

* recordings: reads the files
* compare: tells whether a message is the recorded one, apart from what differs between any two runs
* values, app: what the recorded server served
* differences: where this library deliberately does something else
"""
