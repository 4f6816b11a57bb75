"""The figure of `circuits`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights._edges import (
    COMPARED,
    DIVERSITY,
    EVENNESS,
    STRENGTH,
    TUNED,
    equal,
)
from qra_jax.studies.weights._twins import END, GRPO, MATCHED

GAIN = "equal gain"
"""What the figure calls `MATCHED`."""


def every(
    data: lab.Data, networks: dict[str, str], shades: dict[str, str], least: dict[str, float]
) -> Figure:
    """Rises of mean size by network and text, and of the other measures, at the end and at equal gain.

    Args:
      data: of the study.
      networks: words for the networks beside the tuned one on its own text.
      shades: colours of the arms.
      least: the least rise of each measure that counts.

    Returns:
      The figure.
    """
    tasks = data.runs.task.values
    figure, axes = plot.new((11.5, 4.2 * len(tasks) + 0.6), nrows=len(tasks), ncols=2, squeeze=False)
    for task, (first, second) in zip(tasks, axes, strict=True):
        runs = data.runs.sel(task=task, drop=True)
        sizes = at_both(runs, STRENGTH, "own text", list(shades))
        end, same = list(sizes.values())
        title = f"{task}: mean size of edges after GRPO {times(end)}, at {GAIN} {times(same)}"
        panels.frame(title, first, x="rise of log mean size (nats)", y="")
        beside = {words: risen(runs, END, name, STRENGTH, COMPARED) for name, words in networks.items()}
        rows(sizes | beside, first, shades, least[STRENGTH])
        entropy = at_both(runs, DIVERSITY, "entropy\nof sizes", list(shades))
        kurtosis = at_both(runs, EVENNESS, "fall of log\nkurtosis", list(shades))
        end = next(iter(entropy.values()))
        title = f"{task}: entropy of sizes after GRPO {told(end, lambda x: f'{x:+.2f}'.replace('-', '−'))}"
        panels.frame(title, second, x="rise, each on its own text (nats)", y="")
        rows(entropy | kurtosis, second, shades, least[DIVERSITY])
    panels.legend(None, axes[-1, 0], place="below", ncols=5)
    return figure


def rows(estimates: dict[str, lab.Estimate], ax: Axes, shades: dict[str, str], least: float) -> Axes:
    """Estimates `[arm]` by row, with what does not count shaded."""
    return panels.forest(estimates, ax, by="arm", colors=shades, region=(-least, least))


def at_both(runs: xr.Dataset, measure: str, words: str, arms: list[str]) -> dict[str, lab.Estimate]:
    """Rises on own text: of all arms at the end, and of those that are compared at equal gain."""
    same = int(equal(runs, COMPARED).sum())
    return {
        f"{words},\n{END}": risen(runs, END, TUNED, measure, arms),
        f"{words}, {GAIN}\n({same} of {runs.sizes['seed']} bases)": risen(
            runs, MATCHED, TUNED, measure, COMPARED
        ),
    }


def risen(runs: xr.Dataset, at: str, network: str, measure: str, arms: list[str]) -> lab.Estimate:
    """Rise of a measure from the base to a network, `[arm]`; at equal gain, of the bases that have it.

    Args:
      runs: of one task.
      at: the end, or equal gain.
      network: its name.
      measure: its name.
      arms: their names.
    """
    seen = runs.seen.sel(at=at, measure=measure, arm=arms, drop=True)
    rise = seen.sel(network=network, drop=True) - seen.sel(network="base", drop=True)
    here = equal(runs, COMPARED).values if at == MATCHED else np.ones(runs.sizes["seed"], bool)
    return lab.mean("rise", rise[{"seed": here}])


def told(estimate: lab.Estimate, show: Callable[[float], str]) -> str:
    """The rise after GRPO with its interval of 95 %, in words."""
    if not estimate.n:
        return "unknown (no base)"
    low, high = (xr.DataArray(end).sel(arm=GRPO).item() for end in estimate.interval(0.05))
    return f"{show(estimate.value.sel(arm=GRPO).item())} ({show(low)} to {show(high)})"


def times(estimate: lab.Estimate) -> str:
    """The factor of mean size after GRPO with its interval, in words."""
    return f"× {told(estimate, lambda x: f'{np.exp(x):.2g}')}"
