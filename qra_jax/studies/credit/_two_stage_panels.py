"""Panels of the study of two-stage rewards."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.credit._switch import MARKS
from qra_jax.studies.lab import panels

COMMON, USED = 0.39, 1.0
"""Share of the sham use and size of the bonus, of sampled runs and where one cell is drawn."""
BEHAVIOUR = next(iter(MARKS))


def figure(data: lab.Data) -> Figure:
    """Total time against the switch; who gets the bonus; sampled runs."""
    whole, (first, second, third) = plot.new((12.6, 3.8), ncols=3, width_ratios=[1.2, 1.1, 1])
    best_moment(data, first)
    who(data, second)
    ends(data, third)
    return whole


def best_moment(data: lab.Data, ax: Axes) -> None:
    """Total time against the switch time for several sizes of a bonus on the behaviour, and the best switch of each."""
    here = data.totals.total.sel(mark=BEHAVIOUR, sham=COMMON, drop=True)
    title, y = "A bonus on the behaviour has a best moment to stop", "total time to .99 of the good pattern"
    panels.frame(title, ax, x="switch time T", y=y, log="x", xlim=(0.25, 100), ylim=(300, 900))
    sizes = here.bonus.values.tolist()
    shades = dict(zip(sizes, ("#9EC9E2", "#3C93C2", "#08519C"), strict=True))
    names = {size: f"b = {panels.plain(size)}" for size in sizes}
    panels.curves(here.isel(time=slice(1, None)), ax, x="time", by="bonus", colors=shades, names=names)
    for size in sizes:
        one = data.best.sel(sham=COMMON, bonus=size)
        ax.plot(float(one.switch), float(one.total), "o", color=shades[size])
    panels.mark(float(here.isel(time=0, bonus=0)), ax, "never", axis="y", at=0.98, before=True)
    panels.legend(None, ax, loc="upper left", fontsize=8, title="dots: root of the derivative")


def who(data: lab.Data, ax: Axes) -> None:
    """Total time against the switch time, by who gets the bonus."""
    shown = data.totals.total.sel(sham=COMMON, bonus=USED, drop=True).isel(time=slice(1, None))
    title = "Who gets the bonus decides"
    panels.frame(title, ax, x="switch time T", y="total time", log="xy", xlim=(0.25, 100))
    colors = dict(zip(MARKS, (plot.BEST, "#009E73", plot.RIVAL, "#999999"), strict=True))
    panels.curves(shown, ax, x="time", by="mark", colors=colors)
    panels.legend(None, ax, loc="upper left", fontsize=8)


def ends(data: lab.Data, ax: Axes) -> None:
    """Share of the good pattern at the end of sampled runs."""
    good = data.runs.good.sel(mark=BEHAVIOUR, drop=True)
    title, y = "Sampled runs of equal length", "share of the good pattern"
    panels.frame(title, ax, x="bonus on the behaviour", y=y, ylim=(0, 1))
    panels.dots(good, ax, x="arm", over="seed", pair=True)
