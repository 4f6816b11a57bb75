"""Panels of the study of the logit kernel and confidence."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._alike import (
    ADAPTIVE,
    ALONE,
    EVEN,
    EVERYTHING,
    ONE,
    PUNISHMENTS,
    REST,
    REWARDS,
)
from qra_jax.studies.weights._confidence import fall

X = "mean cosine c of marks"
TRIAL = ((0.0, 0.3, 0.6, 0.9, 0.99), (-0.08, -0.33, -0.51, -0.61, -0.64))
"""Cosines and changes of entropy of the small trial."""


def every(data: lab.Data) -> Figure:
    """What R and G explain; influence of questions; entropy and reward of held-out contexts; cosines by place.

    Args:
      data: of the study.
    """
    figure, ((share, pairs, entropy), (signs, reward, place)) = plot.new((13.2, 7.4), nrows=2, ncols=3)
    explained(data.steps.r2.isel(rate=0, drop=True), share)
    influences(data.steps, pairs)
    entropies(data, [ALONE, EVERYTHING, ADAPTIVE, REST], entropy, words="W alone", trial=TRIAL)
    arms = [*EVEN.values(), REWARDS, PUNISHMENTS]
    entropies(data, arms, signs, words="even best patterns, W alone")
    rewards(data, [ALONE, ONE], reward)
    cosines(data.steps.cosine_of_features, place)
    return figure


def explained(r2: xr.DataArray, ax: Axes) -> Axes:
    """Share of the change of a step elsewhere that R + G, R and G explain, `[cosine, by, seed]`."""
    share = r2.sel(by="R").mean("seed")
    title = f"R alone: R² {float(share.min()):.2f} to {float(share.max()):.2f} of a step elsewhere"
    panels.frame(title, ax, x=X, y="R² of the change of log π", ylim=(min(0.0, float(r2.min())) - 0.02, 1.05))
    panels.dots(r2, ax, x="cosine", by="by", over="seed", join=True)
    return panels.legend(None, ax)


def influences(steps: xr.Dataset, ax: Axes) -> Axes:
    """What a step on one question does to another, measured against predicted, of the first base network."""
    one = steps.isel(seed=0, cosine=0, drop=True)
    x, y = one.predicted.sel(by="R + G", drop=True).values.ravel(), one.measured.values.ravel()
    r = float(np.corrcoef(x, y)[0, 1])
    title = f"Step on one question, reward of another: r = {r:.4f}"
    panels.frame(title, ax, x="predicted by R + G", y="measured (per unit of rate)")
    for by, color in (("R", plot.RIVAL), ("R + G", plot.BEST)):
        ax.plot(one.predicted.sel(by=by).values.ravel(), y, ".", color=color, markersize=3, label=by)
    ends = np.array([y.min(), y.max()])
    ax.plot(ends, ends, color="black", linewidth=0.8)
    return panels.legend(None, ax)


def entropies(
    data: lab.Data,
    arms: list[str],
    ax: Axes,
    *,
    words: str,
    trial: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> Axes:
    """Change of held-out entropy by arm and cosine; the first arm in words; cosines and changes of the small trial."""
    change = xr.concat([-fall(data, arm) for arm in arms], xr.DataArray(arms, dims="arm", name="arm"))
    mean = change.sel(arm=arms[0]).mean("seed")
    low, high = (float(mean[i]) for i in (0, -1))
    title = f"Held-out entropy {low:+.2f} to {high:+.2f} nats: {words}"
    panels.frame(title, ax, x=X, y="change of held-out entropy (nats)")
    panels.dots(change, ax, x="cosine", by="arm", over="seed", join=True)
    if trial is not None:
        ax.plot(*trial, color="black", linestyle=":", label="small trial, W alone")
    return panels.legend(None, ax, fontsize=7)


def rewards(data: lab.Data, arms: list[str], ax: Axes) -> Axes:
    """Change of reward with the unembedding alone, asked and held out, by arm and cosine."""
    reward = data.runs.reward.sel(arm=arms)
    change = reward.isel(step=-1, drop=True) - reward.isel(step=0, drop=True)
    most = float(abs(change.sel(arm=ALONE, asked="held out").mean("seed")).max())
    panels.frame(f"Held-out reward moves by {most:.3f} at most (W alone)", ax, x=X, y="change of reward")
    names = {ALONE: "own best patterns", ONE: "one best pattern"}
    panels.dots(change, ax, x="cosine", by="arm", dash="asked", over="seed", join=True, names=names)
    return panels.legend(None, ax)


def cosines(cosine: xr.DataArray, ax: Axes) -> Axes:
    """Mean cosine of features between questions, `[cosine, place, seed]`."""
    first = cosine.mean("seed").isel(cosine=0)
    ends = (float(first.sel(place=name)) for name in ("pattern", "answer"))
    panels.frame(
        "Marks least alike: mean cosine {:.2f} or {:.2f}, by place".format(*ends),
        ax,
        x=X,
        y="mean cosine of features",
        ylim=(0, 1.05),
    )
    panels.dots(cosine, ax, x="cosine", by="place", over="seed", join=True)
    return panels.legend(None, ax)
