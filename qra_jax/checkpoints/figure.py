"""What `qra weights` draws: each matrix as a point, the trained update beside a Gaussian one of equal norm."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from qra_jax import plot
from qra_jax.checkpoints.comparison import Comparison, overlap
from qra_jax.checkpoints.measures import Measures

_TUNED, _NULL = plot.BEST, plot.MUTED


def draw(found: Comparison) -> Figure:
    """Three read-outs: how many weights changed, where, and by how many directions.

    Args:
      found: the comparison.

    Returns:
      The figure.
    """
    with plot.style():
        figure = Figure(figsize=(9.4, 3.3), layout="constrained")
        first, second, third = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
        _changed(found, first)
        _places(found, second)
        _ranks(found, third)
        return figure


def _read(found: Comparison) -> list[tuple[Measures, Measures | None]]:
    pairs = [(row.tuned, row.gaussian) for row in found.rows if row.tuned.spectrum is not None]
    pairs = pairs or [(row.tuned, row.gaussian) for row in found.rows]
    return [pair for pair in pairs if pair[0].entries.delta]


def _changed(found: Comparison, ax: Axes) -> None:
    """Share of the weights that differ in bfloat16 against the norm of the update; a twin stands above its update."""
    read = _read(found)
    norms = [one.entries.ratio for one, _ in read]
    options = {"marker": "o", "linestyle": "", "markersize": 4.5, "alpha": 0.75, "markeredgewidth": 0}
    for shares, colour, label in (
        ([_share(null) for _, null in read if null is not None], _NULL, "Gaussian, equal norm"),
        ([_share(one) for one, _ in read], _TUNED, "trained"),
    ):
        if shares:
            ax.plot(norms, shares, color=colour, label=label, **options)
            ax.legend(loc="best", handletextpad=0.2)
    ax.set(
        xscale="log",
        ylim=(-0.03, 1.03),
        xlabel=f"‖ΔW‖ / ‖W₀‖ of a {'matrix' if found.summary().matrices else 'tensor'}",
        ylabel="weights changed in bfloat16",
    )
    spans_decades = len(norms) > 0 and max(norms) > 30 * min(norms)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if spans_decades else (1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    total, other = found.summary().entries, found.summary(gaussian=True).entries
    share = total.bits / max(total.count, 1)
    if not total.delta:
        ax.set_title("No weight changed")
    elif found.null:
        chance = f"{other.bits / other.count:.0%}" if other.delta else "nothing"
        ax.set_title(f"{share:.0%} of all weights changed;\nat equal norm a Gaussian changes {chance}")
    else:
        ax.set_title(f"{share:.0%} of all weights changed\n(--null: what a Gaussian changes)")


def _share(one: Measures) -> float:
    return one.entries.bits / one.entries.count


def _places(found: Comparison, ax: Axes) -> None:
    """Overlap of the changed weights with two masks, beside chance."""
    ax.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
    for place, which in enumerate(("principal", "low")):
        _strips(
            found, ax, place, lambda one, which=which: overlap(one.masks, which)[0] if one.masks else math.nan
        )
    ax.text(0.5, 0.51, "chance", ha="center", va="bottom", fontsize=7.5)
    (share, _), (null, _) = (overlap(found.summary(gaussian=one).masks, "principal") for one in (False, True))
    beside = "a Gaussian changes none" if math.isnan(null) else f"of those that a Gaussian changes {null:.0%}"
    title = f"{share:.0%} of them are principal weights" + f";\n{beside}" * found.null
    if math.isnan(share):
        title = _nothing(found) or "No matrix changed in bfloat16"
    ax.set(xlim=(-0.5, 1.5), ylim=(0, 1), xticks=[0, 1], ylabel="share of the changed weights", title=title)
    ax.set_xticklabels(["in the principal\nhalf of W₀", "in the smallest\nhalf of W₀"])


def _nothing(found: Comparison) -> str:
    """Why there is no number of matrices; empty where some changed."""
    total = found.summary()
    if not total.matrices:
        return "No matrix was looked at"
    changed = any(row.tuned.entries.delta for row in found.rows if row.tuned.spectrum is not None)
    return "" if changed else "No matrix changed"


def _ranks(found: Comparison, ax: Axes) -> None:
    """How many directions carry the update."""
    ax.set_yscale("log")
    _strips(
        found,
        ax,
        0,
        lambda one: one.spectrum.stable_rank / one.spectrum.full_rank if one.spectrum else math.nan,
    )
    _strips(
        found, ax, 1, lambda one: one.spectrum.rank / one.spectrum.full_rank if one.spectrum else math.nan
    )
    own, null = (found.summary(gaussian=one).medians["stable_rank"] for one in (False, True))
    beside = f"of a Gaussian: {null:.3g}" if null else "a Gaussian changes nothing"
    title = _nothing(found) or f"Stable rank of ΔW: {own:.3g}" + f";\n{beside}" * found.null
    ax.set(xlim=(-0.5, 1.5), xticks=[0, 1], ylabel="share of the full rank", title=title)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xticklabels(["stable rank\n‖ΔW‖²/σ₁²", "rank, by the usual\ntolerance"])


def _strips(found: Comparison, ax: Axes, place: int, number: Callable[[Measures], float]) -> None:
    """A point a matrix that training changed, and their median as a bar; the twins to the right."""
    for side, colour, shift in ((0, _TUNED, -0.16), (1, _NULL, 0.16)):
        read = [one for pair in _read(found) if (one := pair[side]) is not None]
        values = [value for one in read if not math.isnan(value := number(one))]
        if not values:
            continue
        middle, at = float(np.median(values)), place + (shift if found.null else 0)
        values = [
            value for value in values if value or ax.get_yscale() == "linear"
        ]  # rank 0 of an unmoved twin
        across = at + 0.1 * np.linspace(-1, 1, len(values)) * (len(values) > 1)
        ax.plot(across, values, "o", ms=3.5, color=colour, alpha=0.6, mew=0)
        if middle or ax.get_yscale() == "linear":
            ax.plot([at - 0.14, at + 0.14], [middle, middle], color="black", lw=1.4, solid_capstyle="butt")
