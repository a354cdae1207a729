"""Where the windows of a run lie, which of them have enough data, and which pairs of them may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Shape = Literal["rect", "gaussian", "tukey"]


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """The windows of one run.

    Attributes
    ----------
    starts : ndarray of int, shape (W,)
        First volume of every window that has enough data.
    length, step : int
        In volumes.
    tr_s : float
        Repetition time in seconds.
    taper : ndarray, shape (length,)
        Weight of each volume of a window.
    keep : ndarray of bool, shape (T,)
        Volumes that are not censored.
    kept_frames : ndarray of int, shape (W,)
        Number of volumes of each window that are not censored.
    pairs : ndarray of bool, shape (W - 1,)
        Whether window w and the next one of this plan follow each other without a dropped window between them.
    dropped : tuple of (int, str)
        First volume of every window without enough data, and why it was dropped.
    """

    starts: NDArray[np.int64]
    length: int
    step: int
    tr_s: float
    taper: NDArray[np.float64]
    keep: NDArray[np.bool_]
    kept_frames: NDArray[np.int64]
    pairs: NDArray[np.bool_]
    dropped: tuple[tuple[int, str], ...]

    @property
    def n_windows(self) -> int:
        """Number of windows that have enough data."""
        return len(self.starts)

    @property
    def step_s(self) -> float:
        """Step in seconds."""
        return self.step * self.tr_s


def to_volumes(duration: float, tr: float, unit: Literal["s", "volumes"] = "s") -> int:
    """Express a duration in volumes, halves rounded up.

    >>> to_volumes(60, 1.5), to_volumes(5, 2), to_volumes(27, 2, "volumes")
    (40, 3, 27)
    """
    return int(np.floor(duration / (tr if unit == "s" else 1.0) + 0.5))


def plan_windows(
    n_volumes: int,
    tr: float,
    length: float,
    step: float,
    unit: Literal["s", "volumes"] = "s",
    shape: Shape = "rect",
    keep: ArrayLike | None = None,
    min_kept: float = 0.5,
) -> WindowPlan:
    """Lay windows over a run: they start at 0, step, 2 step, ... as long as they fit.

    Parameters
    ----------
    n_volumes : int
        Volumes of the run, T.
    tr : float
        Repetition time in seconds.
    length, step : float
        In ``unit``; at least 3 and at least 1 volume after rounding.
    unit : {"s", "volumes"}
        Unit of length and step.
    shape : {"rect", "gaussian", "tukey"}
        Equal weights, a Gaussian with sigma (length - 1) / 5, or a Tukey window of which half is cosine.
    keep : array of bool, shape (T,), optional
        False for censored volumes.
    min_kept : float
        A window whose taper-weighted share of kept volumes is smaller is dropped.

    Raises
    ------
    UsageError
        When an argument makes no sense.
    RunError
        When not even one window fits, or none has enough data.

    Examples
    --------
    >>> plan = plan_windows(n_volumes=200, tr=2.0, length=60, step=10)
    >>> plan.n_windows, plan.length, plan.step
    (35, 30, 5)
    >>> plan_windows(200, tr=2.0, length=30, step=5, unit="volumes").n_windows
    35
    """
    if not (tr > 0 and length > 0 and step > 0):
        raise UsageError(f"tr, length and step must be above 0, not {tr}, {length} and {step}")
    if unit not in {"s", "volumes"}:
        raise UsageError(f"unit is {unit!r}; it must be 's' or 'volumes'")
    if not 0 < min_kept <= 1:
        raise UsageError(f"min_kept is {min_kept}; it must be above 0 and at most 1")
    frames = np.ones(n_volumes, dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
    if frames.shape != (n_volumes,):
        raise UsageError(f"keep has shape {frames.shape}, but the run has {n_volumes} volumes")
    size, stride = max(3, to_volumes(length, tr, unit)), max(1, to_volumes(step, tr, unit))
    if size > n_volumes:
        raise RunError(
            f"the run has {n_volumes} volumes ({n_volumes * tr:g} s), fewer than one window of {size} "
            f"({size * tr:g} s): choose shorter windows or leave the run out"
        )
    starts = np.arange(0, n_volumes - size + 1, stride)
    taper = window_taper(size, shape)
    inside = frames[starts[:, None] + np.arange(size)]
    share = inside @ taper / taper.sum()
    # a share that is equal but for rounding counts as enough
    enough = share >= min_kept - 1e-12
    if not enough.any():
        raise RunError(
            f"no window keeps {min_kept:.0%} of its volumes: {(~frames).sum()} of {n_volumes} are censored; "
            "raise the censoring thresholds or leave the run out"
        )
    number = np.flatnonzero(enough)
    return WindowPlan(
        starts=starts[enough],
        length=size,
        step=stride,
        tr_s=tr,
        taper=taper,
        keep=frames,
        kept_frames=inside[enough].sum(axis=1),
        pairs=np.diff(number) == 1,
        dropped=tuple(
            (int(start), f"{kept:.0%} of its volumes are kept, {min_kept:.0%} are wanted")
            for start, kept in zip(starts[~enough], share[~enough], strict=True)
        ),
    )


def window_taper(length: int, shape: Shape) -> NDArray[np.float64]:
    """Give the weight of each volume of a window, largest 1.

    Raises
    ------
    UsageError
        For a shape that is not known.

    Examples
    --------
    >>> window_taper(5, "gaussian").round(3).tolist()
    [0.044, 0.458, 1.0, 0.458, 0.044]
    """
    from scipy.signal import windows

    if shape == "rect":
        return np.ones(length)
    if shape == "gaussian":
        return np.asarray(windows.gaussian(length, (length - 1) / 5))
    if shape == "tukey":
        # the outermost weights of a Tukey window are 0; two more make every volume of the window count
        return np.asarray(windows.tukey(length + 2, 0.5)[1:-1])
    raise UsageError(f"window shape is {shape!r}; it must be 'rect', 'gaussian' or 'tukey'")
