"""The only room that knows BIDS.

Queries in (``inputs``), names and atomic files out (``names``, ``outputs``), and our own outputs read
back for the group level (``results``).
"""
