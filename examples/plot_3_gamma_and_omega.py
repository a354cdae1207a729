"""
Choosing gamma and omega
========================

Temporal modularity has two settings that no theory fixes: the resolution gamma (how many communities) and the coupling
omega (how long they last). One may keep the conventional 1 and 1, and say so. This is how to look at what hangs on it,
without looking at any group.
"""

import matplotlib.pyplot as plt
import numpy as np

from bids_flex import dynamics as d
from bids_flex.simulate import SimulationSettings, simulate_series

settings = SimulationSettings(regions=56, tr_s=2.0, duration_s=480.0)
runs = [simulate_series(settings, 0.5, 0.5, np.random.default_rng(seed)).series for seed in (1, 2, 3)]
plan = d.plan_windows(len(runs[0]), settings.tr_s, length=100, step=50)
fcs = [d.windowed_connectivity(ts, plan) for ts in runs]

# %%
# A grid
# ------
# Every run is searched at every point; the landscapes of runs are pooled as if they were one network, so that the
# choice is one for all, and blind to who is in which group. On the command line, this is ``--sweep``.

gammas, omegas = [0.6, 0.8, 1.0, 1.2, 1.4], [0.25, 0.5, 1.0, 2.0]
landscape = d.pool([d.sweep(fc, gammas, omegas, restarts=5, seed=1) for fc in fcs])

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for axis, values, title in (
    (axes[0], landscape.flexibility_mean, "mean flexibility"),
    (axes[1], landscape.n_communities_mean, "number of communities"),
):
    image = axis.imshow(values.reshape(len(gammas), len(omegas)), origin="lower", aspect="auto")
    axis.set(title=title, xlabel="omega", ylabel="gamma", xticks=range(len(omegas)), xticklabels=omegas)
    axis.set(yticks=range(len(gammas)), yticklabels=gammas)
    figure.colorbar(image, ax=axis)
plt.show()

# %%
# Flexibility falls with omega and rises with gamma: **it can be compared only at equal settings**, and a difference
# between groups should not live at one point of the grid alone.
#
# Domains
# -------
# CHAMP asks, of all partitions that were found, where in the plane each is the best. A partition that stays the
# best over a wide part of the plane does not hang on the exact choice.

domains = d.champ_domains(landscape.planes, (min(gammas), max(gammas)), (min(omegas), max(omegas)))
gamma, omega = d.recommend(landscape, domains)
print(f"{len(domains.share)} domains; the widest has {domains.share[0]:.0%} of the area")
print(f"the middle of the widest that says something: gamma {gamma:.2f}, omega {omega:.2f}")

# %%
# In real brains nearly every grid point has a best partition of its own, and the widest domain is hardly wider than the
# others. Then this rule decides little: keep the convention, and show the grid in the supplement.
#
# An estimate from the network itself
# -----------------------------------
# A block model gives both numbers for positive weights (``null="ng"``); it is searched and estimated in turn until both
# settle.

fitted = d.pamfil_fixed_point(fcs[0], restarts=5, seed=1)
print(f"gamma {fitted.gamma:.2f}, omega {fitted.omega:.2f} after {fitted.rounds} rounds, settled: {fitted.settled}")
