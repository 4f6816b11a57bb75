"""The figure of `off-principals`."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _masks as masks, _places as places, _sides as sides, _twins as own
from qra_jax.studies.weights._places import CHANCE, LARGEST, PRINCIPAL, REST, ROUNDED, SMALL
from qra_jax.studies.weights._twins import END, GRPO, OWN, TWIN


def draw(data: lab.Data) -> Figure:
    """Overlaps beside those of Gaussian updates; angles and drift; gains on masks alone."""
    task = data.runs.task.values[-1]
    figure, axes = plot.new((16.4, 7.4), nrows=2, ncols=3, width_ratios=[1.2, 1, 1])
    (first, second, fifth), (third, fourth, sixth) = axes
    runs = data.runs.sel(task=task, at=END, drop=True)
    pair, names = {OWN: plot.BEST, TWIN: plot.MUTED}, {OWN: "training", TWIN: "Gaussian"}
    for ax, mask in ((first, ROUNDED), (second, LARGEST)):
        on = runs.on.sel(mask=mask, where=[PRINCIPAL, SMALL], update=[OWN, TWIN])
        mean = on.sel(arm=GRPO).mean("seed")
        mine, noise = ([f"{float(x):.0%}" for x in mean.sel(update=update)] for update in (OWN, TWIN))
        place = "In bfloat16" if mask == ROUNDED else "Without rounding"
        title = (
            f"{place} GRPO's changes are {mine[0]} principal, {mine[1]} small; noise's {' and '.join(noise)}"
        )
        where = "principal: by the first tenth of the singular directions"
        panels.frame(title, ax, x=where, y="share of the changed weights", ylim=(0.1, 0.95))
        look: dict = {"over": "seed", "colors": pair, "names": names, "nudge": 0.08}
        panels.dots(on, ax, x="arm", by="update", dash="where", **look)
        panels.mark(CHANCE, ax, "chance", axis="y", at=0.45)
        ax.tick_params("x", rotation=20)
        panels.legend(None, ax, ncols=2)
    what = {"angle": "angle of the first tenth", "drift": "all singular values"}
    here = runs.sel(length=places.AS_IT_IS, drop=True)
    ratio = [here[x].sel(update=OWN, drop=True) / here[x].sel(update=TWIN, drop=True) for x in what]
    shown = xr.concat(ratio, "what").assign_coords(what=list(what.values()))
    turned = lab.mean("ratio", shown.sel(rl=GRPO, what=what["angle"], drop=True))
    low, high = (float(x) for x in turned.interval(0.05))
    times = f"{float(turned.value):.2g} times ({low:.2g} to {high:.2g})"
    title = f"GRPO turns the first tenth of directions {times} as far as noise as long"
    panels.frame(title, third, x="", y="change / noise's")
    panels.dots(shown, third, x="rl", by="what", over="seed", nudge=0.08)
    panels.mark(1, third, "Gaussian", axis="y")
    panels.legend(None, third)
    order = [masks.EVERYTHING, PRINCIPAL, REST, SMALL, masks.RANDOM, masks.RANDOM_AGAIN, masks.RANDOM_FEW]
    gained = masks.at_best(data.reruns).sel(task=task, mask=order, drop=True)
    share = (gained.mean("seed") / gained.sel(mask=masks.EVERYTHING).mean("seed")).sel(
        mask=[PRINCIPAL, masks.RANDOM]
    )
    words = " and ".join(f"{float(x):.0%}" for x in share)
    title = f"Of the gain, principal and random weights alone have {words}"
    top = 1.1 * float(gained.max())
    panels.frame(
        title,
        fourth,
        x="",
        y="gain in accuracy, best of two rates",
        ylim=(min(0.0, float(gained.min())), top),
    )
    panels.dots(gained, fourth, x="mask", over="seed", pair=True)
    fourth.tick_params("x", rotation=20)
    for ax, place in ((fifth, PRINCIPAL), (sixth, SMALL)):
        on = data.runs.on.sel(task=task, mask=ROUNDED, where=place, drop=True)
        two_by_two(own.excess(on), data.runs.apart.sel(task=[task]), ax, f"on {place} weights")
    return figure


def two_by_two(beyond: xr.DataArray, apart: xr.DataArray, ax: Axes, words: str) -> None:
    """Policy and loss, at the end and, of networks that have it, at equal gain: what is beyond Gaussian updates."""
    shown, count = sides.both(beyond, apart)
    panels.frame(
        f"Beyond noise, {words}, by policy and loss; {count}",
        ax,
        x="",
        y="share less that of Gaussian updates",
    )
    panels.dots(shown, ax, x="arm", by="at", over="seed", nudge=0.08)
    panels.mark(0, ax, axis="y")
    ax.tick_params("x", rotation=20)
    panels.legend(None, ax)
