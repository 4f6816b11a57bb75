"""The figure of the study of Bayes-adaptive training."""

from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.credit._triplets import ARMS
from qra_jax.studies.credit._two_attempts import PRIORS
from qra_jax.studies.lab import panels


def drawn(data: lab.Data) -> Figure:
    """Best values, the saddle, and the test prompt along training."""
    one, bayes, *_ = ARMS
    figure, (first, second, third) = plot.new((12.6, 3.9), ncols=3, width_ratios=[1.1, 1, 1.2])
    value = data.best.value.sel(prior=list(PRIORS))
    panels.frame(
        "A failure is worth knowing",
        first,
        x="prior of three types",
        y="solved in two attempts",
        ylim=(0, 1.2),
    )
    colors = dict(zip(value.kind.values, (plot.BEST, plot.RIVAL, "0.6"), strict=True))
    panels.bars(value, first, x="prior", by="kind", colors=colors, numbers="{:.2f}")
    panels.legend(None, first, loc="upper left", fontsize=8)
    time = data.escapes.saddle.assign_coords(rest=data.escapes.rest)
    title = "Repeating oneself is a saddle: time ∝ 1/ε"
    panels.frame(
        title, second, x="chance ε of another second attempt", y="time to half of the gain", log="xy"
    )
    panels.curves(time, second, x="rest", by="algorithm")
    cold = data.escapes.bandit.isel(algorithm=1)
    second.plot(cold.rest, cold, ":", color="0.4", label="GRPO, right with chance ε")
    panels.legend(None, second, fontsize=8)
    tested = data.networks.success.isel(type=-1, drop=True)
    ends = tested.isel(step=-1).mean("seed")
    title = f"Test prompt: Bayes-adaptive {float(ends.sel(arm=bayes)):.0%}, one type {float(ends.sel(arm=one)):.0%}"
    panels.frame(title, third, x="step of GRPO", y="chance to be right", ylim=(0, 1.02))
    colors = dict(zip(ARMS, (plot.RIVAL, plot.BEST, "0.6", "#E69F00"), strict=True))
    panels.curves(tested, third, x="step", by="arm", over="seed", colors=colors, runs=True)
    panels.legend(None, third, fontsize=7, loc="center right")
    return figure
