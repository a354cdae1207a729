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
def louvain(
    b: NDArray[np.float32],
    omega: NDArray[np.float64],
    seeds: NDArray[np.uint64],
    greedy: bool,
    match: bool,
    threads: int,
    found: NDArray[np.int16],
) -> None: ...
