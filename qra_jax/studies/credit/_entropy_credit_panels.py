"""Panels of the study of advantage times entropy."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.credit._entropy_credit import KINDS, RATE, STRENGTH, TREES
from qra_jax.studies.credit._entropy_credit_evidence import arm_of, tuned
from qra_jax.studies.lab import panels

TERM, FLIPPED, SHUFFLED, PLAIN = KINDS


def draw(data: lab.Data) -> Figure:
    """The term's mean by place, entropies of better and worse states, and accuracies at the best settings."""
    figure, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1.1, 1, 1.3])
    panels.frame("The term's mean: only after the first step", first, x="size of the mean, α = 1", y="")
    panels.forest(data.means["size"].rename(place="arm").transpose("arm", "seed"), first, over="seed")
    moved = data.runs.entropy.sel(rate=RATE, tree="random")
    none = arm_of(data, "no term", 0.0).entropy.sel(rate=RATE, tree="random")
    arms = {TERM: plot.BEST, FLIPPED: plot.RIVAL, SHUFFLED: "0.55"}
    title = "Entropy up in better states, down in worse ones"
    panels.frame(title, second, x="step", y="entropy less that without the term (nats)", xlim=(0, 100))
    for kind, color in arms.items():
        chosen = (data.runs.kind == kind) & (data.runs.strength == STRENGTH)
        change = moved.isel(arm=int(np.flatnonzero(chosen.values)[0]), drop=True) - none
        for side, dash in (("better", "-"), ("worse", "--")):
            label = f"{kind}: {side} states" if kind != SHUFFLED or side == "better" else None
            line = change.sel(side=side).mean("seed")
            second.plot(line.step, line, dash, color=color, label=label if kind == TERM else None)
        if kind != TERM:
            second.plot([], [], color=color, label=kind)
    panels.mark(0.0, second, axis="y", dash="-")
    panels.legend(None, second, fontsize=7)
    end = data.runs.accuracy.isel(step=-1, drop=True)
    rows = ["no term", PLAIN, TERM, SHUFFLED, FLIPPED]
    found: xr.DataArray = xr.concat([tuned(data, end, kind) for kind in rows], "kind", coords="minimal")
    found = found.assign_coords(kind=rows)
    gain = (found - found.sel(kind="no term", drop=True)).isel(kind=slice(1, None))
    panels.frame(
        "What is gained at the best settings", third, x="accuracy after 200 steps, less no term", y=""
    )
    gain = gain.rename(kind="arm").transpose("arm", "tree", "seed")
    colors = panels.palette(TREES)
    panels.forest(gain, third, by="tree", over="seed", colors=colors)
    names = {"random": "random trees", "hidden": "best leaf hidden"}
    panels.legend(
        {names[name]: color for name, color in colors.items()}, third, loc="lower right", fontsize=8
    )
    return figure
