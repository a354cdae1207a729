"""The atlas of an analysis among its derivatives: which regions, where they lie, and the image that draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import join_entities
from bids_flex.bids.outputs import write_atomic, write_table
from bids_flex.bids.results import read_sidecar
from bids_flex.content import LARGEST_LABEL, why_too_large
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd

GREY_ENDINGS = (".dlabel.nii", ".pscalar.nii")
"""Of images of greyordinates, or of parcels where only series of parcels were read."""

ENDINGS = (".nii.gz", ".nii", *GREY_ENDINGS)
"""Of all images."""

AGAIN = "remove it, and run the participant level again"


@dataclass(frozen=True, slots=True, eq=False)
class KeptAtlas:
    """An atlas as the participant level has left it.

    Attributes
    ----------
    regions : pandas.DataFrame
        ``index``, ``name``, ``network``, and ``x``, ``y``, ``z`` in mm (NaN where they are not known).
    image : Path or None
        Where regions are drawn with their index; None when only their names are known.
    """

    regions: pd.DataFrame
    image: Path | None

    @property
    def on_voxels(self) -> bool:
        """Whether there is an image, and it is one of voxels."""
        return self.image is not None and not self.image.name.endswith(GREY_ENDINGS)


def _table_path(output_dir: Path, entities: Mapping[str, str]) -> Path:
    named = {key: entities[key] for key in ("atlas", "seg", "scale") if key in entities}
    return output_dir / "atlases" / f"{join_entities(named)}_dseg.tsv"


def keep_atlas(
    output_dir: Path,
    entities: Mapping[str, str],
    fingerprint: str,
    make: Callable[[], tuple[pd.DataFrame, bytes | None, str]],
    facts: Mapping[str, Any],
) -> None:
    """Write an atlas, unless it is there with the same content; its sidecar comes last.

    Parameters
    ----------
    output_dir : Path
        The derivative data set.
    entities : mapping
        ``atlas``, and ``seg`` and ``scale`` where there are any.
    fingerprint : str
        Of the content.
    make : callable
        Gives the table of regions, the bytes of the image (None without one) and its ending.
    facts : mapping
        For the sidecar.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    path = _table_path(output_dir, entities)
    there = read_sidecar(path.with_suffix(".json"))
    if there is not None and there.get("AtlasFingerprint") == fingerprint:
        return
    regions, image, ending = make()
    for other in ENDINGS:
        path.with_name(path.name.removesuffix(".tsv") + other).unlink(missing_ok=True)
    if image is not None:
        write_atomic(path.with_name(path.name.removesuffix(".tsv") + ending), image)
    write_table(path, regions, {**facts, "AtlasFingerprint": fingerprint})


def read_atlas(output_dir: Path, entities: Mapping[str, str]) -> KeptAtlas | None:
    """Read an atlas back; None when the outputs hold none of that name, as those of earlier versions.

    Parameters
    ----------
    output_dir : Path
        The derivative data set.
    entities : mapping
        Of a result: ``atlas``, and ``seg`` and ``scale`` where there are any.

    Raises
    ------
    DatasetFileError
        When what lies there is no atlas that the participant level can have left.
    """
    import pandas as pd

    path = _table_path(output_dir, entities)
    if read_sidecar(path.with_suffix(".json")) is None or not path.is_file():
        return None
    text = {"name": str, "network": str}
    regions = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=text)
    images = (path.with_name(path.name.removesuffix(".tsv") + ending) for ending in ENDINGS)
    image = next((image for image in images if image.is_file()), None)
    if regions["index"].max() > LARGEST_LABEL:
        raise DatasetFileError(f"{path} holds labels above {LARGEST_LABEL}: {AGAIN}")
    if image is not None and (told := _why_unreadable(image)):
        raise DatasetFileError(f"{told}: {AGAIN}")
    return KeptAtlas(regions, image)


def _why_unreadable(image: Path) -> str | None:
    """Say why the image of an atlas cannot be read; None when its header is credible."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        return why_too_large(nib.load(image), image)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        return f"{image} cannot be read as an image ({error})"
