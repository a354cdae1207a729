"""The only room that knows BIDS.

Queries in (``inputs``, ``greyordinates``, ``series``, through pybids), names and atomic files out (``names``,
``outputs``), the data set's tables (``tables``), and our own outputs read back for the group level (``summaries``).
"""
