"""How the manual is built."""

import os
import sys
from pathlib import Path

# neither building pages nor the examples asks a network for anything
os.environ |= {"NO_ET": "1", "NIPYPE_NO_ET": "1", "MPLBACKEND": "agg"}
sys.path.insert(0, str(Path(__file__).parent))

from make_reference import write_reference
from sphinx.application import Sphinx

from bids_flex import __version__

project = "bids_flex"
author = "The bids_flex developers"
copyright = "The bids_flex developers, Apache-2.0"
html_title = f"bids_flex {__version__}"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
html_theme = "furo"
exclude_patterns = ["_build", "examples/sg_execution_times.rst", "sg_execution_times.rst", "gallery/numbers.md"]
autodoc_typehints = "description"
myst_enable_extensions = ["colon_fence"]
# links to headings are checked like links to pages
myst_heading_anchors = 4
# two classes may have an attribute of one name
suppress_warnings = ["ref.python", "config.cache"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "abort_on_example_error": True,
}


def setup(app: Sphinx) -> None:
    """Write the reference anew before any page is read."""
    app.connect("builder-inited", lambda _: write_reference(Path(__file__).parent / "reference"))
