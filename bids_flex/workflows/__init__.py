"""The only room that imports nipype.

One small graph per run, each in a child process of its own (``graph``, ``stages``, ``child``, ``participant``); the
group (``group``); many analyses at once (``multiverse``, ``group_multiverse``); and the order in which a call does its
work (``app``).
"""
