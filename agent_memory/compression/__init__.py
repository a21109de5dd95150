"""A fitted code for contents: small, bounded in what it forgets, and each entry by itself.

``ContentsCode`` is fitted on what is remembered. Numbers are put on a lattice, once; everything
else stays exact. See ``docs/compression.md``.
"""
