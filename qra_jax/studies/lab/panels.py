"""Panels: what recurs in the figures of studies, in the house style of [`qra_jax.plot`][].

Every function takes its data first and the Axes second, and returns the Axes. Data are labelled arrays or estimates;
what is common to all of them, such as which dimension is told apart by colour, is said by the options of [`Arms`][].
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, is_color_like, to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qra_jax import plot
from qra_jax.studies.lab.estimates import mean, share
from qra_jax.studies.lab.evidence import Estimate

FEW = 3
"""Members up to which each is drawn, in place of an interval that so few cannot carry."""
DASHES, MARKERS = ("-", "--", ":", "-."), "osD^v"
INK, DIM, SMALL = "#444444", "#666666", 8
"""Colour of what belongs to no arm, colour of remarks, and size of remarks and legends in points."""


class Arms(TypedDict, total=False):
    """Options of everything that draws arms.

    Attributes:
      by: dimension that colours tell apart.
      dash: dimension that line styles, or markers, tell apart.
      over: dimension of independent members, such as seeds; default: none, values are exact. Of more than `FEW` the
        mean (True and False: the share) is drawn with its interval, of fewer each; one that is NaN leaves a gap.
      spread: quantiles of members, e.g. (.1, .9), drawn around their median in place of the interval.
      runs: whether to draw every member in place of the interval.
      level: error rate of the interval; default: .05.
      within: range that intervals are cut to, e.g. (0, 1).
      colors: by label of `by`, or one for all; default: `palette`.
      names: words for labels.
      label: whether the legend names the arms; default: it does.
      style: as for `Axes.plot`.
    """

    by: str | None
    dash: str | None
    over: str | None
    spread: tuple[float, float] | None
    runs: bool
    level: float
    within: tuple[float, float] | None
    colors: Mapping[Any, str] | str | None
    names: Mapping[Any, str] | None
    label: bool
    style: Mapping[str, Any]


def frame(
    title: str,
    ax: Axes,
    *,
    x: str,
    y: str,
    log: Literal["", "x", "y", "xy"] = "",
    xticks: Any = None,
    yticks: Any = None,
    **limits: Any,
) -> Axes:
    """Title, labels and scales; call it first. The title is broken to the width of its panel.

    Args:
      title: the finding, in a few words.
      ax: where to draw.
      x, y: labels of the axes, with their units.
      log: axes with a logarithmic scale; ticks are 1, 2, 5, 10, … over less than two decades, else powers.
      xticks, yticks: the ticks, named plainly; default: chosen from the limits.
      **limits: `xlim`, `ylim` and what else `Axes.set` takes.
    """
    ax.set(xlabel=x, ylabel=y)
    for name, axis, ticks in (("x", ax.xaxis, xticks), ("y", ax.yaxis, yticks)):
        if name in log:
            ax.set(**{f"{name}scale": "log"})
            axis.set_major_locator(_Decades())
            axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
            axis.set_minor_formatter(NullFormatter())
        if ticks is not None:
            axis.set_ticks(ticks, [plain(tick) for tick in ticks])
            axis.set_ticks([], minor=True)
    ax.set(**limits)
    width = max(int(13.5 * ax.bbox.width / ax.figure.dpi), 20)
    lines = []
    for line in title.split("\n"):
        count = len(textwrap.wrap(line, width))
        even = min(width, -(-len(line) // max(count, 1)) + 6)  # lines of about one length
        lines += next(told for n in (even, width) if len(told := textwrap.wrap(line, n)) <= count)
    ax.set_title("\n".join(lines))
    return ax


def plain(value: Any) -> str:
    """A number as ticks and labels tell it.

    >>> [plain(x) for x in (0.05, 250.0, -3, 1e-6, 2e7)]
    ['.05', '250', '−3', '10$^{−6}$', '2·10$^{7}$']
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".replace("0.", "." if abs(value) < 1 else "0.", 1).replace("-", "−")
    digits, power = f"{value:.0e}".split("e")
    return ("" if digits == "1" else f"{digits}·") + f"10$^{{{int(power)}}}$".replace("-", "−")


def palette(labels: Iterable[Any], *, base: str = plot.BEST) -> dict[Any, str]:
    """A colour for each arm: shades for numbers, the darker the larger; for names `plot.color`, each once.

    Args:
      labels: of the arms.
      base: the middle of the shades.

    >>> palette(["GRPO", "REINFORCE"])["GRPO"] == plot.color("GRPO")
    True
    """
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    if all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in labels):
        light, dark = ([0.5 * part + 0.5 * end for part in to_rgb(base)] for end in (1, 0))
        shades = LinearSegmentedColormap.from_list("shades", [tuple(light), base, tuple(dark)])
        places = np.linspace(0, 1, len(labels)) if len(labels) > 1 else [0.5]
        return {label: to_hex(shades(place)) for label, place in zip(sorted(labels), places, strict=True)}
    known = [label for label in labels if plot._key(str(label)).startswith(tuple(plot._colors()))]
    colors: dict[Any, str] = {}
    for label in known:  # first: no method gives up its colour to another name
        if plot.color(str(label)) not in colors.values():
            colors[label] = plot.color(str(label))
    for label in labels:
        free = [color for color in plot.CYCLE if color not in colors.values()] or plot.CYCLE
        colors.setdefault(label, free[0])
    return {label: colors[label] for label in labels}


def curves(y: Any, ax: Axes, *, x: Any, **arms: Unpack[Arms]) -> Axes:
    """A curve for each arm, with a band, or with each member if they are few.

    Args:
      y: `[by, dash, x, over]`, those of them that are named (a plain array: in this order); or an `Estimate`.
      ax: where to draw.
      x: name of a dimension or coordinate of `y`, or values `[x]` or, labelled, `[by, x]`.
      **arms: options of [`Arms`][].
    """
    for part in _parts(y, x, arms):
        style: dict[str, Any] = {
            "color": part.color,
            "linestyle": DASHES[part.dash % 4],
            **arms.get("style", {}),
        }
        if part.runs is not None:
            thin: dict[str, Any] = style | {"linewidth": 0.6, "alpha": 0.5}
            ax.plot(part.x, part.runs, **thin)
        if part.low is not None and part.high is not None:
            ax.fill_between(part.x, part.low, part.high, color=part.color, alpha=0.15, linewidth=0)
        ax.plot(part.x, part.value, label=part.label, **style)
    return _dash_names(y, ax, arms, lambda j: {"linestyle": DASHES[j % 4]})


def dots(
    y: Any,
    ax: Axes,
    *,
    x: Any,
    theory: xr.DataArray | None = None,
    join: bool = False,
    pair: bool = False,
    nudge: Any = 0,
    **arms: Unpack[Arms],
) -> Axes:
    """Measured dots with intervals, on the lines of a theory; a second marker is hollow.

    Args:
      y: as for `curves`.
      ax: where to draw.
      x: as for `curves`; words become ticks.
      theory: predicted lines `[by, dash, x]`, over a finer x of the same name; without `by` one line for all.
      join: whether to join the dots of an arm.
      pair: whether to draw every member and join it: what happens to the same seed along x.
      nudge: shift between arms, that they do not hide each other: a share of x on a log scale, of a step on another.
      **arms: options of [`Arms`][].
    """
    if theory is not None:
        own = {key: arms.get(key) if arms.get(key) in theory.dims else None for key in ("by", "dash")}
        along = x if isinstance(x, str) else next(str(dim) for dim in theory.dims if dim not in own.values())
        shades = arms.get("colors") if own["by"] or isinstance(arms.get("colors"), str) else INK
        lines: Any = own | {"colors": shades, "label": False, "style": {"linewidth": 1.2}}
        curves(theory, ax, x=along, **lines)
    for part in _parts(y, x, arms | {"runs": True} if pair else arms):
        place, shift = _places(part.x, ax), nudge * (part.arm - (part.arms - 1) / 2)
        step = np.min(np.diff(np.sort(place))) if len(place) > 1 else 1.0
        place = place * np.exp(shift) if ax.get_xscale() == "log" else place + shift * step
        if part.runs is not None:
            line: dict[str, Any] = {"color": part.color, "alpha": 0.5, "linewidth": 0.6 if pair else 0}
            ax.plot(place, part.runs, marker=".", markersize=4, zorder=2, **line)
        style: dict[str, Any] = {"color": part.color, "linestyle": DASHES[part.dash % 4] if join else "none"}
        style |= _marker(part.dash, part.color) | {"linewidth": 1.2, "zorder": 3}
        style |= {"markersize": 7} if pair else {}
        ax.errorbar(place, part.value, part.error(), label=part.label, **style | {**arms.get("style", {})})
    line_of = lambda j: {"linestyle": DASHES[j % 4] if join else "none"}  # noqa: E731
    return _dash_names(y, ax, arms, lambda j: _marker(j, INK) | line_of(j))


def diagonal(ax: Axes, *, factor: Any = 2) -> Axes:
    """Where measured equals predicted, with the band within a factor; both axes get the same limits.

    Args:
      ax: with the dots already drawn, e.g. by `dots(measured, ax, x=predicted)`.
      factor: half-width of the band, drawn on log scales; 1: none.
    """
    span = np.array([ax.get_xlim(), ax.get_ylim()])
    line = np.array([span.min(), span.max()])
    ax.plot(line, line, color="black", linewidth=1, zorder=1)
    if ax.get_xscale() == "log" and factor > 1:
        grey = {"color": plot.MUTED, "alpha": 0.25, "linewidth": 0}
        ax.fill_between(line, line / factor, line * factor, zorder=0, **grey)
    ax.set(xlim=line, ylim=line)
    return ax


def survival(
    times: Any, ax: Axes, *, of: str, until: Any = None, rising: bool = False, **arms: Unpack[Arms]
) -> Axes:
    """Share of members that still wait at each time; or that have arrived.

    Args:
      times: when each arrives `[by, of]`; inf or NaN: never.
      ax: where to draw.
      of: dimension of the members.
      until: where the curves end; default: the last arrival of all.
      rising: whether to draw the share that has arrived (the distribution function).
      **arms: options of [`Arms`][]: `by`, `colors`, `names`, `label`, `style`.
    """
    parts = [(part, np.sort(part.value[np.isfinite(part.value)])) for part in _parts(times, of, arms)]
    last = max([known[-1] for _, known in parts if known.size], default=1.0) if until is None else until
    for part, known in parts:
        arrived = np.arange(1, known.size + 1) / part.value.size
        arrived = np.append(arrived, arrived[-1:] if known.size else 0.0)
        style = {"color": part.color, "label": part.label, **arms.get("style", {})}
        ax.step(np.append(known, last), arrived if rising else 1 - arrived, where="post", **style)
    return ax


def bars(
    y: Any,
    ax: Axes,
    *,
    x: str,
    stacked: bool = False,
    flat: bool = False,
    expected: xr.DataArray | None = None,
    numbers: str = "",
    **arms: Unpack[Arms],
) -> Axes:
    """Bars in groups, or stacked, with intervals; of few members, each as a dot.

    Args:
      y: `[x, by, over]`, those of them that are named; or an `Estimate`.
      ax: where to draw.
      x: dimension of the groups, whose labels become ticks; without `by`, `colors` is by these.
      stacked: whether the bars of a group stand on each other.
      flat: whether they lie, the first group on top.
      expected: `[x]`, a black tick for each group, or `[x, by]`, one for each bar.
      numbers: format of the value, written at each bar's end or middle, e.g. `"{:.0%}"`.
      **arms: options of [`Arms`][].
    """
    parts = list(_parts(y, x, arms))
    groups, by = parts[0].x.tolist(), arms.get("by")
    place, start, width = np.arange(len(groups)), np.zeros(len(groups)), 0.8 / (1 if stacked else len(parts))
    for part in parts:
        at = place if stacked else place + (part.arm - (part.arms - 1) / 2) * width
        own = arms.get("colors")
        color = part.color if by or not isinstance(own, Mapping) else [own[group] for group in groups]
        whiskers = {"xerr" if flat else "yerr": None if stacked else part.error()}
        size, base = ("height", "left") if flat else ("width", "bottom")
        where: dict[str, Any] = {size: 0.92 * width, base: start, "color": color, **whiskers}
        style: dict[str, Any] = {"error_kw": {"linewidth": 1, "ecolor": INK}, **arms.get("style", {})}
        (ax.barh if flat else ax.bar)(at, part.value, label=part.label, **where, **style)
        for run in [] if part.runs is None or stacked else part.runs.T:
            ax.plot(*((run, at) if flat else (at, run)), "o", color=INK, markersize=2.5, zorder=4)
        if expected is not None and (by in expected.dims or part.arm == 0):
            told = expected if by not in expected.dims else expected.isel({by: part.arm})
            middle, half = (at, width / 2) if by is None or by in expected.dims else (place, 0.43)
            ticks = ax.vlines if flat else ax.hlines
            ticks(told.values, middle - half, middle + half, color="black", linewidth=2, zorder=5)
        beyond = [part.value if part.high is None else part.high]
        beyond += [told.values] if expected is not None and (by is None or by in expected.dims) else []
        high, far = (
            np.fmax.reduce([part.value, *beyond]),
            np.sum([np.abs(one.value) for one in parts], axis=0),
        )
        for spot, value, end, low in zip(at, part.value, high, start, strict=True) if numbers else ():
            ha, va = ("center", "center") if stacked else ("left", "center") if flat else ("center", "bottom")
            if not stacked or abs(value) > 0.05 * far.max():
                xy = (low + value / 2 if stacked else end, spot)
                shift = (0, 0) if stacked else (3, 0) if flat else (0, 1)
                style = {
                    "ha": ha,
                    "va": va,
                    "color": _contrast(part.color) if stacked else INK,
                    "fontsize": SMALL,
                }
                style["textcoords"] = "offset points"
                ax.annotate(numbers.format(value), xy if flat else (xy[1], xy[0]), shift, **style)
        start = start + part.value if stacked else start
    axis = ax.yaxis if flat else ax.xaxis
    axis.set_ticks(place, _words(groups, x, arms))
    axis.set_tick_params(length=0)
    if flat:
        axis.set_inverted(True)
    if any((part.value < 0).any() for part in parts):
        (ax.axvline if flat else ax.axhline)(0, color="black", linewidth=0.8)
    return ax


def forest(
    rows: Any,
    ax: Axes,
    *,
    expected: Any = 0,
    region: tuple[Any, Any] | None = None,
    **arms: Unpack[Arms],
) -> Axes:
    """Estimates with their intervals, a row each, against what was expected.

    Args:
      rows: estimates, or arrays `[over]`, by name, the first on top; or one `Estimate` or array `[rows, by, over]`.
      ax: where to draw.
      expected: one value for all, drawn as a line, or one for each row, drawn as ticks; None: nothing.
      region: where a claim says that they lie, shaded.
      **arms: options of [`Arms`][].
    """
    if isinstance(rows, Mapping):
        words = _words(list(rows), None, arms)
        drawn = [
            (np.array([y]), part) for y, row in enumerate(rows.values()) for part in _parts(row, None, arms)
        ]
    else:
        value = rows.value if isinstance(rows, Estimate) else rows
        dim = next(str(dim) for dim in value.dims if dim not in (arms.get("by"), arms.get("over")))
        words = _words(value[dim].values.tolist(), dim, arms)
        drawn = [(np.arange(len(words)), part) for part in _parts(rows, dim, arms)]
    for y, part in drawn:
        place = y + 0.6 * (part.arm - (part.arms - 1) / 2) / part.arms
        if part.runs is not None:
            ax.plot(part.runs.reshape(len(y), -1), place, ".", color=part.color, alpha=0.6)
        style: dict[str, Any] = {
            "color": part.color,
            "markeredgecolor": "white",
            "markersize": 6,
            "zorder": 4,
        }
        label = part.label if y[0] == 0 else None
        ax.errorbar(
            part.value, place, xerr=part.error(), fmt="o", label=label, **style | {**arms.get("style", {})}
        )
    if region:
        ax.axvspan(*region, color=plot.MUTED, alpha=0.25, linewidth=0, zorder=0)
    if expected is not None and np.ndim(expected):
        y = np.arange(len(words))
        ax.vlines(np.asarray(expected), y - 0.4, y + 0.4, color="black", linewidth=2, zorder=3)
    elif expected is not None:
        ax.axvline(float(np.asarray(expected)), color="black", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(words)), words)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(words) - 0.4, -0.6)
    return ax


def heat(
    z: xr.DataArray,
    ax: Axes,
    *,
    x: str,
    y: str,
    label: str = "",
    contours: Sequence[Any] = (),
    center: Any = None,
    limits: tuple[Any, Any] | None = None,
    numbers: str = "",
    smooth: bool = False,
    cmap: Any = None,
) -> Axes:
    """A map over two axes, with contours; of words, a table.

    Args:
      z: `[y, x]`; NaN is left grey.
      ax: where to draw.
      x, y: its dimensions, to the right and upwards; words become ticks, and run downwards.
      label: of the colour bar; default: no bar.
      contours: levels drawn as black lines and named.
      center: value in the middle of two colours; default: one colour.
      limits: values of the first and last colour.
      numbers: format of the value written into each cell.
      smooth: whether to interpolate between cells.
      cmap: the colours; default: cividis, or PuOr_r around a centre.
    """
    z = z.transpose(y, x)
    values, across, up = z.values.astype(float), _places(z[x].values, ax), _places(z[y].values, ax, "y")
    far = np.nanmax(np.abs(values - (center or 0)))
    own = (np.nanmin(values), np.nanmax(values)) if center is None else (center - far, center + far)
    low, high = limits or own
    style: dict[str, Any] = {"vmin": low, "vmax": high, "shading": "gouraud" if smooth else "flat"}
    style |= {"cmap": cmap or ("cividis" if center is None else "PuOr_r"), "rasterized": True}
    mesh = ax.pcolormesh(*((across, up) if smooth else (_edges(across), _edges(up))), values, **style)
    ax.set_facecolor("#DDDDDD")
    if len(contours):
        ax.clabel(
            ax.contour(across, up, values, sorted(contours), colors="black", linestyles="solid"),
            fmt=plain,
            fontsize=SMALL,
        )
    for (i, j), value in np.ndenumerate(values) if numbers else ():
        if np.isfinite(value):
            ink: dict[str, Any] = {
                "color": _contrast(mesh.cmap(mesh.norm(value))),
                "ha": "center",
                "va": "center",
            }
            ax.text(float(across[j]), float(up[i]), numbers.format(value), fontsize=SMALL, **ink)
    if label:
        ax.figure.colorbar(mesh, ax=ax, label=label, pad=0.02)
    if z[y].dtype.kind in "UOT" and not ax.yaxis_inverted():
        ax.invert_yaxis()
    return ax


def mark(
    value: Any,
    ax: Axes,
    text: str = "",
    *,
    axis: Literal["x", "y"] = "x",
    at: Any = 0.98,
    before: bool = False,
    color: str = DIM,
    dash: str = "--",
) -> Axes:
    """A line across the panel at a value, or a shaded span between two, with its name beside it.

    Args:
      value: where; two values: a span.
      ax: where to draw.
      text: its name.
      axis: "x": a vertical line; "y": a horizontal one.
      at: place of the name along the line, in [0, 1].
      before: whether the name stands left of (below) the line.
      color: of line and name.
      dash: line style.
    """
    upright, ends = axis == "x", np.atleast_1d(np.asarray(value, float))
    if len(ends) == 2:
        (ax.axvspan if upright else ax.axhspan)(*ends, color=color, alpha=0.15, linewidth=0, zorder=0)
    else:
        (ax.axvline if upright else ax.axhline)(ends[0], color=color, linestyle=dash, linewidth=1, zorder=0)
    far = -1 if before else 1
    place, shift = ((ends[0], at), (3 * far, 0)) if upright else ((at, ends[0]), (0, 2 * far))
    side = ("right", "left")[not before] if upright else ("left" if at < 0.5 else "right")
    va = ("top" if at > 0.5 else "bottom") if upright else ("top" if before else "bottom")
    system: Any = ("data", "axes fraction") if upright else ("axes fraction", "data")
    style: dict[str, Any] = {"ha": side, "va": va, "color": color, "fontsize": SMALL}
    ax.annotate(text, place, shift, xycoords=system, textcoords="offset points", **style)
    return ax


def note(
    place: Any,
    ax: Axes,
    text: str,
    *,
    shift: tuple[Any, Any] = (6, 5),
    color: str = INK,
    dot: bool = False,
    line: bool = False,
) -> Axes:
    """Words beside a point.

    Args:
      place: `[2]`, the point, in data.
      ax: where to draw.
      text: the words.
      shift: from the point to the words, in points; they lie on that side of it.
      color: of the words.
      dot: whether to mark the point.
      line: whether to join words and point.
    """
    if dot:
        ax.plot(*place, "o", color=color, markeredgecolor="black", markersize=6, zorder=5)
    ha = "center" if abs(shift[0]) < 3 else "left" if shift[0] > 0 else "right"
    va = "center" if abs(shift[1]) < 3 else "bottom" if shift[1] > 0 else "top"
    arrow = {"arrowstyle": "-", "color": color, "linewidth": 0.8} if line else None
    style: dict[str, Any] = {"ha": ha, "va": va, "color": color, "fontsize": SMALL, "arrowprops": arrow}
    ax.annotate(text, (place[0], place[1]), shift, textcoords="offset points", **style)
    return ax


def ends(ax: Axes) -> Axes:
    """Names at the right ends of the lines in place of a legend; call it last, with the limits as they stay.

    Args:
      ax: whose named lines to name; names without a line, which `curves` adds for `dash`, are left to a legend.
    """
    to_axes, right, tags = ax.transData - ax.transAxes, max(ax.get_xlim()), []
    for line in ax.get_lines():
        name, xy = str(line.get_label()), np.reshape(line.get_xydata(), (-1, 2)).astype(float)
        xy = xy[np.isfinite(xy).all(axis=1) & (xy[:, 0] <= right)]
        if not name.startswith("_") and len(xy):
            tags.append([float(to_axes.transform(xy[-1])[1]), xy[-1, 0], name, line.get_color()])
            line.set_label("_" + name)
    tags.sort(key=lambda tag: tag[0])
    for step in (1, -1):  # upwards until none overlaps, then down again from the top
        for one, two in pairwise(tags[::step]):
            lines = 1 + max(tag[2].count("\n") for tag in (one, two))
            gap = 1.2 * SMALL * lines / (72 * ax.bbox.height / ax.figure.dpi)
            two[0] = step * max(step * two[0], step * one[0] + gap)
        if tags:
            tags[-1][0] = min(tags[-1][0], 1.0)
    for y, x, name, color in tags:
        style: dict[str, Any] = {"color": color, "fontsize": SMALL, "va": "center", "annotation_clip": False}
        style |= {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(name, (x, y), (4, 0), **style)
    return ax


def legend(
    entries: Mapping[str, Any] | None,
    ax: Axes,
    *,
    title: str | None = None,
    place: Literal["inside", "right", "below"] = "inside",
    **options: Any,
) -> Axes:
    """A legend by colour, line style and marker: of this panel, beside it, or below all panels of the figure.

    Args:
      entries: what each name looks like: a colour, a line style such as "--", a marker such as "o", or a dictionary
        for `Line2D`; None: the named artists of the panel.
      ax: where to draw.
      title: what the entries have in common.
      place: "inside" the panel, to its "right", or "below": one for the whole figure.
      **options: as for `Axes.legend`: `loc`, `ncols`, ….
    """
    handles, labels = ax.get_legend_handles_labels()
    if entries is not None:
        handles, labels = [_proxy(value) for value in entries.values()], list(entries)
    options = {"title": title, "fontsize": SMALL, "title_fontsize": SMALL} | options
    if place == "below":
        ax.figure.legend(handles, labels, **{"loc": "outside lower center", "ncols": len(labels)} | options)
    else:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if place == "right" else {}
        ax.legend(handles, labels, **beside | options)
    return ax


@dataclass(frozen=True)
class _Part:
    """One arm: plain arrays `[x]`, the ends of its intervals and its members `[x, members]` if drawn; how it looks."""

    x: np.ndarray
    value: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    runs: np.ndarray | None
    color: str
    label: str | None
    arm: int
    arms: int
    dash: int

    def error(self) -> np.ndarray | None:
        """Lengths of the whiskers, `[2, x]`."""
        if self.low is None or self.high is None:
            return None
        return np.maximum([np.atleast_1d(self.value - self.low), np.atleast_1d(self.high - self.value)], 0)


def _parts(y: Any, x: Any, arms: Arms) -> Iterator[_Part]:
    by, dash, over = arms.get("by"), arms.get("dash"), arms.get("over")
    if not isinstance(y, (Estimate, xr.DataArray)):
        along = x if isinstance(x, str) else None if x is None else "x"
        y = xr.DataArray(np.asarray(y), dims=[dim for dim in (by, dash, along, over) if dim])
    value, low, high, runs = _summary(y, over, arms)
    rest = [str(dim) for dim in value.dims if dim not in (by, dash)]
    if len(rest) != (x is not None):
        raise ValueError(
            f"y: dimensions {rest} besides by={by!r}, dash={dash!r}, over={over!r}; must be that of x"
        )
    place = xr.DataArray(0) if x is None else value[x] if isinstance(x, str) else x
    place = place if isinstance(place, xr.DataArray) else xr.DataArray(np.asarray(place), dims=rest)
    place = place.mean(over) if over in place.dims else place
    labels = value[by].values.tolist() if by else [None]
    for i, j in np.ndindex(len(labels), value.sizes[dash] if dash else 1):
        index = {dim: k for dim, k in ((by, i), (dash, j)) if dim}

        def at(array: Any, *order: str, index: Any = index) -> Any:
            one = None if array is None else array.isel(index, missing_dims="ignore")
            return None if one is None else one.transpose(*order, ...).values

        named = by and j == 0 and arms.get("label", True)
        name = _words([labels[i]], by, arms)[0] if named else None
        color = _color(arms, labels, labels[i])
        yield _Part(at(place), at(value), at(low), at(high), at(runs, *rest), color, name, i, len(labels), j)


def _summary(y: Any, over: str | None, arms: Arms) -> tuple[Any, Any, Any, Any]:
    """Labelled values, both ends of their intervals, and members; None for what is not drawn."""
    spread, level, ends = arms.get("spread"), arms.get("level", 0.05), None
    if isinstance(y, Estimate):
        value, known = y.value, y.exact or 0 < y.n <= FEW
        ends = None if known else y.interval(level)
    elif over is None:
        return y, None, None, None
    else:
        estimate = (share if y.dtype == bool else mean)("", y, over)
        value = y.median(over) if spread else estimate.value
        if arms.get("runs") or y.sizes[over] <= FEW:
            return value, None, None, y
        ends = [y.quantile(end, over) for end in spread] if spread else estimate.interval(level)
    if ends is None:
        return value, None, None, None
    low, high = (xr.broadcast(xr.DataArray(end), value)[0] for end in ends)
    low, high = (
        end.where(np.isfinite(end)).clip(*(arms.get("within") or (None, None))) for end in (low, high)
    )
    return value, low, high, None


def _color(arms: Arms, labels: Sequence[Any], label: Any) -> str:
    colors = arms.get("colors")
    if isinstance(colors, str) or label is None:
        return colors if isinstance(colors, str) else plot.BEST
    return (palette(labels) if colors is None else colors)[label]


def _words(labels: Sequence[Any], dim: str | None, arms: Arms) -> list[str]:
    names = arms.get("names") or {}
    told = [
        str(one) if isinstance(one, (str, bool)) else f"{dim} = " * bool(dim) + plain(one) for one in labels
    ]
    return [names.get(label, word) for label, word in zip(labels, told, strict=True)]


def _dash_names(y: Any, ax: Axes, arms: Arms, look: Any) -> Axes:
    """Names of line styles or markers, in the legend only."""
    dash, value = arms.get("dash"), y.value if isinstance(y, Estimate) else y
    if dash and arms.get("label", True):
        for j, name in enumerate(_words(value[dash].values.tolist(), dash, arms)):
            ax.plot([], [], label=name, **{"color": INK} | look(j))
    return ax


def _marker(j: int, color: str) -> dict[str, Any]:
    look = {"markerfacecolor": "white"} if j % 2 else {"markeredgecolor": "white", "markeredgewidth": 0.6}
    return {"marker": MARKERS[j % len(MARKERS)], "markersize": 5.5, **look}


def _places(x: np.ndarray, ax: Axes, axis: Literal["x", "y"] = "x") -> np.ndarray:
    """Numbers as they are; words at 0, 1, …, as ticks."""
    if x.dtype.kind not in "UOT":
        return x.astype(float)
    (ax.xaxis if axis == "x" else ax.yaxis).set_ticks(range(len(x)), [str(word) for word in x])
    if axis == "x":
        ax.set_xlim(-0.5, len(x) - 0.5)
    return np.arange(len(x)) * 1.0


def _edges(centers: np.ndarray) -> np.ndarray:
    """Edges of cells, half-way between their centres; geometrically so for a geometric grid."""
    steps = np.diff(centers) if len(centers) > 1 else np.ones(1)
    if (
        (centers > 0).all()
        and np.ptp(steps) > 1e-6 * abs(steps).max()
        and np.ptp(np.diff(np.log(centers))) < 0.5
    ):
        return np.exp(_edges(np.log(centers)))
    first, last = centers[:1] - steps[:1] / 2, centers[-1:] + steps[-1:] / 2
    return np.concatenate([first, (centers[1:] + centers[:-1]) / 2, last])


def _contrast(color: Any) -> str:
    return "white" if np.dot(to_rgb(color), [0.3, 0.6, 0.1]) < 0.5 else "black"


def _proxy(value: Any) -> Line2D:
    look: dict[str, Any] = {"color": INK}
    if isinstance(value, Mapping):
        look |= value
    elif is_color_like(value):
        look["color"] = value
    else:
        look |= {"linestyle": value} if value in DASHES else {"linestyle": "none", "marker": value}
    return Line2D([], [], **look)


class _Decades(LogLocator):
    """Powers of ten; over less than two decades also 2 and 5 times these."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        low, high = sorted((vmin, vmax))
        self.set_params(subs=(1, 2, 5) if 0 < high < 100 * low else (1,))
        return super().tick_values(vmin, vmax)
