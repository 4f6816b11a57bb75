"""What the study of run doctors draws: a table of true and named causes, and the score of each doctor."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels
from qra_jax.studies.runs import _answers as answers, _doctors as doctors


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")


def confusion(named: xr.DataArray, ax: Axes) -> None:
    """What is named for the runs of each cause, in per cent of them."""
    flat = named.stack(every=("form", "run"))
    table = xr.concat([(flat == i).mean("every") for i in range(len(doctors.ANSWERS))], "answer")
    table = table.where(table > 0).assign_coords(
        answer=[_spaced(name) for name in doctors.ANSWERS],
        cause=[_spaced(name) for name in named.cause.values],
    )
    right, count = float(answers.right(named).mean()), flat.sizes["every"]
    title = f"Named rightly: {right:.0%} of {named.size} runs (rows: {count} runs of one cause each)"
    panels.frame(title, ax, x="cause that the examination names", y="true cause")
    panels.heat(table, ax, x="answer", y="cause", limits=(0, 1), numbers="{:.0%}", cmap="Blues")
    ax.set_facecolor("white")
    ax.tick_params(axis="x", rotation=40)
    for label in ax.get_xticklabels():
        label.set_horizontalalignment("right")


def scores(data: lab.Data, ax: Axes, levels: tuple[float, ...]) -> None:
    """Shares of runs whose cause is named, and of healthy runs that are called ill, with 95 % intervals.

    Args:
      data: of the study.
      ax: where to draw.
      levels: shares that are marked.
    """
    rows = _rows(data)
    best = [f"{float(one.mean()):.0%}" for one in rows[doctors.OURS]]
    panels.frame(
        f"The examination: {best[0]} named, {best[1]} false alarms",
        ax,
        x="share of runs (bars: 95 %)",
        y="",
        xlim=(0, 1.12),
    )
    places = np.arange(len(rows))
    for i, (kind, color) in enumerate(
        {"cause named": plot.BEST, "healthy run called ill": plot.RIVAL}.items()
    ):
        at = places + 0.4 * i - 0.2
        shares = [lab.share(kind, pair[i]) for pair in rows.values()]
        value = np.array([float(one.value) for one in shares])
        ends = np.array([[float(end) for end in one.interval(0.05)] for one in shares])
        style = {"height": 0.36, "color": color, "label": kind, "error_kw": {"elinewidth": 1}}
        ax.barh(at, value, xerr=np.abs(ends.T - value), **style)
        for spot, number, end in zip(at, value, ends[:, 1], strict=True):
            ax.text(end + 0.01, spot, f"{number:.0%}", va="center", fontsize=8)
    for level in levels:
        panels.mark(level, ax)
    ax.set_yticks(places, list(rows))
    ax.invert_yaxis()
    panels.legend(None, ax, place="below")


def _rows(data: lab.Data) -> dict[str, tuple[xr.DataArray, xr.DataArray]]:
    """By doctor: whether it is right about each run, and whether it calls each healthy one ill."""
    calm, rows = list(doctors.HEALTHY), {}
    known = {doctors.OURS: data.examined.named.sel(doctor=doctors.OURS, drop=True)}
    if data.has("networks"):
        known[f"{doctors.OURS},\nsmall transformers"] = data.networks.named
    known[f"{doctors.OURS},\nreward alone"] = data.examined.named.sel(doctor=doctors.REWARD, drop=True)
    for name, named in known.items():
        flags = answers.right(named), answers.ill(named).sel(cause=calm)
        rows[name] = tuple(one.stack(member=one.dims).dropna("member") for one in flags)
    for doctor in data.public.doctor.values if data.has("public") else ():
        own = data.public.sel(doctor=doctor)
        rows[str(doctor)] = own.right, own.ill.sel(cause=calm)
    return rows
