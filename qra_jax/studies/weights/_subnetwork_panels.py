"""The figure of `small-subnetwork`."""

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _counts as counts, _masks as masks, _twins as own
from qra_jax.studies.weights._twins import END, GRPO, OTHERS, OWN


def draw(data: lab.Data) -> Figure:
    """Changed share against length and by storage; rank; gains on masks alone."""
    task = data.runs.task.values[-1]
    figure, ((first, second), (third, fourth)) = plot.new((11.6, 7.2), nrows=2, ncols=2)
    runs = data.runs.sel(task=task, at=END, drop=True)
    pair, names = {OWN: plot.BEST, OTHERS: plot.MUTED}, {OWN: "training", OTHERS: "Gaussian"}

    def both(values: xr.DataArray) -> xr.DataArray:
        return values.sel(update=list(pair))

    sweep = both(runs.sweep.sel(arm=[GRPO, own.SHOWN]))
    usual = sweep.sel(arm=GRPO).mean("seed").interp(relative=own.SHORT)
    mine, noise = (float(usual.sel(update=update)) for update in pair)
    title = f"As long as in language models GRPO's changes {mine:.0%}, noise {noise:.0%} ({task})"
    panels.frame(title, first, x="‖ΔW‖/‖W₀‖", y="share changed", log="x")
    panels.curves(sweep, first, x="relative", by="update", dash="arm", over="seed", colors=pair, names=names)
    panels.mark(own.SHORT, first, "language models")
    panels.legend(None, first)
    kept = data.storage.changed.sel(task=task, update=OWN, drop=True).isel(criterion=slice(None, 4))
    least = float(kept.mean("seed").min())
    panels.frame(
        f"At its own length: {least:.0%} or more, in the mean",
        second,
        x="",
        y="share changed",
        ylim=(0, 1.05),
    )
    panels.dots(kept, second, x="criterion", by="storage", over="seed", nudge=0.1)
    second.tick_params("x", rotation=15)
    panels.legend(None, second)
    level = float(runs["rank"].sel(what=counts.WHOLE).min())
    stable = both(runs.stable).sel(arm=GRPO).mean("seed")
    share = float(stable.sel(update=OWN) / stable.sel(update=OTHERS))
    title = f"Rank at least {level:.0%} of full; stable rank of GRPO {share:.0%} of noise's"
    panels.frame(title, third, x="", y="stable rank")
    panels.dots(
        both(runs.stable), third, x="arm", by="update", over="seed", colors=pair, names=names, nudge=0.08
    )
    third.tick_params("x", rotation=15)
    panels.legend(None, third)
    order = [
        masks.EVERYTHING,
        counts.LARGEST,
        counts.CHANGED,
        counts.SMALL,
        masks.RANDOM,
        masks.OTHER,
        masks.FEW,
    ]
    gained = data.reruns.gain.sel(task=task, mask=order, drop=True)
    panels.frame("GRPO on a part of the weights alone", fourth, x="", y="gain in accuracy")
    panels.dots(gained, fourth, x="mask", over="seed", pair=True)
    fourth.tick_params("x", rotation=25)
    return figure
