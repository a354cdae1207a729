"""Mutation testing of dynamics and stats: small faults are put into their code, and their own tests must notice.

``make mutation`` runs it, in a copy of the project and with the interpreter below the environment, which knows nothing
of the installed bids_flex. A sample of each module's mutants is tried, the same for the same seed and source; of these,
each meets the tests that reach its function, of the module's own file of tests or, where there is none, of its package.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import TextIO

from mutmut.__main__ import create_mutants
from mutmut.configuration import reset_config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dynamics", "stats")
COLUMNS = ("mutants", "tried", "killed", "timeout", "survived", "no tests")


def copy_project(folder: Path) -> None:
    """Copy what the tests of the science need, with the kernels that the environment has compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("bids_flex", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (kernels,) = (found for path in sys.path for found in Path(path).glob("bids_flex/dynamics/_kernels*.so"))
    shutil.copy(kernels, folder / "bids_flex" / "dynamics")


def choose(folder: Path, module: str) -> None:
    """Have mutmut make mutants of one module, and meet them with its tests."""
    package, name = module.split(".")
    own = Path("tests", package, f"test_{name}.py")
    tests = own if own.exists() else own.parent
    text = (ROOT / "pyproject.toml").read_text(encoding="utf8")
    asked = f'only_mutate = ["bids_flex/{package}/{name}.py"]\npytest_add_cli_args_test_selection = ["{tests}"]\n'
    (folder / "pyproject.toml").write_text(text.replace("[tool.mutmut]\n", f"[tool.mutmut]\n{asked}"), encoding="utf8")


def tokens(lines: list[str]) -> list[tokenize.TokenInfo]:
    """Give the tokens of some lines, which need not be whole statements."""
    found = []
    with contextlib.suppress(tokenize.TokenError, IndentationError):
        found.extend(tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline))
    return found


def changes_words_alone(difference: str) -> bool:
    """Whether a mutant differs only in a text of several words: what a message says, never a name or an option."""
    changed = difference.splitlines()[3:]
    old, new = (tokens([line[1:] for line in changed if line[0] in f" {sign}"]) for sign in "-+")
    if len(old) != len(new):
        return False
    unlike = [a for a, b in zip(old, new, strict=True) if a.string != b.string]
    return bool(unlike) and all(one.type == tokenize.STRING and " " in one.string for one in unlike)


def make_mutants(module: str) -> SourceFileMutationData:
    """Make all mutants of a module."""
    reset_config()
    Path("mutants").mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(max_children=1)
    return mutants_of(module)


def mutants_of(module: str) -> SourceFileMutationData:
    """Look up the mutants of a module, and what became of those that were tried."""
    data = SourceFileMutationData(path=Path("bids_flex", *module.split(".")).with_suffix(".py"))
    data.load()
    return data


def sample(data: SourceFileMutationData, module: str, size: int, seed: int) -> list[str]:
    """Choose mutants of one module at random, leaving out those that change words alone."""
    names = sorted(data.exit_code_by_key)
    random.Random(f"{seed} {module}").shuffle(names)
    chosen: list[str] = []
    for name in names:
        if len(chosen) == size:
            break
        if not changes_words_alone(get_diff_for_mutant(name, path=data.path)):
            chosen.append(name)
    return chosen


def attempt(module: str, size: int, seed: int, file: TextIO) -> Counter[str]:
    """Try a sample of a module's mutants, write the difference of each survivor, and count what became of them."""
    choose(Path.cwd(), module)
    shutil.rmtree("mutants", ignore_errors=True)
    made = make_mutants(module)
    names = sample(made, module, size, seed)
    if not names:
        return Counter()
    # as many at a time as there are processors that may be used; hypothesis tries the same examples at every call
    run = [sys.executable, "-m", "mutmut", "run", "--max-children", str(len(os.sched_getaffinity(0))), *names]
    subprocess.run(run, check=True, env={**os.environ, "CI": "1"}, stdout=subprocess.DEVNULL)
    data = mutants_of(module)
    states = {name: status_by_exit_code[data.exit_code_by_key[name]] for name in names}
    # tests whose process dies have noticed
    states = {name: "killed" if state == "segfault" else state for name, state in states.items()}
    for name, state in states.items():
        if state not in {"killed", "timeout"}:
            file.write(f"{name}: {state}\n{get_diff_for_mutant(name, path=data.path)}\n\n")
    file.flush()
    return Counter(mutants=len(data.exit_code_by_key), tried=len(names)) + Counter(states.values())


def row(title: str, count: Counter[str]) -> str:
    return f"{title:24} " + " ".join(f"{count[column]:9}" for column in COLUMNS)


def main() -> None:
    """Try a sample of each module's mutants, or of some modules'."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="only these, such as dynamics.prior")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutation")
    parser.add_argument("--each", type=int, default=25, help="how many mutants of a module are tried")
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    work = said.folder.resolve() / "work"
    copy_project(work)
    os.chdir(work)
    all_modules = [
        f"{one.parent.name}.{one.stem}" for name in PACKAGES for one in sorted(Path("bids_flex", name).glob("*.py"))
    ]
    print(f"{'module':24} " + " ".join(f"{column:>9}" for column in COLUMNS), flush=True)
    total: Counter[str] = Counter()
    with (work.parent / "survivors.txt").open("w", encoding="utf8") as file:
        for module in said.modules or all_modules:
            count = attempt(module, said.each, said.seed, file)
            total += count
            if count:
                print(row(module, count), flush=True)
    print(row("all", total))
    print(f"What survived: {work.parent / 'survivors.txt'}")


if __name__ == "__main__":
    main()
