"""Panels of the study of internal feedback in networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._rlif import MIXED, gains, slopes
from qra_jax.studies.networks._sequences import REWARDS

COLORS = {name: plot.color(name) for name in REWARDS} | {"majority vote": "#7F3C8D"}


def accuracy(scores: xr.DataArray, ax: Axes, words: str, *, margin: float) -> Axes:
    """Accuracy along training, a curve for each reward.

    Args:
      scores: `[reward, seed, step]`.
      ax: where to draw.
      words: which accuracy.
      margin: what counts as higher or lower at the end, in the title.
    """
    look = {"by": "reward", "over": "seed", "colors": COLORS}
    panels.curves(scores, ax, x="step", within=(0, 1), **look)
    panels.mark(float(scores.isel(step=0).mean()), ax, axis="y")
    internal = list(REWARDS[1:])
    ends = (scores.isel(step=-1) - scores.isel(step=0)).sel(reward=internal).mean("seed")
    up, down = int((ends > margin).sum()), int((ends < -margin).sum())
    title = (
        f"Means {words}: {up} of {len(internal)} internal rewards end over {margin:g} higher, {down} lower"
    )
    return panels.frame(title, ax, x="step", y=f"accuracy {words}", ylim=(-0.03, 1.03))


def seen(share: xr.DataArray, ax: Axes, *, means: Sequence[str]) -> Axes:
    """What rewards see: shares of their variance between patterns, markers and answers.

    Args:
      share: `[seed, reward, part]`.
      ax: where to draw.
      means: rewards that are means over tokens.
    """
    part = float(share.sel(reward=list(means), part="answer").mean())
    title = f"The answer makes {part:.0%} of what means over tokens see"
    panels.frame(title, ax, x="share of the reward's variance at the base", y="")
    ax.set_title(ax.get_title("left"), pad=20)
    colors = {"pattern": "#0072B2", "marker": "#56B4E9", "answer": "#CC79A7"}
    options = {"stacked": True, "flat": True, "colors": colors, "numbers": "{:.0%}"}
    panels.bars(share.mean("seed"), ax, x="reward", by="part", **options)
    return panels.legend(None, ax, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=3)


def by_entropy(runs: xr.Dataset, ax: Axes) -> Axes:
    """Gain with format against the entropy of the start, for both ends of SFT.

    Args:
      runs: as for [`slopes`][].
      ax: where to draw.
    """
    token, whole = slopes(runs).alone.mean("seed").values.round(1) + 0.0
    title = f"Gain a nat of entropy: {whole:+.1f} trajectory log-prob, {token:+.1f} token entropy"
    panels.frame(title, ax, x="token entropy of the start (nats)", y="gain with format", ylim=(-0.1, 0.65))
    looks = {}
    for name in MIXED:
        for end, marker in (("right", "o"), ("even", "s")):
            known = [str(start) == "base" or str(start).startswith(end) for start in runs.start.values]
            used = runs.isel(run=np.flatnonzero((runs.of == name).values & known))
            look = {"marker": marker, "markerfacecolor": COLORS[name] if end == "right" else "white"}
            look["markeredgecolor"] = COLORS[name]
            gain = xr.DataArray(gains(used.formatted).transpose("run", "seed").values, dims=("x", "seed"))
            place = used.entropy.isel(step=0).mean("seed").values
            panels.dots(gain, ax, x=place, over="seed", colors=COLORS[name], join=True, style=look)
            label = f"{name}, SFT on {'the right' if end == 'right' else 'right and wrong'}"
            looks[label] = look | {"color": COLORS[name]}
    ax.axhline(0, color=plot.MUTED, linewidth=1, zorder=0)
    return panels.legend(looks, ax)
