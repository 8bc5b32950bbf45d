"""Published objects: which members are exposed, who may use them, their signatures, and the objects of a daemon by id.

Imported by what runs calls (``Pyro5._calls``), by the daemons, and by the name server for its own object. Start reading at
``members`` (which members are exposed) and ``objects`` (the table of objects).
"""
