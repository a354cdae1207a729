"""The house in numbers: small functions and modules, no dead code; rooms say what they are, and names have examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bids_flex"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ("dynamics", "signal", "stats")

CALLED_BY_NAME = """
handleError        logging calls it
_run_interface input_spec output_spec out_file    nipype reads them off its interfaces
tempdir            the standard library reads it
white_matter csf global_signal    read by getattr, tissue by tissue
antidepressant p_parametric       fields that users read
p_median p_share median_low median_high share_null    fields that _asdict hands on to a table
updatehash         nipype's own name for an argument of its plugins
"""
"""Names that nothing of ours calls, and who does."""

WITHOUT_EXAMPLE = {
    "arrange", "parcel_map", "parcellate", "parcellate_greyordinates", "read_confounds", "read_displacement",
    "read_mask", "read_table", "drawn_spheres", "quality_figures",  # they read or draw files
    "harmonise",  # needs an extra
    "diagnosis_models", "medication_models", "mixed_model", "written_families",  # see docs/howto/models.md
}  # fmt: skip
"""Public functions whose docstrings have no example; the number may fall, and never rise."""


def functions():
    """Every function, the lines that it takes, and those without its docstring."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                said = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
                yield f"{path.stem}.{node.name}", lines, lines - said


def test_functions_are_short():
    """No body of more than 60 lines, docstrings aside; half of all take fewer than 15 with them."""
    known = list(functions())
    assert len(known) > 900
    assert [name for name, _, body in known if body > 60] == []
    assert statistics.median(lines for _, lines, _ in known) < 15


def test_no_module_is_longer_than_400_lines():
    sizes = {path.name: len(path.read_text(encoding="utf8").splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_every_module_and_room_says_what_lives_there():
    """In words of its own: a room in at least three lines or with names that are listed, a module in one."""
    silent = [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))]
    assert silent == []
    for path in PACKAGE.glob("*/__init__.py"):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))
        assert len(said.splitlines()) >= 3, path


def test_no_code_is_dead():
    whitelist = [word for line in CALLED_BY_NAME.split("\n") for word in line.partition("   ")[0].split()]
    words = ["--min-confidence", "60", "--ignore-names", ",".join(whitelist)]
    told = subprocess.run(
        [sys.executable, "-m", "vulture", str(PACKAGE), *words], capture_output=True, text=True, check=False
    )
    assert (told.stdout, told.stderr) == ("", "")


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_public_is_listed_described_and_shown(room):
    module = importlib.import_module(f"bids_flex.{room}")
    # where doctests were collected, pytest has put modules in the place of functions of the same name
    known = {name for name, value in vars(module).items() if not inspect.ismodule(value) or name in module.__all__}
    assert {name for name in known if name[0] != "_"} == set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    told = {name: inspect.getdoc(getattr(module, name)) for name in module.__all__ if callable(getattr(module, name))}
    assert [name for name, text in told.items() if not text] == []
    shown = {name for name, text in told.items() if ">>>" in text or inspect.isclass(getattr(module, name))}
    assert set(told) - shown == WITHOUT_EXAMPLE & set(told)
