"""Panels of the study of the logit kernel and confidence."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from qra_jax.studies.lab import panels

X = "mean cosine c of marks"


def explained(r2: xr.DataArray, ax: Axes) -> Axes:
    """Share of the change of a step elsewhere that R + G, R and G explain, `[cosine, by, seed]`."""
    share = r2.sel(by="R").mean("seed")
    title = f"R alone explains {float(share.min()):.0%} to {float(share.max()):.0%} of a step elsewhere"
    panels.frame(title, ax, x=X, y="R² of the change of log π", ylim=(0, 1.05))
    panels.dots(r2, ax, x="cosine", by="by", over="seed", join=True)
    return panels.legend(None, ax)


def entropies(change: xr.DataArray, ax: Axes, *, trial: tuple[tuple[float, ...], tuple[float, ...]]) -> Axes:
    """Change of held-out entropy, `[arm, cosine, seed]`; cosines and changes of the small trial."""
    low, high = (float(-change.sel(arm="unembedding").mean("seed")[i]) for i in (0, -1))
    title = f"Held-out entropy falls by {low:.2f} to {high:.2f} nats (W alone)"
    panels.frame(title, ax, x=X, y="change of held-out entropy (nats)", ylim=(-1.85, 0.05))
    panels.dots(change, ax, x="cosine", by="arm", over="seed", join=True)
    ax.plot(*trial, color="black", linestyle=":", label="trial, W alone")
    return panels.legend(None, ax, loc="lower left", fontsize=7, ncols=2)


def rewards(change: xr.DataArray, ax: Axes) -> Axes:
    """Change of reward with the unembedding alone, `[arm, cosine, seed, asked]`."""
    most = float(abs(change.sel(arm="unembedding", asked="held out").mean("seed")).max())
    panels.frame(f"Held-out reward moves by {most:.3f} at most (W alone)", ax, x=X, y="change of reward")
    names = {"unembedding": "own best patterns", "one best pattern": "one best pattern"}
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
