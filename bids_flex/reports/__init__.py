"""Figures and pages, made of our own derivatives alone: they can be made again at any time (``--reports-only``).

A figure is a function from a run's tables to a matplotlib figure; a page is a jinja2 template and the figures' SVG.
"""

from bids_flex.reports.group import make_group_page
from bids_flex.reports.multiverse import make_multiverse_page
from bids_flex.reports.participant import make_participant_pages

__all__ = ["make_group_page", "make_multiverse_page", "make_participant_pages"]
