"""SFT before RLVR in networks: the weak problem, what it is taught, and panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot, theory
from qra_jax.problem import Problem, examples
from qra_jax.studies.lab import correlation, panels
from qra_jax.studies.networks._drawing import members

NONE, FAR, NEAR, GOOD, RIVAL = "no SFT", ".1 x₀", ".8 x₀", "above x₀", "second-best"
"""Kinds of data: share of demonstrations of the best pattern, or as many as above x₀ of the second-best."""
COLORS = {NONE: plot.color("rlvr"), FAR: "#A1D99B", NEAR: "#41AB5D", GOOD: "#00441B", RIVAL: plot.CYCLE[4]}
ANSWERS = 4


def weak() -> Problem:
    """The worked example with half its success rates, and wrong answers spread over three."""
    right = np.asarray(examples.worked().success)[:, None] / 2
    wrong = np.repeat((1 - right) / (ANSWERS - 1), ANSWERS - 1, axis=1)
    return Problem.from_probs(ref=examples.worked().ref, answers=np.concatenate([right, wrong], axis=1))


def lessons(problem: Problem, lengths: Sequence[int]) -> xr.Dataset:
    """Every kind of data for every length of SFT, after none at all.

    Args:
      problem: whose pattern 0 is the best and pattern 1 the second-best.
      lengths: steps of SFT.

    Returns:
      `mixture` `[case, pattern]`, shares of the patterns that are shown; `shown` and `length` along `case`.
    """
    needed = float(theory.sft_mass_needed(problem))
    enough = needed + 0.2 * (1 - needed)
    share = {FAR: (0.1 * needed, 0), NEAR: (0.8 * needed, 0), GOOD: (enough, 0), RIVAL: (enough, 1)}
    cases = [(NONE, 0.0, 0, 0)] + [(kind, *x, length) for kind, x in share.items() for length in lengths]
    kinds, x, taught, length = (np.array(column) for column in zip(*cases, strict=True))
    mixture = (1 - x[:, None]) * np.asarray(problem.ref) + x[:, None] * np.eye(problem.patterns)[taught]
    coords = {"shown": ("case", kinds), "length": ("case", length)}
    return xr.Dataset({"mixture": (("case", "pattern"), mixture)}, coords)


def of_kinds(values: xr.DataArray, *kinds: str) -> xr.DataArray:
    """Of `[case, ...]` those with these kinds of data."""
    return values.isel(case=np.isin(values.shown, kinds))


def longest(values: xr.DataArray, kind: str) -> xr.DataArray:
    """Of `[case, ...]` the longest SFT on this kind of data."""
    return of_kinds(values, kind).isel(case=-1, drop=True)


def paths(best: xr.DataArray, ax: Axes, *, colors: Mapping[str, str], target: float) -> Axes:
    """Share of the best pattern after the longest SFT on each kind of data: every seed, and the mean.

    Args:
      best: `[case, seed, step]`, with `shown`, the kind of data, along `case`.
      ax: where to draw.
      colors: by kind.
      target: marked.
    """
    for kind, color in colors.items():
        each = longest(best, kind)
        members(each, ax, color=color, alpha=0.35, linewidth=0.6)
        ax.plot(each.step, each.mean("seed"), color=color, label=kind)
    panels.mark(target, ax, axis="y")
    return panels.legend(None, ax, loc="lower right")


def arrivals(runs: xr.Dataset, ax: Axes, *, colors: Mapping[str, str], target: float) -> list[float]:
    """Share of runs in which the best pattern, and in which accuracy, reaches the target, by kind of data.

    Args:
      runs: `policy` and `success`, `[case, seed, step, pattern]`, with `shown` along `case`.
      ax: where to draw.
      colors: kinds of data, in order.
      target: what is reached.

    Returns:
      Both shares over all kinds of data.
    """
    accuracy = (runs.policy * runs.success).sum("pattern")
    reached = {"π(r*)": runs.policy.isel(pattern=0, drop=True), "accuracy": accuracy}
    there = [
        (path.max("step") >= target).astype(float).groupby("shown").mean("case") for path in reached.values()
    ]
    names = [f"{name} ≥ {panels.plain(target)}" for name in reached]
    both = xr.concat(there, "end").assign_coords(end=names).sel(shown=list(colors))
    looks = dict(zip(names, (plot.BEST, panels.DIM), strict=True))
    panels.bars(both, ax, x="shown", by="end", over="seed", colors=looks, within=(0, 1))
    panels.legend(None, ax, loc="upper left", ncols=2)
    return [float(one.mean()) for one in there]


def ranked(time: xr.DataArray, steps: xr.DataArray, ax: Axes) -> Axes:
    """Steps of networks against the tabular time, a dot for each run, with the rank correlation of each arm.

    Args:
      time: log tabular time, `[arm, case, seed]`.
      steps: `[arm, case, seed]`.
      ax: where to draw.
    """
    for arm, color in zip(steps.arm.values, (plot.BEST, plot.RIVAL, plot.CYCLE[2]), strict=False):
        one, taken = time.sel(arm=arm), steps.sel(arm=arm)
        label = f"{arm}: {correlation('', one, taken).value.item():.2f}"
        style = {"color": color, "alpha": 0.6, "markersize": 4, "markeredgewidth": 0}
        ax.plot(np.exp(one.values).ravel(), taken.values.ravel(), "o", label=label, **style)
    panels.mark(float(steps.max()), ax, "does not arrive", axis="y", at=0.02, before=True)
    return panels.legend(None, ax, title="rank correlation", loc="lower right")


def totals(steps: xr.DataArray, ax: Axes, *, colors: Mapping[str, str]) -> Axes:
    """Steps of SFT and RLVR together, a bar for each case, against those of RLVR alone.

    Args:
      steps: of RLVR, `[case, seed]`, with `shown` and `length` along `case`; case 0 is without SFT.
      ax: where to draw.
      colors: by kind of data.
    """
    total = (steps + steps.length).isel(case=slice(1, None))
    names = [
        f"{kind}\n{length}" for kind, length in zip(total.shown.values, total.length.values, strict=True)
    ]
    looks = {name: colors[str(kind)] for name, kind in zip(names, total.shown.values, strict=True)}
    total = total.drop_vars(["shown", "length"]).assign_coords(case=names)
    panels.bars(total, ax, x="case", over="seed", colors=looks)
    alone = steps.isel(case=0)
    ax.tick_params(axis="x", labelsize=7)
    return panels.mark(
        float(alone.mean()), ax, "no SFT", axis="y", at=0.02, color=colors[str(alone.shown.item())]
    )
