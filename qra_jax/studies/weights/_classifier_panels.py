"""Panels of the study of classifier-first training."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from qra_jax.studies.lab import panels


def paths(reward: xr.DataArray, ax: Axes, *, gain: xr.DataArray) -> Axes:
    """Reward of asked questions along training, `[arm, step, seed]`; gain of the mean reward `[seed]`."""
    title = f"Classifier first: {float(gain.mean()):+.3f} of mean reward, each at its best rate"
    panels.frame(title, ax, x="step", y="reward of asked questions")
    panels.curves(reward, ax, x="step", by="arm", over="seed")
    return panels.legend(None, ax)


def gains(gain: xr.DataArray, ax: Axes, *, matters: float) -> Axes:
    """Gains of mean reward over plain training, `[rows, features, seed]`."""
    low, high = (float(x) for x in (gain.mean("seed").min(), gain.mean("seed").max()))
    panels.frame(f"Against plain training: {low:+.3f} to {high:+.3f}", ax, x="further mean reward", y="")
    panels.forest(gain, ax, by="features", over="seed", region=(-matters, matters))
    return panels.legend(panels.palette(gain.features.values), ax, title="features", loc="lower right")


def rates(speed: xr.DataArray, ax: Axes) -> Axes:
    """Mean reward over the budget by learning rate, `[arm, rate, seed]`; the first arm is plain training."""
    gain = (speed.isel(arm=1) - speed.isel(arm=0)).mean("seed")
    title = f"At the same rate: {float(gain.min()):+.3f} to {float(gain.max()):+.3f}"
    panels.frame(
        title, ax, x="learning rate", y="mean reward over the budget", log="x", xticks=speed.rate.values
    )
    panels.dots(speed, ax, x="rate", by="arm", over="seed", join=True)
    return panels.legend(None, ax)


def confidence(
    reward: xr.DataArray, entropy: xr.DataArray, ax: Axes, *, less: xr.DataArray, equal: float
) -> Axes:
    """Entropy of held-out questions against reward of asked ones, `[arm, step, seed]`; how much less it is `[seed]`."""
    title = (
        f"At reward {panels.plain(equal)} its held-out entropy is {-float(less.mean()):+.2f} nats from plain"
    )
    panels.frame(title, ax, x="reward of asked questions", y="held-out entropy (nats)")
    for arm, color in panels.palette(reward.arm.values).items():
        ends = (x.sel(arm=arm).mean("seed") for x in (reward, entropy))
        ax.plot(*ends, color=color, label=arm)
    panels.mark(equal, ax, "compared here", before=True)
    return panels.legend(None, ax)
