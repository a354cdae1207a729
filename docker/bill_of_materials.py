"""Complete a CycloneDX list of Python packages with the Debian packages of the same image.

``bill_of_materials.py PYTHON_JSON DPKG_STATUS`` prints the whole bill. Debian's packages come from dpkg's own record of
what is installed, so that a scanner finds the same names and versions as in the image.
"""

import json
import sys
from pathlib import Path
from urllib.parse import quote


def debian_components(status: str) -> list[dict[str, str]]:
    """List what dpkg has installed, by package URL (https://github.com/package-url/purl-spec, type deb)."""
    components = []
    for stanza in status.strip().split("\n\n"):
        # continued lines begin with a space and hold no field of interest
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        url = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={fields['Architecture']}"
        components.append({"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url})
    return components


def main() -> None:
    """Print the bill of materials."""
    python, status = map(Path, sys.argv[1:])
    bill = json.loads(python.read_text(encoding="utf8"))
    bill["components"] += debian_components(status.read_text(encoding="utf8"))
    json.dump(bill, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
