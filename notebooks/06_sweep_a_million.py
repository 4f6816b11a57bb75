# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How do I sweep a million settings, and keep them?
#
# A sweep is a small file: what to compute, and along which axes. Its store is a Zarr folder that xarray opens with
# named dimensions and units. Killed sweeps resume. Shards, the pieces that are computed and stored one at a time, do not
# change a digit; nor do workers with the same block width (the number of points that are computed together).

# %%
# %matplotlib inline
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from qra_jax import plot, sweep
from qra_jax.sweep.report import draw

jax.config.update("jax_enable_x64", True)

# %% [markdown]
# ## A sweep as a file
#
# How long until π(best) = 0.99, over how entangled the start is (γ), how many rollouts a group has, and the verifier's
# rate of accepting wrong answers? Set `POINTS = 250` for a million hitting times (about 80 seconds on two cores); the
# notebook keeps to a tenth.

# %%
POINTS = 80
spec = sweep.from_table(
    {
        "kind": "hit",
        "problem": {"name": "entangled", "gamma": 6},
        "task": {
            "algorithm": {"name": "grpo", "group_size": 8},
            "reward": {"name": "verifiable", "fpr": 0.0},
        },
        "axis": [
            {
                "name": "gamma",
                "path": "problem.gamma",
                "low": 2,
                "high": 200,
                "points": POINTS,
                "scale": "log",
            },
            {"name": "fpr", "path": "task.reward.fpr", "low": 0.0, "high": 0.5, "points": 4 * POINTS},
            {"name": "group_size", "path": "task.algorithm.group_size", "values": [2, 4, 16, 64]},
        ],
    }
)
print(spec.layout.dims, spec.layout.shape, f"{np.prod(spec.layout.shape):,} points")

# %%
folder = Path(tempfile.mkdtemp())
start = time.perf_counter()
data = sweep.run(spec, folder / "stall.zarr")
print(f"{time.perf_counter() - start:.0f} s")
data

# %% [markdown]
# ## Look at it
#
# `qra sweep plot` draws from the command line. Here is the same, with a title and labels of our own:

# %%
shown = data.log_time.sel(group_size=16)
rare = np.exp(shown.isel(gamma=-1) - shown.isel(gamma=0)).values
bad = np.exp(shown.isel(fpr=-1) - shown.isel(fpr=0)).values
print(f"γ from 2 to 200: {rare.min():.0f} to {rare.max():.0f} times as long")
print(f"FPR from 0 to ½: {bad.min():.2f} to {bad.max():.2f} times as long")
with plot.style():
    figure = draw(data, "gamma", "fpr", value="log_time", at=["group_size=16"])
    ax, bar = figure.axes
    ax.set(xlabel="γ: how entangled the start is", ylabel="rate of accepting wrong answers (FPR)")
    ax.set_title(f"γ from 2 to 200 costs a factor of {rare.min():.0f} or more, FPR at most {bad.max():.1f}")
    bar.set_ylabel("natural log of time to π(best) = .99")
figure

# %% [markdown]
# It is an ordinary xarray dataset. How much does the group size matter?

# %%
ratio = np.exp(data.log_time.sel(group_size=2) - data.log_time.sel(group_size=64))
print(f"G = 2 takes {float(ratio.min()):.2f} to {float(ratio.max()):.2f} times as long as G = 64, in steps")

# %% [markdown]
# ## Killed, and resumed
#
# Only what is missing is computed; here, nothing.

# %%
start = time.perf_counter()
again = sweep.run(spec, folder / "stall.zarr", resume=True)
assert again.log_time.equals(data.log_time)
print(f"{time.perf_counter() - start:.1f} s")

# %% [markdown]
# ## What to try next
#
# - A function of your own: `sweep.Spec(lambda key, point: {...}, {"x": [...], "y": [...]})`.
# - On a cluster: `qra sweep stall.toml --store stall.zarr --executor slurm:20`.
