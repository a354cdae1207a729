"""How much do brain networks reconfigure over time, and does that differ between people?"""

__version__ = "0.1.0.dev0"
