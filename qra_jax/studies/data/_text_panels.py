"""Panels of the study of RL on text."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies.data._text import BASE, BESTS, BY_STD, MIXED, RL, SFT, SHUFFLED
from qra_jax.studies.lab import panels

COLORS = {
    RL: plot.color("rlvr"),
    BY_STD: plot.color("GRPO"),
    MIXED: plot.CYCLE[3],
    SFT: plot.color("sft"),
    SHUFFLED: "0.6",
    BASE: "black",
}


def draw(runs: xr.Dataset, orbits: xr.Dataset) -> Figure:
    """Accuracy and cross-entropy of the text while it is trained on; accuracy along RLVR with either best procedure."""
    figure, ((accuracy, loss), below) = plot.new((10.4, 7.0), nrows=2, ncols=2)
    arms = [arm for arm in COLORS if arm != BASE]
    greedy = float(runs.text_greedy.sel(arm=BASE).isel(step=0).mean())
    title = "Accuracy on the text, beside the base's likeliest procedure"
    panels.frame(title, accuracy, x="step on the text", y="accuracy of the sampled next segment")
    _lines(runs.text_match.sel(arm=arms), accuracy)
    panels.mark(greedy, accuracy, "base, likeliest procedure", axis="y", at=0.98, color="black")
    ends = runs.text_loss.isel(step=-1).mean("seed")
    title = f"Its cross-entropy ends at {_both(ends, '.2g')}"
    panels.frame(title, loss, x="step on the text", y="cross-entropy, nats")
    _lines(runs.text_loss.sel(arm=arms), loss)
    panels.legend(None, loss, loc="upper left")
    for name, ax in zip(BESTS, below, strict=True):
        right = runs.after_right.sel(best=name).mean("question")
        middle = right.isel(step=right.sizes["step"] // 4).mean("seed")
        title = f"RLVR, {name} best: after a quarter {_both(middle, '.2f')}"
        panels.frame(title, ax, x="step of RLVR", y="accuracy", ylim=(0, 1.02))
        _lines(right.sel(arm=[*arms, BASE]), ax)
        told = orbits.right.sel(best=name, arm=[RL, BY_STD, MIXED, SFT]).mean("seed")
        for arm in told.arm.values:
            ax.plot(
                float(runs.step[-1]) * 1.03, float(told.sel(arm=arm)), "<", color=COLORS[arm], clip_on=False
            )
    panels.legend({"predicted end": "<"} | {BASE: "black"}, below[0], loc="upper left")
    return figure


def _both(means: xr.DataArray, form: str) -> str:
    return f"{float(means.sel(arm=RL)):{form}} from {RL}, {float(means.sel(arm=SFT)):{form}} from {SFT}"


def _lines(values: xr.DataArray, ax: Axes) -> None:
    panels.curves(values, ax, x="step", by="arm", over="seed", colors=COLORS)
