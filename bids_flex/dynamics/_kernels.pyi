import numpy as np
from numpy.typing import NDArray

def count_together(labels: NDArray[np.int16], together: NDArray[np.int64]) -> None: ...
def count_changes(
    labels: NDArray[np.int16],
    pairs: NDArray[np.bool_],
    changes: NDArray[np.int64],
    mutual: NDArray[np.int64],
    strength: NDArray[np.int64],
) -> None: ...
def prior(
    fc: NDArray[np.float64],
    networks: NDArray[np.int16],
    n_networks: int,
    max_iterations: int,
    fisher: bool,
    labels: NDArray[np.int16],
    iterations: NDArray[np.int32],
) -> int: ...
def search(
    b: NDArray[np.int32],
    omega: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    leiden: bool,
    greedy: bool,
    match: bool,
    threads: int,
    found: NDArray[np.int16],
) -> None: ...
def within(b: NDArray[np.float64], labels: NDArray[np.int16], out: NDArray[np.float64]) -> None: ...
def sliding(
    x: NDArray[np.float64],
    core: NDArray[np.float64],
    kept: NDArray[np.int64],
    length: int,
    step: int,
    out: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> None: ...
def strengths(r: NDArray[np.float64], to: NDArray[np.int64]) -> None: ...
