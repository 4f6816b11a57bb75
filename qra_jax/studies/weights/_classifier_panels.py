"""The figure of `classifier-first`."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._best_rates import best, speed
from qra_jax.studies.weights._gains import GAIN, LEVELS, change, gained, natural
from qra_jax.studies.weights._stages import ARMS, CHANGED, FIRST, HALF, PLAIN


def every(data: lab.Data) -> Figure:
    """Reward along training; gains; mean reward by rate; drift of features.

    Args:
      data: of the study.
    """
    figure, ((first, second), (third, fourth)) = plot.new((10.4, 7.6), nrows=2, ncols=2)
    asked = [runs.reward.sel(asked="asked", drop=True) for runs in (data.runs, data.changed)]
    paths(_at_best(data, *asked), first)
    gains(data, second)
    rates(natural(speed(data.runs)).sel(arm=[PLAIN, FIRST]), third)
    drift(_at_best(data, data.runs.drift, data.changed.drift), fourth)
    return figure


def _at_best(data: lab.Data, values: xr.DataArray, changed: xr.DataArray) -> xr.DataArray:
    """Values of arms at their best rates, and with half of the budget, features as they are, `[arm, seed, step]`."""
    rows = {arm: natural(best(data.runs, values, arm, inside=False)) for arm in ARMS}
    return _rows(rows | {HALF: changed.sel(arm=HALF, drop=True)}, "arm")


def _rows(rows: dict[str, xr.DataArray], name: str) -> xr.DataArray:
    return xr.concat(list(rows.values()), xr.DataArray(list(rows), dims=name, name=name))


def paths(reward: xr.DataArray, ax: Axes) -> Axes:
    """Reward of asked questions along training, `[arm, step, seed]`."""
    plain, own = (float(reward.sel(arm=arm).mean()) for arm in (PLAIN, FIRST))
    title = f"Mean reward {own:.2f} with the classifier first, {plain:.2f} without"
    panels.frame(title, ax, x="step", y="reward of asked questions")
    panels.curves(reward, ax, x="step", by="arm", over="seed")
    for level in LEVELS:
        panels.mark(level, ax, "compared here" * (level == LEVELS[0]), axis="y", at=0.6)
    return panels.legend(None, ax)


def gains(data: lab.Data, ax: Axes) -> Axes:
    """Gains of mean reward over plain training by features; below, what changes add at the same rate."""
    rows = {arm: gained(data, arm, inside=False) for arm in list(ARMS)[1:]}
    like = next(iter(rows.values()))
    for arm in CHANGED:
        rows[f"{arm}*"] = change(data, arm, inside=False).expand_dims(features=["as they are"])
    every = _rows({arm: row.reindex(features=like.features) for arm, row in rows.items()}, "rows")
    own = [f"{float(x):.2f}".replace("0.", ".").replace("-", "−") for x in rows[FIRST].mean("seed")]
    own = ["0" if x.endswith(".00") else x for x in own]
    title = f"Classifier first: {', '.join(own)} of mean reward"
    title += f" (features {', '.join(map(str, like.features.values))})"
    panels.frame(title, ax, x="mean reward over plain training (* over its arm)", y="")
    panels.forest(every, ax, by="features", over="seed", region=(-GAIN, GAIN))
    return panels.legend(panels.palette(every.features.values), ax, title="features", loc="lower left")


def rates(speed: xr.DataArray, ax: Axes) -> Axes:
    """Mean reward over the budget by learning rate, `[arm, rate, seed]`."""
    mean = speed.mean("seed")
    best = {str(arm): float(mean.sel(arm=arm).idxmax("rate")) for arm in speed.arm.values}
    title = f"Best rates: {best[PLAIN]:g} (plain), {best[FIRST]:g} (classifier first)"
    panels.frame(
        title, ax, x="learning rate", y="mean reward over the budget", log="x", xticks=speed.rate.values
    )
    panels.dots(speed, ax, x="rate", by="arm", over="seed", join=True)
    return panels.legend(None, ax)


def drift(drift: xr.DataArray, ax: Axes) -> Axes:
    """Drift of features along training, `[arm, step, seed]`."""
    ends = drift.isel(step=-1).mean("seed")
    of = [float(ends.sel(arm=arm) / ends.sel(arm=PLAIN)) for arm in (FIRST, HALF)]
    title = "Features drift {:.2f} × as far, {:.2f} × with half of the budget".format(*of)
    panels.frame(title, ax, x="step", y="1 − cosine with features of the start")
    panels.curves(drift, ax, x="step", by="arm", over="seed")
    return panels.legend(None, ax)
