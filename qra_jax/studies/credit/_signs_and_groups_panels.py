"""Panels of the study of small groups."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies.credit._signs_and_groups import ARMS, PENALTIES
from qra_jax.studies.lab import panels


def gains(accuracy: xr.DataArray, ax: Axes) -> None:
    """Accuracy of ±1 less that of Dr.GRPO `[arm, level, rate, seed]`, by what is matched, at the smallest rate."""
    small = accuracy.isel(rate=0, drop=True)
    pairs = {ARMS[1]: (ARMS[0], ARMS[1]), ARMS[2]: (ARMS[0], ARMS[2]), "speed\nand noise": (ARMS[3], ARMS[2])}
    rows = [small.sel(arm=a, drop=True) - small.sel(arm=b, drop=True) for a, b in pairs.values()]
    gain = xr.concat(rows, xr.DataArray(list(pairs), dims="matched", name="matched"))
    low, high = (100 * float(gain[0].mean("seed").min()), 100 * float(gain[0].mean("seed").max()))
    title = f"±1 gains {low:.0f} to {high:.0f} points in groups of 4, by speed alone"
    panels.frame(title, ax, x="what is matched", y="accuracy of ±1 less Dr.GRPO's", ylim=(-0.01, 0.14))
    colors = {"middling": plot.color("rewards ±1"), "hard": "#0B3C5D"}
    panels.bars(gain, ax, x="matched", by="level", over="seed", colors=colors)
    panels.legend(None, ax, loc="upper right")


def noise(louder: xr.DataArray, rho: xr.DataArray, ax: Axes) -> None:
    """Noise of ±1 over that of Dr.GRPO, by accuracy `[question]`."""
    inside = (rho >= 0.25) & (rho <= 0.75)
    title = (
        f"At equal speed ±1 is quieter for {float((louder < 1)[inside].mean()):.0%} of questions with "
        f"¼ ≤ ρ ≤ ¾, {float((louder < 1)[~inside].mean()):.0%} of others"
    )
    panels.frame(
        title, ax, x="accuracy ρ", y="noise of ±1 ÷ Dr.GRPO's, G = 4", log="y", xlim=(0, 1), ylim=(0.4, 10)
    )
    some = slice(None, None, max(1, louder.size // 600))
    ax.plot(rho[some], louder[some], ".", color=plot.color("rewards ±1"), markersize=3, alpha=0.5)
    grid = np.linspace(0.02, 0.98, 200)
    ax.plot(
        grid,
        0.25 / (grid * (1 - grid) * 4 / 3),
        color="black",
        linewidth=1,
        label="score independent of reward",
    )
    panels.mark((0.25, 0.75), ax, "")
    panels.mark(1.0, ax, "", axis="y")
    panels.legend(None, ax, loc="upper center")


def turns(found: xr.Dataset, ax: Axes) -> None:
    """Success rates from which on answering gains `[G, penalty, share]`, and those of the reward."""
    ends = found.GRPO.sel(penalty=[0.25, 4.0], share=[0.05, 0.95])
    last, far = int(found.G[-1]), ends.sel(share=0.05, penalty=0.25).values
    first, acts = (f"{x / (1 - x):.2g}" for x in (far[0], far[-1]))
    title = f"Division by the spread: λ = ¼ acts as {first} at G = 2, {acts} at {last}"
    panels.frame(
        title,
        ax,
        x="group size G",
        y="success rate from which it answers",
        log="x",
        xticks=found.G.values,
        ylim=(0, 1),
    )
    colors = {0.25: "#0072B2", 4.0: "#D55E00"}
    names = {0.25: "λ = ¼", 4.0: "λ = 4", 0.05: "few abstain", 0.95: "most abstain"}
    panels.dots(ends, ax, x="G", by="penalty", dash="share", join=True, colors=colors, names=names)
    for penalty in PENALTIES[::2]:
        panels.mark(penalty / (1 + penalty), ax, "λ/(1+λ)", axis="y", at=0.4, color=colors[penalty])
    panels.legend(None, ax, loc="lower left", ncols=2, fontsize=8)


def sizes(one: xr.DataArray, best: xr.DataArray, ax: Axes) -> None:
    """Accuracy by group size and budget `[G, budget]`, at one learning rate and at the best for each."""
    ends = best.sel(budget=best.budget[0])
    title = f"Rate tuned, size changes {100 * float(ends.max() - ends.min()):.1f} points; one rate: the best size moves"
    panels.frame(title, ax, x="group size G", y="accuracy", log="x", xticks=best.G.values, ylim=(0.4, 0.85))
    both = xr.concat([one, best], xr.DataArray(["rate 4", "best rate"], dims="rate", name="rate"))
    names = {n: f"{n} rollouts" for n in best.budget.values}
    panels.curves(both, ax, x="G", by="budget", dash="rate", names=names)
    panels.legend(None, ax, loc="lower left", fontsize=8)
