"""A BIDS App that measures how much brain networks reconfigure over time, and compares people."""

__version__ = "0.1.0"
