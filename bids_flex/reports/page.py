"""Pages: jinja2 templates with everything inside them; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jinja2 import Environment


@cache
def _environment(*, escape: bool = True) -> Environment:
    """Make the environment: every value on a page is escaped, and a name that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("bids_flex.data", "templates"),
        autoescape=escape,  # noqa: S701 - what is not escaped is plain text, and escaped where a page shows it
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["embedded"] = embedded
    return found


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - what a template wants
    """Fill a template in; style and scripts of the pages are put into it."""
    folder = resources.files("bids_flex.data") / "templates"
    own = {
        name: (folder / file).read_text(encoding="utf8")
        for name, file in (("style", "page.css"), ("script", "page.js"))
    }
    return _environment().get_template(template).render(**own, **values)


def own_script(name: str) -> str:
    """Read a script that only some pages have."""
    return (resources.files("bids_flex.data") / "templates" / name).read_text(encoding="utf8")


def render_text(template: str, **values: Any) -> str:  # noqa: ANN401 - what a template wants
    """Fill in a template of plain text; empty lines in a row become one."""
    text = _environment(escape=False).get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def embedded(svg: bytes) -> str:
    """Turn an SVG file into an address that holds it; in an image nothing of it can run or meet the names of others."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def json_for_script(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Write JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def with_images(figures: Path, listed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put the content of every figure beside its description; one whose file has gone has an error."""
    found = []
    for one in listed:
        if "File" not in one:
            found.append({**one, "Image": None})
            continue
        path = figures / one["File"]
        try:
            found.append({**one, "Image": path.read_bytes(), "Error": None})
        except OSError as error:
            found.append({**one, "Image": None, "Error": f"{path.name} cannot be read ({error.strerror})"})
    return found
