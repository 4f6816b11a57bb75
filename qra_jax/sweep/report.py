"""What `qra sweep show` prints and `qra sweep plot` draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

import matplotlib
import numpy as np
import xarray
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from qra_jax import plot
from qra_jax._terminal import put, say
from qra_jax.trajectory import Status

LOG_FROM = 100
"""Positive coordinates that span this factor are drawn on a log axis."""
BINS, BINS_2D = 20, 30
"""Most bins that draws of a coordinate are gathered in."""
LOW, HIGH = 0.1, 0.9
"""Quantiles that a band goes between."""
MOST_LINES = 16


def show(data: xarray.Dataset, console: Console | None = None) -> None:
    """Print dimensions, variables, how points ended, and how much is done."""
    console = console or Console(highlight=False)
    dims = [one.dims for one in data.data_vars.values()]
    sizes = " × ".join(f"{data.sizes[dim]} {dim}" for dim in dims[0] if all(dim in one for one in dims))
    made, kept = data.attrs["shards"], data.attrs["shards_done"]
    state = "complete" if kept == made else f"{kept} of {made} shards done; go on with --resume"
    say(console, f"{data.attrs['points']} points ({sizes}): {state}")
    table = Table("", "dimension", "least", "median", "greatest", "unit", "what", box=None, pad_edge=False)
    for name, column in [*data.coords.items(), *data.data_vars.items()]:
        kind = "axis" if name in data.coords else "variable"
        unit, what = column.attrs.get("units", ""), str(column.attrs.get("long_name", ""))
        row = *_spread(column.values), "" if unit == "1" else unit, what
        table.add_row(f"{kind} {name}", " ".join(map(str, column.dims)), *row)
    for column in table.columns[2:5]:
        column.justify = "right"
    put(console, table)
    if "status" in data:
        values, counts = np.unique(data["status"].values, return_counts=True)
        ends = ", ".join(f"{_status(v)} {n}" for v, n in zip(values, counts, strict=True))
        say(console, f"status: {ends}")


def _spread(values: np.ndarray) -> tuple[str, str, str]:
    if values.dtype.kind not in "fiu":
        return str(values[0]), "", str(values[-1])
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if not known.size:
        return "", "", ""
    median = np.quantile(known, 0.5, method="nearest")
    return tuple(f"{one:.4g}" for one in (known.min(), median, known.max()))  # pyright: ignore[reportReturnType]


def _status(value: Any) -> str:
    known = {status.value: status.name for status in Status}
    return known.get(int(value), "not computed" if value == -1 else str(value))


def draw(
    data: xarray.Dataset,
    x: str,
    y: str,
    *,
    hue: str | None = None,
    value: str | None = None,
    at: Sequence[str] = (),
) -> Figure:
    """Lines of a variable against a coordinate, or a heat map of one against two.

    All other dimensions are summed up: the median, and for lines the band from the 10 % to the 90 % quantile. Draws
    of a random or Sobol sweep are gathered in bins.

    Args:
      data: the sweep.
      x: a coordinate.
      y: a variable, for lines; another coordinate, for a heat map.
      hue: a coordinate; one line for each of its values.
      value: the variable of a heat map.
      at: `name=value`, coordinates to keep fixed; the nearest value there is.

    Returns:
      A figure.

    Raises:
      ValueError: unknown names, or a coordinate used twice.
    """
    data, fixed = _select(data, at)
    variables, coordinates = list(data.data_vars), list(data.coords)
    _known("x", x, coordinates)
    _known("y", y, [*variables, *coordinates])
    if hue is not None:
        _known("hue", hue, coordinates)
    used = [name for name in (x, y, hue) if name is not None]
    if len(set(used)) < len(used):
        raise ValueError(f"x, y, hue: {', '.join(used)}; must be different")
    if y in coordinates:
        if hue is not None:
            raise ValueError("hue: given for a heat map; must not be")
        _known("value", value, variables)
        with plot.style():
            return _heat_map(data, x, y, str(value), fixed)
    if value is not None:
        raise ValueError(f"value: {value!r}, but y is a variable, so lines are drawn; must not be given")
    with plot.style():
        return _lines(data, x, y, hue, fixed)


def _known(name: str, value: Any, known: Sequence[Any]) -> None:
    if value not in known:
        raise ValueError(f"{name}: {value!r}; must be one of {', '.join(map(str, known))}")


def _select(data: xarray.Dataset, at: Sequence[str]) -> tuple[xarray.Dataset, str]:
    fixed = []
    for one in at:
        name, _, text = one.partition("=")
        _known("at", name, list(data.dims))
        known = data[name].values
        if known.dtype.kind in "fiu":
            try:
                place = int(np.argmin(np.abs(known - float(text))))
            except ValueError:
                raise ValueError(f"at: {one!r}; must be {name}=NUMBER") from None
            fixed.append(f"{name} = {known[place]:g}")
        else:
            _known(f"at: {name}", text, known.tolist())
            place = known.tolist().index(text)
            fixed.append(f"{name} = {text}")
        data = data.isel({name: place}, drop=True)
    return data, ", ".join(fixed)


def _places(column: xarray.DataArray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each entry of a coordinate belongs: its bin; with the centres and the edges of the bins."""
    values = column.values
    if not _numeric(column):
        places = np.arange(len(values))
        return places, places.astype(float), np.arange(len(values) + 1) - 0.5
    there, back = (np.log, np.exp) if _is_log(column) else (np.asarray, np.asarray)
    if column.name in column.dims:
        centres, places = np.unique(values, return_inverse=True)
        scale = there(centres).astype(float)
        middle = (scale[1:] + scale[:-1]) / 2
        first, last = (middle[0], middle[-1]) if len(middle) else (scale[0] - 0.5, scale[0] + 0.5)
        edges = np.concatenate([[2 * scale[0] - first], middle, [2 * scale[-1] - last]])
        return places, centres, back(edges)
    bins = max(1, min(most, ceil(sqrt(len(values)) / 2)))
    scale = there(values)
    edges = np.linspace(scale.min(), scale.max(), bins + 1)
    places = np.clip(np.searchsorted(edges, scale, "right") - 1, 0, bins - 1)
    return places, back((edges[1:] + edges[:-1]) / 2), back(edges)


def _is_log(column: xarray.DataArray) -> bool:
    values = column.values
    if column.attrs.get("scale") == "linear" or not _numeric(column) or values.min() <= 0:
        return False
    return column.attrs.get("scale") == "log" or bool(values.max() >= LOG_FROM * values.min())


def _quantiles(data: xarray.Dataset, value: str, names: Mapping[str, int]) -> tuple[np.ndarray, list[Any]]:
    """Low quantile, median and high quantile in each cell of some coordinates, of so many bins at most."""
    column = data[value]
    bins, cell = [], xarray.DataArray(0)
    for name, most in names.items():
        place, centres, edges = _places(data[name], most)
        bins.append((centres, edges))
        cell = cell * len(centres) + xarray.DataArray(place, dims=data[name].dims)
    cells = cell.broadcast_like(column).transpose(*column.dims)
    flat, of = column.values.astype(float).ravel(), cells.values.ravel()
    flat, of = flat[~np.isnan(flat)], of[~np.isnan(flat)]
    order = np.lexsort((flat, of))
    flat, of = flat[order], of[order]
    shape = tuple(len(centres) for centres, _ in bins)
    every = np.arange(int(np.prod(shape)))
    first, last = np.searchsorted(of, every, "left"), np.searchsorted(of, every, "right")
    quantiles = np.full((3, len(every)), np.nan)
    some = last > first
    for i, part in enumerate((LOW, 0.5, HIGH)):
        quantiles[i, some] = flat[np.round(first + part * (last - first - 1)).astype(int)[some]]
    return quantiles.reshape(3, *shape), bins


def _lines(data: xarray.Dataset, x: str, y: str, hue: str | None, fixed: str) -> Figure:
    names = {x: BINS} if hue is None else {hue: MOST_LINES, x: BINS}
    quantiles, bins = _quantiles(data, y, names)
    low, median, high = quantiles.reshape(3, -1, quantiles.shape[-1])
    if len(median) > MOST_LINES:
        raise ValueError(f"hue: {hue!r} has {len(median)} values; must have {MOST_LINES} at most, see --at")
    labels = [None] if hue is None else _labels(data[hue], bins[0][0])
    figure, ax = plot.new()
    for i, label in enumerate(labels):
        at, color = bins[-1][0], _color(data, hue, label, i / max(1, len(labels) - 1))
        known = np.isfinite(median[i])
        ax.plot(at[known], median[i][known], ".-", color=color, label=label)
        band = known & np.isfinite(low[i]) & np.isfinite(high[i])
        ax.fill_between(at[band], low[i][band], high[i][band], color=color, alpha=0.15, linewidth=0)
    _scale(ax.xaxis, data[x], bins[-1][0])
    ax.set(
        xlabel=_title(data[x]), ylabel=_title(data[y]), title=_over(data, y, list(names), fixed, band=True)
    )
    if hue is not None:
        ax.legend(title=_title(data[hue]), loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _heat_map(data: xarray.Dataset, x: str, y: str, value: str, fixed: str) -> Figure:
    (_, median, _), bins = _quantiles(data, value, {y: BINS_2D, x: BINS_2D})
    (y_at, y_edges), (x_at, x_edges) = bins
    figure, ax = plot.new()
    mesh = ax.pcolormesh(x_edges, y_edges, np.where(np.isfinite(median), median, np.nan), rasterized=True)
    figure.colorbar(mesh, ax=ax, label=_title(data[value]))
    _scale(ax.xaxis, data[x], x_at)
    _scale(ax.yaxis, data[y], y_at)
    title = _over(data, value, [x, y], fixed, band=False)
    ax.set(xlabel=_title(data[x]), ylabel=_title(data[y]), title=title)
    return figure


def _over(data: xarray.Dataset, variable: str, names: Sequence[str], fixed: str, *, band: bool) -> str:
    """What is shown of a variable, and over what it is summed up."""
    rest = [str(dim) for dim in data[variable].dims if dim not in names]
    shown = f"median and {LOW:.0%} to {HIGH:.0%}" if band else "median"
    name = data[variable].attrs.get("long_name") or variable
    name = name[:1].upper() + name[1:] if name != variable else name
    parts = [f"{name}: {shown} over {', '.join(rest)}" if rest else name, fixed]
    return ", at ".join(filter(None, parts))


def _color(data: xarray.Dataset, hue: str | None, label: Any, part: float) -> Any:
    """The colour of a method by its name; shades for numbers."""
    if hue is None:
        return plot.BEST
    return matplotlib.colormaps["viridis"](0.8 * part) if _numeric(data[hue]) else plot.color(str(label))


def _numeric(column: xarray.DataArray) -> bool:
    return column.dtype.kind in "fiu"


def _labels(column: xarray.DataArray, centres: np.ndarray) -> list[str]:
    return [f"{one:.3g}" for one in centres] if _numeric(column) else [str(one) for one in column.values]


def _title(column: xarray.DataArray) -> str:
    name, unit = column.attrs.get("long_name") or str(column.name), column.attrs.get("units", "")
    return f"{name} ({unit})" if unit not in ("", "1") else name


def _scale(axis: Any, column: xarray.DataArray, centres: np.ndarray) -> None:
    if not _numeric(column):
        axis.set_ticks(centres, [str(one) for one in column.values])
    elif _is_log(column):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
