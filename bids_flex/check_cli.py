"""bids_flex-check: whether an output folder is whole."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex.errors import BidsFlexError
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Check a derivative data set.

    Returns
    -------
    int
        0 when it is whole, 1 when there are faults, otherwise the error's own exit code.
    """
    parser = argparse.ArgumentParser(
        prog="bids_flex-check",
        description="Hold every table of an output folder against its JSON dictionary; one line for each fault.",
    )
    parser.add_argument("output_dir", type=Path, help="output folder of bids_flex")
    given = parser.parse_args(words)
    try:
        from bids_flex.bids.check import check_outputs

        tables, faults = check_outputs(given.output_dir)
    except BidsFlexError as error:
        print(f"bids_flex-check: error: {error}", file=sys.stderr)
        return error.exit_code
    for fault in faults:
        print(fault)
    print(f"{counted(tables, 'table')}, {counted(len(faults), 'fault')}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
