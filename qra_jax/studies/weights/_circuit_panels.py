"""The figure of `circuits`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._edges import COMPARED, equal
from qra_jax.studies.weights._twins import END, MATCHED


def every(
    data: lab.Data,
    measures: dict[str, str],
    networks: dict[str, str],
    shades: dict[str, str],
    judged: tuple[str, str],
    matters: float,
) -> Figure:
    """Rises after every arm, at the end and at equal accuracy; the first measure by network and text.

    Args:
      data: of the study.
      measures: words for the measures; the first is drawn by network, too.
      networks: words for the networks; the first is the tuned one on its own text.
      shades: colours of the arms.
      judged: an arm of reinforcement, and one of preferences.
      matters: the least rise that counts.

    Returns:
      The figure.
    """
    tasks, (tuned, *_), (size, *_) = data.runs.task.values, networks, measures
    figure, axes = plot.new((12.5, 3.6 * len(tasks) + 0.8), nrows=len(tasks), ncols=3, squeeze=False)
    arms = {arm: arm for arm in shades}
    for task, (first, second, third) in zip(tasks, axes, strict=True):
        runs = data.runs.sel(task=task, drop=True)
        for ax, at in ((first, END), (second, MATCHED)):
            drawn = list(shades) if at == END else list(judged)
            found, number = risen(runs, at, tuned, list(measures), drawn)
            factor = np.exp(found.value.sel(arm=judged[0], measure=size).item())
            title = (
                f"{task}, {at}: mean size × {factor:.2g} after GRPO" if number else f"{task}, {at}: no base"
            )
            panels.frame(title, ax, x=f"rise, each on its own text (nats), {number} bases", y="")
            panels.forest(found, ax, by="arm", colors=shades, names=measures | arms)
            wide(ax, found)
        seen = runs.seen.sel(at=END, measure=size, arm=list(judged), drop=True)
        rise = (seen.sel(network=list(networks)) - seen.sel(network="base", drop=True)).transpose(
            "network", ...
        )
        panels.frame(f"{task}, {END}: whose text, how sure", third, x="rise of log mean size (nats)", y="")
        panels.forest(rise, third, by="arm", over="seed", colors=shades, names=networks | arms)
        for ax in (first, second, third):
            ax.axvspan(-matters, matters, color=plot.MUTED, alpha=0.25, linewidth=0, zorder=0)
    panels.legend(None, axes[-1, 0], place="below", ncols=5)
    return figure


def wide(ax: Axes, found: lab.Estimate) -> None:
    """Nats on a scale that shows small and large ones: straight up to .2, then logarithmic."""
    ends = np.abs(np.stack([np.asarray(end) for end in found.interval(0.05)]))
    limit = 1.2 * float(np.max(ends[np.isfinite(ends)], initial=0.5))
    ticks = [x for x in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if x <= limit]
    ax.set_xscale("symlog", linthresh=0.2)
    ax.set_xlim(-limit, limit)
    shown = [*(-x for x in reversed(ticks)), 0.0, *ticks]
    ax.set_xticks(shown, [panels.plain(x) for x in shown])


def risen(
    runs: xr.Dataset, at: str, tuned: str, measures: list[str], arms: list[str]
) -> tuple[lab.Estimate, int]:
    """Rise of measures after some arms, `[arm, measure]`, and of how many bases; at equal gain, of those that have it.

    Args:
      runs: of one task.
      at: the end, or equal gain.
      tuned: the network that is compared with the base.
      measures: their names.
      arms: their names.
    """
    seen = runs.seen.sel(at=at, measure=measures, arm=arms)
    rise = seen.sel(network=tuned, drop=True) - seen.sel(network="base", drop=True)
    here = equal(runs, COMPARED).values if at == MATCHED else np.ones(runs.sizes["seed"], bool)
    return lab.mean("rise", rise[{"seed": here}]), int(here.sum())
