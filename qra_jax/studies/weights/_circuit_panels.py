"""The figure of `circuits`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._twins import END, MATCHED, NEAR


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
            found = risen(runs, at, tuned, list(measures))
            factor = np.exp(found.value.sel(arm=judged[0], measure=size).item())
            limit = 1.3 * float(abs(found.value).max()) + 0.5
            title = f"{task}, {at}: mean size × {factor:.2g} after GRPO"
            panels.frame(title, ax, x="rise, each on its own text (nats)", y="", xlim=(-limit, limit))
            panels.forest(found, ax, by="arm", colors=shades, names=measures | arms)
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


def risen(runs: xr.Dataset, at: str, tuned: str, measures: list[str]) -> lab.Estimate:
    """Rise of measures after every arm, `[arm, measure]`; at equal accuracy, of the bases that have it.

    Args:
      runs: of one task.
      at: the end, or equal accuracy.
      tuned: the network that is compared with the base.
      measures: their names.
    """
    seen, rows = runs.seen.sel(at=at, measure=measures), {}
    rise = seen.sel(network=tuned, drop=True) - seen.sel(network="base", drop=True)
    for arm in runs.arm.values:
        near = (abs(runs.apart.sel(arm=arm)) < NEAR).values
        rows[arm] = lab.mean(
            "rise", rise.sel(arm=arm, drop=True)[{"seed": near if at == MATCHED else slice(None)}]
        )
    return replace(lab.stacked("arm", rows), n=runs.sizes["seed"])  # intervals are of each arm's own bases
