"""How the manual is built."""

from bids_flex import __version__

project = "bids_flex"
author = "The bids_flex developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence", "dollarmath"]
# two classes may have an attribute of one name
suppress_warnings = ["ref.python"]
