"""What one participant takes on one processor: CPU seconds, memory, disk, inodes; one factor at a time around a base.

CPU time hardly depends on what else the machine does; the seconds beside it do. Memory is that of the run's own
process, as the log tells it, and the most that all processes of the call held together (shared pages counted once).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Case:
    """One participant with one run, and what is done with it; None: the app's own number."""

    tr_s: float = 2.0
    volumes: int = 300
    voxel_mm: float = 4.0
    regions: int = 100
    restarts: int | None = None
    surrogates: int | None = None
    engines: tuple[str, ...] = ()
    pages: bool = True

    @property
    def options(self) -> list[str]:
        """What the app is told."""
        words = [] if self.restarts is None else ["--restarts", str(self.restarts)]
        words += [] if self.surrogates is None else ["--n-surrogates", str(self.surrogates)]
        words += ["--engine", *self.engines] if self.engines else []
        return words if self.pages else [*words, "--no-reports"]


FACTORS: dict[str, tuple[Case, ...]] = {
    "base": (Case(),),
    "tr": tuple(Case(tr_s=tr) for tr in (1.0, 3.0)),
    "volumes": tuple(Case(volumes=volumes) for volumes in (150, 600, 1200)),
    "regions": tuple(Case(regions=regions) for regions in (200, 400)),
    "restarts": tuple(Case(restarts=restarts) for restarts in (10, 500)),
    "surrogates": tuple(Case(surrogates=surrogates) for surrogates in (0, 199)),
    "grid": tuple(Case(voxel_mm=voxel) for voxel in (3.0, 2.0)),
    "engine": tuple(Case(engines=(engine,)) for engine in ("prior", "multilayer")),
    "pages": (Case(pages=False),),
}


def main() -> None:
    """Print a table, a row as soon as it is measured."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--factor", nargs="+", choices=FACTORS, default=[*FACTORS], help="only these")
    words.add_argument("--restarts", type=int, help="for every row that does not say")
    words.add_argument("--surrogates", type=int, help="for every row that does not say")
    asked = words.parse_args()
    # processes that outlive their parent come to this one, so that their time can be counted
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    titles = ("factor", "TR", "volumes", "mm", "regions", "restarts", "surrogates", "CPU s", "s", "run MiB", "call MiB")
    print("|", " | ".join((*titles, "KiB", "inodes")), "|")
    print("|" + "---|" * (len(titles) + 2), flush=True)
    for factor in asked.factor:
        for case in FACTORS[factor]:
            said = {} if case.restarts is not None or asked.restarts is None else {"restarts": asked.restarts}
            if case.surrogates is None and asked.surrogates is not None:
                said["surrogates"] = asked.surrogates
            row(factor, replace(case, **said))


def row(factor: str, case: Case) -> None:
    """Simulate, analyse and print."""
    name = f"{factor} {' '.join(case.engines)}".strip() + ("" if case.pages else " off")
    with tempfile.TemporaryDirectory(prefix="bids_flex-") as folder:
        study, out = Path(folder, "study"), Path(folder, "out")
        simulate(case, study)
        atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
        call = [tool("bids_flex"), study, out, "participant", "--atlas", atlas, "--work-dir", Path(folder, "work")]
        cpu, seconds, together = measure([*call, "--nprocs", "1", *case.options])
        (status,) = out.glob("logs/*/status.tsv")
        own = float(status.read_text().split("\n")[1].split("\t")[-1])
        there = list(out.rglob("*"))
        disk = sum(path.lstat().st_blocks for path in there) / 2
    restarts = "100" if case.restarts is None else case.restarts
    surrogates = "199 + 50" if case.surrogates is None else case.surrogates
    print(
        f"| {name} | {case.tr_s:g} | {case.volumes} | {case.voxel_mm:g} | {case.regions} | {restarts} | {surrogates} "
        f"| {cpu:.1f} | {seconds:.0f} | {own:.0f} | {together:.0f} | {disk:.0f} | {len(there)} |",
        flush=True,
    )


def simulate(case: Case, study: Path) -> None:
    """Write the study of one person."""
    words = {
        "participants": 1,
        "tr-s": case.tr_s,
        "duration-s": case.tr_s * case.volumes,
        "voxel-mm": case.voxel_mm,
        "regions": case.regions,
        "motion": 0.3,
    }
    options = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    subprocess.run([tool("bids_flex-simulate"), study, *options], check=True, stdout=subprocess.DEVNULL)


def tool(name: str) -> Path:
    """Find one of our commands beside this Python."""
    return Path(sys.executable).with_name(name)


def measure(call: list[object]) -> tuple[float, float, float]:
    """Run a call on one processor; give CPU seconds of all its processes, seconds, and MiB that they held together."""
    started = time.perf_counter()
    environment = {**os.environ, "SLURM_CPUS_PER_TASK": "1"}
    words = [str(word) for word in call]
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    peaks = [0.0]
    ended = threading.Event()
    watch = threading.Thread(target=sample, args=(process.pid, peaks, ended))
    watch.start()
    told = process.stderr.read() if process.stderr else ""
    cpu, code = 0.0, 0
    with contextlib.suppress(ChildProcessError):
        while True:
            number, status, used = os.wait4(-1, 0)
            cpu += used.ru_utime + used.ru_stime
            code = status if number == process.pid else code
    ended.set()
    watch.join()
    if code:
        raise SystemExit(f"exit code {os.waitstatus_to_exitcode(code)}:\n{told}")
    return cpu, time.perf_counter() - started, max(peaks)


def sample(session: int, peaks: list[float], ended: threading.Event) -> None:
    """Note five times a second what the processes of a session hold together."""
    while not ended.wait(0.2):
        peaks.append(sum(held(entry, session) for entry in Path("/proc").glob("[0-9]*")) / 1024)


def held(entry: Path, session: int) -> float:
    """Read the proportional share of memory of a process, in KiB; 0 when it is another's, or gone."""
    try:
        if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) != session:
            return 0
        lines = (entry / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
