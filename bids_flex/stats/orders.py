"""Which datum goes to which row of a design: orders and sign flips, drawn or enumerated."""

from __future__ import annotations

import math
from itertools import combinations, product
from itertools import permutations as all_orders
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Orders = NDArray[np.int64]

Exchange = Literal["within", "whole"]


def make_orders(
    matrix: Floats, n_permutations: int, seed: int, blocks: ArrayLike | None = None, exchange: Exchange = "within"
) -> tuple[Orders, bool]:
    """Draw orders of the rows, the given one first; all of them when there are no more than asked for.

    Orders that put the same data to the same rows of the design count once.

    Returns
    -------
    ndarray of int, shape (B, n)
        Row b says which datum goes to each row of the design.
    bool
        Whether they are all.
    """
    units = _units(len(matrix), blocks, exchange)
    names = np.unique(matrix, axis=0, return_inverse=True)[1].ravel()
    classes = [[tuple(names[unit].tolist()) for unit in group] for group in units]
    total = math.prod(_count(group) for group in classes)
    if total <= n_permutations:
        found = sorted(_all(len(matrix), units, classes), key=lambda order: order != tuple(range(len(matrix))))
        return np.array(found, dtype=np.int64), True
    rng = np.random.default_rng(seed)
    orders = np.tile(np.arange(len(matrix)), (n_permutations, 1))
    for group in units:
        places = np.array(group)
        shuffled = rng.permuted(np.tile(np.arange(len(group)), (n_permutations - 1, 1)), axis=1)
        orders[1:, places.ravel()] = places[shuffled].reshape(n_permutations - 1, places.size)
    return orders, False


def make_flips(
    n: int, n_permutations: int, seed: int, blocks: ArrayLike | None = None, exchange: Exchange = "within"
) -> tuple[Floats, bool]:
    """Draw signs for the rows, all positive first; all patterns when there are no more than asked for.

    Parameters
    ----------
    n : int
        Number of rows.
    n_permutations, seed : int
        Patterns to use, the positive one included, and the seed of their draw.
    blocks : array, shape (n,), optional
        With ``exchange="whole"`` the rows of a block change sign together; else each row has its own.
    exchange : {"within", "whole"}
        What changes sign.

    Returns
    -------
    ndarray, shape (B, n)
        1 and -1.
    bool
        Whether they are all.
    """
    _units(n, blocks, exchange)  # refuses senseless blocks
    labels = np.arange(n)
    if blocks is not None and exchange == "whole":
        labels = np.unique(np.asarray(blocks), return_inverse=True)[1].ravel()
    units = int(labels.max()) + 1
    if units < 63 and 2**units <= n_permutations:
        every = 1.0 - 2.0 * ((np.arange(2**units)[:, None] >> np.arange(units)) & 1)
        return np.asarray(every[:, labels], dtype=np.float64), True
    drawn = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (n_permutations, units))
    drawn[0] = 1.0
    return np.asarray(drawn[:, labels], dtype=np.float64), False


def _units(n: int, blocks: ArrayLike | None, exchange: Exchange) -> list[list[list[int]]]:
    """Group what may change places: rows of a block, or whole blocks of one size."""
    if blocks is None:
        return [[[row] for row in range(n)]]
    labels = np.asarray(blocks)
    if labels.shape != (n,):
        raise UsageError(f"blocks have shape {labels.shape}, the design has {n} rows")
    members = [np.flatnonzero(labels == label).tolist() for label in dict.fromkeys(labels.tolist())]
    if exchange == "within":
        return [[[row] for row in block] for block in members]
    if exchange == "whole":
        sizes = sorted({len(block) for block in members})
        return [[block for block in members if len(block) == size] for size in sizes]
    raise UsageError(f"exchange is {exchange!r}; it must be 'within' or 'whole'")


def _count(group: list[tuple[int, ...]]) -> int:
    """Count the different arrangements of units whose rows of the design may be alike."""
    return math.factorial(len(group)) // math.prod(math.factorial(group.count(kind)) for kind in set(group))


def _all(n: int, units: list[list[list[int]]], classes: list[list[tuple[int, ...]]]) -> Iterator[tuple[int, ...]]:
    """Enumerate all different orders."""
    for choice in product(*(list(_arrangements(kinds)) for kinds in classes)):
        order = list(range(n))
        for group, arrangement in zip(units, choice, strict=True):
            for place, datum in enumerate(arrangement):
                for row, value in zip(group[place], group[datum], strict=True):
                    order[row] = value
        yield tuple(order)


def _arrangements(kinds: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Enumerate which unit's data go to each unit's place, when places of one kind cannot be told apart."""
    different = list(dict.fromkeys(kinds))
    if len(different) == len(kinds):
        yield from all_orders(range(len(kinds)))
        return
    places = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in different}

    def fill(left: tuple[int, ...], which: int) -> Iterator[dict[int, int]]:
        if which == len(different):
            yield {}
            return
        here = places[different[which]]
        for data in combinations(left, len(here)):
            for rest in fill(tuple(one for one in left if one not in data), which + 1):
                yield {**dict(zip(here, data, strict=True)), **rest}

    for assigned in fill(tuple(range(len(kinds))), 0):
        yield tuple(assigned[place] for place in range(len(kinds)))
