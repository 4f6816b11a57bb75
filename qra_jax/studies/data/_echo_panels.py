"""Panels of the echo chamber."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.data._echo_evidence import second
from qra_jax.studies.data._echo_runs import BETAS, MAIN
from qra_jax.studies.lab import panels

COLORS = {"columns": plot.CYCLE[0], "running": "0.75", "split": plot.CYCLE[1], "guess": "0.55"}
NAMES = {
    "columns": "short (columns)",
    "running": "running",
    "split": "long (split)",
    "guess": "guess",
}
WHO = {"base": "0.7", "RL": plot.color("GRPO"), "tree": plot.CYCLE[3], "rates stay": plot.CYCLE[4]}
WHAT = {"RL": "RL: measured", "tree": "expected: answers learnt", "rates stay": "expected: rates stay"}
MODELS = {"base": "0.45", "base, again": "0.75", "RL": plot.color("GRPO"), "SFT": plot.color("sft")}


def draw(data: lab.Data, leading: xr.DataArray) -> Figure:
    """Shares along training; last shares against both theories; KL; pass@k."""
    figure, ((path, theory), (penalty, passed)) = plot.new((10.4, 7.2), nrows=2, ncols=2)
    _path(data, path)
    corpora = data.runs.corpus.values.tolist()
    shown = leading.sel(arm=corpora, format="split").transpose("arm", "kind")
    panels.frame(
        "The long format in the end, by corpus",
        theory,
        x="",
        y="share of the long format",
        ylim=(0, 1.25),
    )
    panels.bars(shown, theory, x="arm", by="kind", over=None, colors=WHO, names=WHAT)
    panels.legend(None, theory, loc="upper left", ncols=2)
    _penalty(data, penalty)
    title = "On held-out questions"
    panels.frame(title, passed, x="k", y="pass@k, right steps", log="x", ylim=(0, 1.02))
    curves = data.runs.passed.sel(corpus=MAIN)
    panels.curves(curves, passed, x="k", by="model", over="seed", within=(0, 1), colors=MODELS)
    panels.legend(None, passed, loc="lower right")
    return figure


def _path(data: lab.Data, ax: Axes) -> None:
    policy = data.runs.policy.sel(arm=MAIN)
    panels.frame(f"Shares of formats, corpus “{MAIN}”", ax, x="step of RL", y="share", ylim=(0, 1.02))
    panels.curves(
        policy,
        ax,
        x="step",
        by="format",
        over="seed",
        colors=COLORS,
        names=NAMES,
        within=(0, 1),
        runs=True,
    )
    panels.legend(None, ax, loc="best")


def _penalty(data: lab.Data, ax: Axes) -> None:
    arms = [MAIN, *(f"β = {beta:g}" for beta in BETAS)]
    betas = ["0", *(f"{beta:g}" for beta in BETAS)]
    rows = {
        "RL: measured": data.runs.policy.sel(arm=arms).isel(step=-1, drop=True),
        "expected: answers learnt": data.theory.tree.sel(arm=arms),
        "expected: rates stay": data.theory.stay.sel(arm=arms),
    }
    shown = xr.concat(
        [second(one) for one in rows.values()], xr.DataArray(list(rows), dims="kind", name="kind")
    )
    shown = shown.assign_coords(arm=betas).rename(arm="beta")
    colors = dict(zip(rows, [WHO["RL"], WHO["tree"], WHO["rates stay"]], strict=True))
    title = "A second format, by coefficient of the KL"
    panels.frame(title, ax, x="β", y="share of the second format", ylim=(0, 0.75))
    panels.dots(shown, ax, x="beta", by="kind", over="seed", colors=colors, join=True, nudge=0.1)
    ax.set_yticks(np.linspace(0, 0.5, 6))
    panels.legend(None, ax, loc="upper left")
