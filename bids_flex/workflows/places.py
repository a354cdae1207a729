"""Where a call keeps what it does not deliver: intermediate files, caches of libraries, sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex.bids.outputs import check_writable, private_folder
from bids_flex.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("bids_flex")


def note_if_lost(output_dir: Path, root: Path = Path("/")) -> None:
    """Warn where results would vanish with the container: a folder on its own file system is on no disk of the host.

    Parameters
    ----------
    output_dir : Path
        The output folder, which is there.
    root : Path
        Of the container's own file system.
    """
    # the image sets it: outside, a folder on the same disk as the root is as good as any
    if os.environ.get("BIDS_FLEX_CONTAINER") and output_dir.stat().st_dev == root.stat().st_dev:
        LOG.warning(
            "%s is no folder of the host: it lies inside the container, and all results vanish with it; mount one "
            "(docker run -v /my/out:%s)",
            output_dir,
            output_dir.resolve(),
        )


@contextlib.contextmanager
def work_folder(asked: str | None) -> Iterator[Path]:
    """Give the folder for intermediate files: the one asked for, or one that vanishes with the call.

    Raises
    ------
    OutputError
        When it cannot be written, or no folder for temporary files can be.
    """
    if asked is not None:
        folder = Path(asked).resolve()
        check_writable(folder)
        _prepare(folder)
        yield folder
        return
    try:
        temporary = tempfile.TemporaryDirectory(prefix="bids_flex-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(
            f"no folder for intermediate files can be written ({error}): name one with --work-dir, or give the "
            "container one (docker run --tmpfs /tmp, or -v FOLDER:/scratch)"
        ) from error
    with temporary as name:
        _prepare(Path(name))
        yield Path(name)


def _prepare(folder: Path) -> None:
    """Send what libraries keep into the work folder, never below HOME, and sockets to a place made for them."""
    private_folder(folder / "nipype")
    os.environ["NIPYPE_CONFIG_DIR"] = str(folder / "nipype")
    _keep_fonts(folder / "matplotlib")
    # a temporary folder that is mounted may take no sockets, and their paths may have no more than 107 bytes
    shared = Path("/dev/shm")  # noqa: S108 - the folder inside is made, privately, by multiprocessing
    if os.access(shared, os.W_OK | os.X_OK):
        tempfile.tempdir = str(shared)


def _keep_fonts(folder: Path) -> None:
    """Give matplotlib a folder for its list of fonts that it can write, with the list that it has, if it has one."""
    given = os.environ.get("MPLCONFIGDIR")
    if given and os.access(given, os.W_OK):
        return
    os.environ["MPLCONFIGDIR"] = str(folder)
    if given and Path(given).is_dir() and not folder.exists():
        shutil.copytree(given, folder)
