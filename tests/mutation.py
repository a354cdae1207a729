"""Mutation testing of dynamics and stats: small faults are put into their code, and their own tests must notice.

``make mutation`` runs it, in a copy of the project and with the interpreter below the environment, which knows nothing
of the installed bids_flex. A sample of each module's mutants is tried, the same for the same seed and source.
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

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dynamics", "stats")
# a whole module, and a small one: mutmut makes no mutants and times no tests without trying some
FIRST = "bids_flex.dynamics.prior.*"
STATES = ("killed", "timeout", "survived", "no tests")


def copy_project(folder: Path) -> None:
    """Copy what the tests of the science need, with the kernels that the environment has compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("bids_flex", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (kernels,) = (found for path in sys.path for found in Path(path).glob("bids_flex/dynamics/_kernels*.so"))
    shutil.copy(kernels, folder / "bids_flex" / "dynamics")


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


def mutants() -> dict[str, SourceFileMutationData]:
    """Give all mutants by module, with what became of those that were tried."""
    found = {}
    for package in PACKAGES:
        for path in sorted(Path("bids_flex", package).glob("*.py")):
            data = SourceFileMutationData(path=path)
            data.load()
            if data.exit_code_by_key:
                found[f"{package}.{path.stem}"] = data
    return found


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


def mutmut(*names: str) -> None:
    # hypothesis tries the same examples at every call
    subprocess.run([sys.executable, "-m", "mutmut", "run", *names], check=True, env={**os.environ, "CI": "1"})


def report(tried: dict[str, list[str]], survivors: Path) -> None:
    """Print a row for each module, and write the difference of each survivor to a file."""
    print(f"{'module':24} {'mutants':>8} {'tried':>6}", *(f"{state:>9}" for state in STATES))
    total: Counter[str] = Counter()
    with survivors.open("w", encoding="utf8") as file:
        for module, data in mutants().items():
            states = {name: status_by_exit_code[data.exit_code_by_key[name]] for name in tried.get(module, [])}
            count = Counter(mutants=len(data.exit_code_by_key), tried=len(states)) + Counter(states.values())
            total += count
            print(f"{module:24} {count['mutants']:8} {count['tried']:6}", *(f"{count[state]:9}" for state in STATES))
            for name, state in states.items():
                if state not in {"killed", "timeout"}:
                    file.write(f"{name}: {state}\n{get_diff_for_mutant(name, path=data.path)}\n\n")
    print(f"{'all':24} {total['mutants']:8} {total['tried']:6}", *(f"{total[state]:9}" for state in STATES))
    print(f"What survived: {survivors}")


def main() -> None:
    """Try a sample of each module's mutants, or of one module's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutation")
    parser.add_argument("--each", type=int, default=25, help="how many mutants of a module are tried")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", action="append", help="only this one, such as dynamics.prior; may be repeated")
    said = parser.parse_args()
    work = said.folder.resolve() / "work"
    copy_project(work)
    os.chdir(work)
    mutmut(FIRST)
    wanted = {module: data for module, data in mutants().items() if module in (said.module or mutants())}
    tried = {module: sample(data, module, said.each, said.seed) for module, data in wanted.items()}
    mutmut(*(name for names in tried.values() for name in names))
    report(tried, work.parent / "survivors.txt")


if __name__ == "__main__":
    main()
