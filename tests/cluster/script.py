"""The sbatch script with other settings, as users make it, and stand-ins for the programs that it calls."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[2] / "scripts" / "slurm" / "bids_flex.sbatch"
APP = Path(sys.executable).with_name("bids_flex")

# notes its own words, one a line, and says what a scheduler would
SBATCH = """\
#!/bin/bash
printf '%s\\n' "$@" '' >>"$RECORD"
number=$(($(cat "$RECORD.number" 2>/dev/null || echo 100) + 1))
[[ $number -le ${MOST:-999} ]] || { echo 'sbatch: error: job submit limit' >&2; exit 1; }
echo $number | tee "$RECORD.number"
"""

# notes its own words, then runs the app in the place of the image's, with nothing of the environment but what was asked
CONTAINER = """\
#!/bin/bash
printf '%s\\n' "$@" >"$RECORD"
environment=()
while [[ $1 != *.sif ]]; do [[ $1 != --env ]] || environment+=("$2"); shift; done
shift
exec env -i PATH="$PATH" "${environment[@]}" "$APP" "$@"
"""


@dataclass(frozen=True)
class Done:
    """What a call of the script returned and said."""

    code: int
    out: str
    err: str


def adapt(script: Path, *, cpus: int = 1, mem: str = "1G", **settings: object) -> Path:
    """Write the script with settings of its own, each in the place of the one that it has."""
    text = SHIPPED.read_text()
    for name, value in settings.items():
        said = f"({shlex.join(map(str, value))})" if isinstance(value, list | tuple) else shlex.quote(str(value))
        text, times = re.subn(rf"^{name}=.*$", lambda _old, new=f"{name}={said}": new, text, flags=re.MULTILINE)
        assert times == 1, name
    for option, value in (("cpus-per-task", cpus), ("mem", mem)):
        text, times = re.subn(rf"^#SBATCH --{option}=.*$", f"#SBATCH --{option}={value}", text, flags=re.MULTILINE)
        assert times == 1, option
    script.write_text(text)
    return script


def executable(path: Path, text: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def call(script: Path, *words: object, environment: dict[str, str], cwd: Path | None = None) -> Done:
    """Call the script by bash, as its first lines say, where jobs' logs go."""
    done = subprocess.run(
        ["bash", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd or script.parent,
        env=environment,
    )
    return Done(done.returncode, done.stdout, done.stderr)
