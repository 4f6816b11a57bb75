"""The figure of `small-subnetwork`."""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.weights import _counts as counts, _masks as masks, _sides as sides, _twins as own
from qra_jax.studies.weights._twins import END, GRPO, OWN, TWIN

COLORS, NAMES = {OWN: plot.BEST, TWIN: plot.MUTED}, {OWN: "training", TWIN: "Gaussian"}


def draw(data: lab.Data) -> Figure:
    """Changed share against length and by storage; overlaps; rank; gains on masks alone and at low rank."""
    task = data.runs.task.values[-1]
    figure, axes = plot.new((21.6, 7.4), nrows=2, ncols=4)
    (first, second, third, seventh), (fourth, fifth, sixth, eighth) = axes
    runs = data.runs.sel(task=task, at=END, drop=True)
    _lengths(runs, first, task)
    _storages(data.storage.changed.sel(task=task, update=OWN, drop=True), second)
    _overlaps(runs, third)
    _ranks(runs, fourth)
    _gains(masks.at_best(data.reruns).sel(task=task, drop=True), fifth, sixth)
    for ax, length, words in (
        (seventh, counts.ALIKE, "shortened by one factor"),
        (eighth, counts.EQUAL, "of one length"),
    ):
        changed = data.runs.changed.sel(task=task, length=length, update=OWN, drop=True)
        _sides(changed, data.runs.apart.sel(task=[task]), ax, words)
    return figure


def _sides(changed: xr.DataArray, apart: xr.DataArray, ax: Any, words: str) -> None:
    """Policy and loss, at the end and, of networks that have it, at equal gain."""
    shown, count = sides.both(changed, apart)
    panels.frame(
        f"Policy and loss, updates {words}; {count}", ax, x="", y="share changed in bfloat16", ylim=(0, 1.02)
    )
    panels.dots(shown, ax, x="arm", by="at", over="seed", nudge=0.08)
    ax.tick_params("x", rotation=15)
    panels.legend(None, ax)


def _both(values: xr.DataArray) -> xr.DataArray:
    return values.sel(update=list(COLORS))


def _lengths(runs: xr.Dataset, ax: Any, task: str) -> None:
    usual = _both(runs.changed.sel(length=counts.EQUAL, arm=GRPO)).mean("seed")
    mine, noise = (float(usual.sel(update=update)) for update in COLORS)
    title = f"As short as in language models GRPO's changes {mine:.0%}, noise {noise:.0%} ({task})"
    panels.frame(title, ax, x="‖ΔW‖/‖W₀‖", y="share changed in bfloat16", log="x")
    look: dict = {"by": "update", "dash": "arm", "over": "seed", "colors": COLORS, "names": NAMES}
    panels.curves(_both(runs.sweep.sel(arm=[GRPO, own.SHOWN])), ax, x="relative", **look)
    panels.mark(own.SHORT, ax, "language models", at=0.08)
    panels.legend(None, ax)


def _storages(changed: xr.DataArray, ax: Any) -> None:
    shown = changed.sel(criterion=[counts.BITS, counts.ABSOLUTE])
    flat = shown.stack(way=("arm", "criterion")).transpose("storage", "way", "seed")
    words = [f"{arm.split(',')[0]}\n{criterion}" for arm, criterion in flat["way"].values.tolist()]
    flat = flat.drop_vars(["way", "arm", "criterion"]).assign_coords(way=words)
    least = float(changed.sel(arm=GRPO, criterion=counts.ABSOLUTE).mean("seed").min())
    title = f"At its own length GRPO changes {least:.0%} or more by 1e-5, however stored"
    panels.frame(title, ax, x="", y="share changed", ylim=(0, 1.05))
    panels.dots(flat, ax, x="way", by="storage", over="seed", nudge=0.1)
    panels.mark(0.32, ax, "reported: at most", axis="y")
    panels.legend(None, ax)


def _overlaps(runs: xr.Dataset, ax: Any) -> None:
    beyond = _both(runs.jaccard - runs.chance)
    mean = beyond.sel(mask=counts.IN_BFLOAT16, other=list(counts.COMPARED)).mean(["seed", "other"])
    mine, noise = (float(mean.sel(update=update)) for update in COLORS)
    title = f"Masks overlap in bfloat16 {mine:.2f} more than by chance, noise's {noise:.2f}"
    panels.frame(title, ax, x="GRPO with Adam beside a run with another …", y="Jaccard's index less chance")
    look: dict = {"by": "update", "dash": "mask", "over": "seed", "colors": COLORS, "names": NAMES}
    panels.dots(beyond, ax, x="other", nudge=0.08, **look)
    panels.mark(0, ax, axis="y")
    panels.legend(None, ax)


def _ranks(runs: xr.Dataset, ax: Any) -> None:
    mine, noise = (float(runs["rank"].sel(what=what).mean()) for what in (counts.WHOLE, counts.NOISE))
    stable = _both(runs.stable).sel(arm=GRPO).mean("seed")
    share = float(stable.sel(update=OWN) / stable.sel(update=TWIN))
    title = f"Rank {mine:.0%} of full, noise's {noise:.0%}; stable rank of GRPO {share:.0%} of noise's"
    panels.frame(title, ax, x="", y="stable rank")
    arms = [arm for arm in counts.ARMS if arm != own.AGAIN]
    look: dict = {"by": "update", "over": "seed", "colors": COLORS, "names": NAMES, "nudge": 0.08}
    panels.dots(_both(runs.stable.sel(arm=arms)), ax, x="arm", **look)
    ax.tick_params("x", rotation=15)
    panels.legend(None, ax)


def _gains(gained: xr.DataArray, ax: Any, other: Any) -> None:
    whole = gained.mean("seed")
    order = [
        masks.EVERYTHING,
        counts.LARGEST,
        counts.CHANGED,
        masks.RANDOM,
        masks.RANDOM_AGAIN,
        masks.RANDOM_FEW,
    ]
    mine, chance = (
        float(whole.sel(mask=x) / whole.sel(mask=masks.EVERYTHING)) for x in (counts.CHANGED, masks.RANDOM)
    )
    panels.frame(
        f"Of the gain the subnetwork alone has {mine:.0%}, random weights {chance:.0%}",
        ax,
        x="",
        y="gain, best of two rates",
        ylim=_from_zero(gained.sel(mask=order)),
    )
    panels.dots(gained.sel(mask=order), ax, x="mask", over="seed", pair=True)
    first = counts.RANKS[0]
    held, few = (
        float(whole.sel(mask=x) / whole.sel(mask=counts.MATRICES_ALONE)) for x in counts.AS_RANK[first][:2]
    )
    names = [counts.MATRICES_ALONE, *(name for pair in counts.AS_RANK.values() for name in pair[:2])]
    title = f"Held to rank {first}: {held:.0%} of the gain; random weights, as many, {few:.0%}"
    panels.frame(title, other, x="", y="gain, best of two rates", ylim=_from_zero(gained.sel(mask=names)))
    panels.dots(gained.sel(mask=names), other, x="mask", over="seed", pair=True)
    for one in (ax, other):
        one.tick_params("x", rotation=20)


def _from_zero(gained: xr.DataArray) -> tuple[float, float]:
    return min(0.0, float(gained.min())), 1.1 * float(gained.max())
