"""Looks through a whole memory beneath its repositories, and mends what can be mended.

Nothing is lost by it. Index entries are made from the entries again. What cannot be read goes into
quarantine with its bytes. Only what was forgotten, and index entries of what is not there, are
removed. A check may run beside a live run: what looks wrong is looked at again before it is
reported.
"""
