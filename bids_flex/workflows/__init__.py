"""The only room that imports nipype.

One small graph per run, each in a child process of its own (``graph``, ``stages``, ``child``, ``participant``), one
for the group (``group``), and the order in which a call does its work (``app``).
"""
