"""The storage ``etcd:``: any number of name servers on one etcd cluster, through the JSON gateway of etcd.

Only the storage types import it, when a name server is told to use etcd. Start reading at `storage`, then `mirror`; `messages`
and `records` are pure.
"""
