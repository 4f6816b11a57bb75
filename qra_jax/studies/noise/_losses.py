"""Lost runs of the study `collapse-map`: beside the formula, curves of several group sizes, panels.

Cells have the dimensions `[group, start, ratio]`, runs `[..., seed]`.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qra_jax import plot
from qra_jax.studies import lab
from qra_jax.studies.lab import panels

FEW, NEARLY = 10, 0.9
"""Losses that the formula must expect in a cell for their share to have a logarithm; share of which it has none."""


def total(words: str, lost: xr.DataArray, said: xr.DataArray, where: xr.DataArray) -> lab.Estimate:
    """Runs lost in all cells of a group size ÷ what a formula says.

    Args:
      words: what is compared.
      lost: which runs are lost.
      said: the share of each cell.
      where: which cells count.
    """
    sums = [x.where(where, 0.0).sum(["start", "ratio"], skipna=False) for x in (lost, said)]
    return lab.mean(f"runs lost ÷ expected in all cells, {words}", sums[0] / sums[1])


def slope(words: str, lost: xr.DataArray, said: xr.DataArray, where: xr.DataArray) -> lab.Estimate:
    """Slope of log share lost against the formula's; cells and weights by what this expects, not by what came."""
    n = lost.sizes["seed"]
    weight = (n * said / (1 - said)).where(where & (said * n >= FEW) & (said <= NEARLY), 0.0)
    x = np.log(said) - (weight * np.log(said)).sum() / weight.sum()

    def fit(lost: xr.DataArray) -> xr.DataArray:
        y: Any = np.log(np.maximum(lost.mean("seed", skipna=False), 0.5 / n))
        return (weight * x * y).sum(skipna=False) / (weight * x**2).sum(skipna=False)

    return lab.statistic(f"slope of log share lost, {words}", fit, lost)


def expecting(
    count: int, lost: xr.DataArray, said: xr.DataArray, where: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Runs `[cell, seed]` and shares `[cell]` of the cells in which a formula expects so many losses; else NaN."""
    enough = where & ~(said * lost.sizes["seed"] < count)
    use = enough if bool(enough.any()) else where
    at = {dim: xr.DataArray(i, dims="cell") for dim, i in zip(use.dims, np.nonzero(use.values), strict=True)}
    return lost.where(enough).isel(at).drop_vars(use.dims), said.isel(at).drop_vars(use.dims)


def apart(lost: xr.DataArray, root: bool = False) -> lab.Estimate:
    """Squared distance of the curves of several G, less that of sampling, ÷ squared height; or against η/√G."""
    groups, n = lost.group.values, lost.sizes["seed"]
    shifts = np.round(np.log2(groups.max() / groups)).astype(int) * root  # a step of η/G is √2
    size = lost.sizes["ratio"] - shifts.max()

    def square(lost: xr.DataArray) -> xr.DataArray:
        p = lost.mean("seed", skipna=False)
        moved = [p.isel(group=i, ratio=slice(k, k + size)).drop_vars("ratio") for i, k in enumerate(shifts)]
        p = xr.concat(moved, "group")
        middle, noise = p.mean("group"), p * (1 - p) / (n - 1) * (1 - 1 / len(groups))
        beyond = ((p - middle) ** 2 - noise).mean(["group", "ratio"], skipna=False)
        return beyond / (middle**2).mean("ratio", skipna=False)

    words = f"share lost against η/{'√' * root}G: curves of several G, (distance ÷ height)² beyond noise"
    return lab.statistic(words, square, lost)


def draw(share: xr.DataArray, exponent: xr.DataArray, ax: Axes) -> None:
    """Shares of runs lost against η/G, beside the formula with this exponent `[group, start]`."""
    starts = share.start.values.tolist()
    colors = dict(zip(starts, (plot.CYCLE[0], plot.CYCLE[2], plot.CYCLE[6]), strict=True))
    fine = np.geomspace(0.22, 4.5, 50)
    ends = exponent.isel(group=[0, -1])
    formula: Any = np.exp(-ends / xr.DataArray(fine, {"ratio": fine}, "ratio"))
    names = {x: f"x₀ = {panels.plain(x)}" for x in starts}
    look = {"x": "ratio", "by": "start", "dash": "group", "names": names, "colors": colors}
    panels.dots(share.transpose("start", "group", "ratio"), ax, theory=formula, **look)


def draw_times(time: xr.DataArray, power: xr.DataArray, late: float, ax: Axes) -> None:
    """Shares of runs `[ratio, seed]` in which the best pattern does not lead yet, with the powers of their tails."""
    names = {x: f"η/G = {panels.plain(x)}" for x in time.ratio.values}
    colors = panels.palette(names)
    panels.survival(time, ax, of="seed", by="ratio", colors=colors, names=names)
    for ratio, color in colors.items():
        kappa, beyond = float(power.sel(ratio=ratio)), float((time.sel(ratio=ratio) > late).mean())
        law = 1.2 * beyond * np.array([1, 25]) ** -kappa
        ax.plot([late, 25 * late], law, ":", color=color)
        panels.note((25 * late, law[1]), ax, f"$t^{{−{kappa:.2f}}}$", color=color)
