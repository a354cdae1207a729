"""What the app brings along: packages pinned by hashes, none of a run under the GPL; and no secret among our files.

Whether a package has a known weakness is not asked here: the lists of advisories need a network
(`pip-audit --require-hashes -r requirements.lock`, see SECURITY.md).
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PERMITTED = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|ISC|zlib|CC0|HPND|AFL|Unlicense)\b",
    re.IGNORECASE,
)
REFUSED = re.compile(r"GPL|General Public|SSPL|Commons Clause|proprietary", re.IGNORECASE)
# under the LGPL; TemplateFlow's client, which only `bids_flex-atlas fetch` imports, brings them along with pybids
LESSER = {"frozendict", "num2words"}
# what matplotlib, scipy and others write instead of a name begins with their own copyright
NAMED_BY_CLASSIFIER = 100


def locked():
    """Pinned versions and hashes by name."""
    found = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text()):
        lines = [line.rstrip("\\ ") for line in block.splitlines() if not line.lstrip().startswith("#")]
        if lines and lines[0].strip():
            pinned = Requirement(lines[0].split(" ;")[0])
            hashes = [line.strip() for line in lines[1:]]
            found.setdefault(canonicalize_name(pinned.name), []).append((str(pinned.specifier), hashes))
    return found


def at_run_time(without=""):
    """Names of all packages that an installation without extras brings along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [(one, "") for one in map(Requirement, project["dependencies"])]
    found = set()
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name == without or (name, *wanted.extras) in found:
            continue
        found.add((name, *wanted.extras))
        for text in distribution(name).requires or []:
            waiting += [(Requirement(text), one) for one in ("", *wanted.extras)]
    return sorted({name for name, *_ in found})


def licence(metadata):
    """How a package names its licence."""
    classifiers = [one for one in metadata.get_all("Classifier", []) if one.startswith("License ::")]
    text = metadata.get("License-Expression") or "; ".join(classifiers) or metadata.get("License") or ""
    return text[:NAMED_BY_CLASSIFIER] if not classifiers else text


def fault(name):
    """What is wrong with a package of the run-time environment; None when nothing is."""
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return "is not installed"
    if f"=={installed.version}" not in [version for version, _ in locked().get(name, [])]:
        return f"{installed.version} is not in the lock"
    named = licence(installed.metadata)
    if REFUSED.search(named) or not PERMITTED.search(named):
        return f"has the licence {named!r}"
    return None


def test_every_package_of_the_lock_is_pinned_by_hashes():
    packages = locked()
    assert len(packages) > 100
    entries = [(name, *entry) for name, several in packages.items() for entry in several]
    loose = [name for name, version, _ in entries if not re.fullmatch(r"==[^,*]+", version)]
    hashed = re.compile(r"--hash=sha256:[0-9a-f]{64}")
    bare = [name for name, _, hashes in entries if not hashes or not all(map(hashed.fullmatch, hashes))]
    assert (loose, bare) == ([], [])


def test_everything_at_run_time_is_in_the_lock_and_under_a_permissive_licence():
    names = at_run_time()
    assert {"numpy", "nipype", "urllib3"} <= set(names)
    assert {name: told for name in names if (told := fault(name)) and name not in LESSER} == {}


def naming(pattern):
    """Modules of ours that hold a pattern."""
    return [path.name for path in (ROOT / "bids_flex").rglob("*.py") if re.search(pattern, path.read_text())]


def test_packages_under_the_lesser_licence_come_with_pybids_alone():
    assert set(at_run_time()) >= LESSER
    assert LESSER & set(at_run_time(without="pybids")) == set()


def test_the_client_that_uses_the_network_is_imported_by_one_command_alone():
    assert naming(r"templateflow\.api") == ["atlas_cli.py"]
    assert naming(r"import bids\b|from bids ") == ["index.py"]


@pytest.mark.parametrize("oracle", ["igraph", "leidenalg", "pingouin"])
def test_oracles_under_the_gpl_stay_out_of_the_app(oracle):
    assert "GPL" in fault(oracle)
    assert oracle not in at_run_time()
    assert naming(rf"import {oracle}\b") == []


SECRETS = re.compile(
    rb"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|gh[pousr]_[A-Za-z0-9]{36}|xox[baprs]-[0-9A-Za-z-]{10,}"
    rb"|(?i:password|passwd|api_key|secret|token)\s*[=:]\s*[\"'][A-Za-z0-9/+_-]{12,}[\"']"
)


def test_no_file_of_ours_holds_a_secret():
    folders = ("bids_flex", "tests", "docs", "benchmarks", ".ci", ".circleci")
    files = [*ROOT.iterdir(), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    files = [path for path in files if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 200
    assert [path.name for path in files if SECRETS.search(path.read_bytes())] == []
    planted = b"api_key = '" + b"0123456789abcdef" + b"'"
    assert SECRETS.search(planted)
