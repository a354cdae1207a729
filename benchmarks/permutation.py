"""How long permutation tests of many regions take: 10,000 orders, 400 regions, 207 people, two measures."""

from __future__ import annotations

import resource
import time

import numpy as np

from bids_flex import stats

SIZES = (49, 101, 57)
REGIONS, MEASURES, ORDERS = 400, 2, 10_000
COVARIATES = 4
LIMITS_S = {"ols": 10.0, "hc3": 20.0}
LIMIT_MB = 500.0


def main() -> None:
    """Time the t test of a contrast and the omnibus F test, with both statistics; print a table."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(len(SIZES)), SIZES)
    levels = (group[:, None] == np.arange(len(SIZES))).astype(float)
    x = np.column_stack([levels, rng.standard_normal((len(group), COVARIATES))])
    y = rng.standard_normal((len(group), REGIONS * MEASURES))
    families = np.repeat(np.arange(MEASURES), REGIONS)
    pair = np.zeros(x.shape[1])
    pair[[0, 1]] = 1.0, -1.0
    omnibus = np.zeros((2, x.shape[1]))
    omnibus[:, 0], omnibus[0, 1], omnibus[1, 2] = 1.0, -1.0, -1.0
    print(f"{'statistic':9} {'contrast':8} {'seconds':>8} {'limit':>6}")
    for statistic, limit in LIMITS_S.items():
        for name, contrast in (("t", pair), ("F", omnibus)):
            begun = time.perf_counter()
            stats.freedman_lane(y, x, [contrast], ORDERS, statistic=statistic, families=families, threads=2)
            print(f"{statistic:9} {name:8} {time.perf_counter() - begun:8.2f} {limit:6.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest memory of the process {peak:.0f} MB (limit {LIMIT_MB:.0f})")


if __name__ == "__main__":
    main()
