"""The figure of `off-principals`."""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _masks as masks, _places as places
from qra_jax.studies.weights._places import CHANCE, LARGEST, PRINCIPAL, REST, ROUNDED, SMALL
from qra_jax.studies.weights._twins import END, GRPO, OWN, TWIN


def draw(data: lab.Data) -> Figure:
    """Overlaps beside those of Gaussian updates; angles and drift; gains on masks alone."""
    task = data.runs.task.values[-1]
    figure, axes = plot.new((11.6, 7.4), nrows=2, ncols=2, width_ratios=[1.2, 1])
    (first, second), (third, fourth) = axes
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
        panels.frame(title, ax, x="", y="share of the changed weights", ylim=(0.1, 0.95))
        look: dict = {"over": "seed", "colors": pair, "names": names, "nudge": 0.08}
        panels.dots(on, ax, x="arm", by="update", dash="where", **look)
        panels.mark(CHANCE, ax, "chance", axis="y", at=0.45)
        ax.tick_params("x", rotation=20)
        panels.legend(None, ax, ncols=2)
    what = {"angle": "angle", "drift": "singular values"}
    here = runs.sel(length=places.AS_IT_IS, drop=True)
    ratio = [here[x].sel(update=OWN, drop=True) / here[x].sel(update=TWIN, drop=True) for x in what]
    shown = xr.concat(ratio, "what").assign_coords(what=list(what.values()))
    turned = float(shown.sel(rl=GRPO, what="angle").mean())
    panels.frame(
        f"GRPO turns directions {turned:.2g} times as far as noise as long", third, x="", y="ratio to noise"
    )
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
    panels.frame(title, fourth, x="", y="gain in accuracy, best of two rates")
    panels.dots(gained, fourth, x="mask", over="seed", pair=True)
    fourth.tick_params("x", rotation=20)
    return figure
