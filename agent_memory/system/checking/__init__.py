"""Looks through a whole memory beneath its repositories, and mends what can be mended.

Nothing is lost by it: places in indexes are made from the entries again; what cannot be read is
set aside with its bytes; only what was forgotten, and places of what is not there, are removed.
It may be done beside a live run: what looks wrong is looked at again before it is told.
"""
