"""Panels of the study of critical tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.lab import panels
from qra_jax.studies.networks._changes import REWARDS, ratio
from qra_jax.transformer.task import KINDS

SHOWN: list[str] = list(REWARDS[:4])
"""Rewards that are drawn: all but the repetition."""
COLORS: dict[str, str] = dict(
    zip(SHOWN, (plot.color("rlvr"), "#56B4E9", plot.color("rlif"), "#666666"), strict=True)
)
SHORT = {"RLVR, rates fixed": "RLVR,\nrates fixed"}
REPORTED = {"RLVR": (5.2, 6.6, 7.3), "RLIF": (6.8, 8.9, 10.1)}
"""Changed ranks in % at the steps that are recorded, GSM8K: context, not a target."""


def over_training(runs: xr.Dataset, ax: Axes) -> Axes:
    """Changed ranks along training, and those that were reported.

    Args:
      runs: sums of one length of sequences, `[reward, seed, step, kind]`.
      ax: where to draw.
    """
    changed, steps = 100 * ratio(runs.sel(reward=SHOWN)), runs.step.values
    rlvr, _, rlif, _ = changed.isel(step=-1).mean("seed").values
    title, words = f"At the end: RLVR {rlvr:.1f} %, RLIF {rlif:.1f} %", f"{runs.length.item()} sequences"
    panels.frame(title, ax, x=f"GRPO steps ({words})", y="changed ranks (%)", xticks=steps)
    look: dict[str, Any] = {"colors": COLORS, "runs": changed.sizes["seed"] < 6, "within": (0, 100)}
    panels.curves(changed, ax, x="step", by="reward", over="seed", **look)
    for name, shares in REPORTED.items():
        ax.plot(steps, shares, "--", color=COLORS[name], linewidth=1)
    return panels.legend({**COLORS, "reported, GSM8K": "--"}, ax, place="right")


def where(sums: xr.Dataset, ax: Axes, *, decisions: Sequence[str]) -> Axes:
    """Kinds of all tokens, of those of changed rank, and of the KL, for each reward.

    Args:
      sums: `[reward, seed, kind]`.
      ax: where to draw.
      decisions: kinds of tokens that are decisions.
    """
    rows = {"tokens": "places", "ranks": "reranked", "KL": "kl"}
    shares = {n: sums[x].sum("seed") / sums[x].sum(["seed", "kind"]) for n, x in rows.items()}
    held = shares["ranks"].sel(kind=list(decisions)).sum("kind", skipna=False)
    arms = sums.reward.values
    bars = {f"{arm}: {name}": x.sel(reward=arm, drop=True) for arm in arms for name, x in shares.items()}
    table = xr.concat(list(bars.values()), "row").assign_coords(row=list(bars))
    least = float(held.min())
    title = f"Decisions hold {'≥ ' * (least < 1)}{least:.0%} of changed ranks"
    title = "No rank changes" if np.isnan(least) else title
    panels.frame(title, ax, x="share", y="")
    shades = dict(zip(KINDS, (plot.BEST, "#D9D9D9", "#E69F00", plot.RIVAL, "#8C8C8C"), strict=True))
    panels.bars(table, ax, x="row", by="kind", stacked=True, flat=True, colors=shades)
    return panels.legend(None, ax, place="right")


def beside_random(own: xr.Dataset, random: xr.Dataset, ax: Axes, *, judged: Sequence[str]) -> Axes:
    """Changed ranks of trained networks, and of random changes with the same KL.

    Args:
      own, random: sums `[reward, seed, kind]`.
      ax: where to draw.
      judged: rewards that the title speaks of.
    """
    both = xr.concat([100 * ratio(one.sel(reward=SHOWN)) for one in (own, random)], "network")
    both = both.assign_coords(network=["trained", "random change, same KL"])
    gap = both.mean("seed").diff("network").sel(reward=list(judged))
    title = f"Random changes with the same KL: {float(gap.min()):+.1f} to {float(gap.max()):+.1f} points"
    panels.frame(title, ax, x="", y="changed ranks (%)")
    panels.bars(both, ax, x="reward", by="network", over="seed", within=(0, 100), names=SHORT)
    ax.legend(fontsize=8, loc="upper left")
    return ax


def found(sums: xr.Dataset, ax: Axes) -> Axes:
    """Share of the KL, and of all tokens, at tokens of changed rank.

    Args:
      sums: `[reward, seed, kind]`.
      ax: where to draw.
    """
    of_kl = sums.kl_reranked.sum("kind") / sums.kl.sum("kind")
    caught = xr.concat([of_kl, ratio(sums)], "share").assign_coords(share=["of KL", "of all tokens"])
    told = " / ".join(f"{value:.0%}" for value in caught.sel(share="of KL").mean("seed").values)
    panels.frame(f"Tokens of changed rank hold {told} of the KL", ax, x="", y="at tokens of changed rank")
    panels.bars(caught, ax, x="reward", by="share", over="seed", within=(0, 1), names=SHORT)
    ax.set_ylim(0, 1.05)
    ax.legend(fontsize=8)
    return ax
