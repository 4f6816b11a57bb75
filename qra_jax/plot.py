"""How figures look: one style, one colour for each method, and the few kinds of axes that recur.

Figures are built without pyplot, so that nothing needs a display, nothing is global and nothing leaks.
Every function takes its data first and its options by keyword, draws on `ax` or on a new figure, and returns
the Axes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import _files

STYLE = Path(__file__).with_name("qra.mplstyle")
"""The style sheet that every figure of the package is drawn with."""

_BLUE, _VERMILLION, _GREEN, _PINK, _ORANGE, _SKY, _PURPLE, _GREY = CYCLE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#666666"),
)
"""The colour cycle of the style sheet."""

BEST, RIVAL, ACCURACY, MUTED = _BLUE, _VERMILLION, "#000000", "#B0B0B0"
"""Colours of the best pattern, of its rival, of the accuracy, and of what is only context."""

_UNDATED = {".pdf": {"CreationDate": None}, ".png": {"Software": None}, ".svg": {"Date": None}}
"""The kinds of files that can be written, and what keeps dates out of them."""

_METHODS = {
    "DAPO": _PINK,
    "dynamic sampling": _PINK,
    "natural gradient": _GREY,
    "SFT": _GREEN,
    "RLVR": _BLUE,
    "RLIF": _VERMILLION,
}
"""Colours of what is no algorithm of the registry."""


def _key(name: str) -> str:
    """A name without what does not matter to its colour."""
    return name.lower().translate(str.maketrans("_-", "  ", "()")).replace("dr grpo", "dr.grpo").strip()


@cache
def _colors() -> dict[str, str]:
    """Colours by key: those that algorithms were registered with, and those of other methods."""
    from qra_jax import algorithm, registry  # on first use: a figure's path is checked without them

    assert algorithm.__all__  # importing it fills the registry
    entries = registry.ALGORITHMS.entries.values()
    named = [*_METHODS.items(), *(pair for entry in entries for pair in entry.colors.items())]
    return {_key(name): value for name, value in named}


def color(name: str) -> str:
    """The colour of an algorithm or method: the same name has the same colour in every figure.

    Upper and lower case, `_`, `-` and a trailing group size or number of tries do not matter.

    Args:
      name: an `Algorithm.name` or another name of a method.

    Returns:
      A hexadecimal colour.

    >>> color("GRPO") == color("grpo G8") == color("grpo_mean_field") != color("REINFORCE")
    True
    """
    key, colors = _key(name), _colors()
    if key in colors:
        return colors[key]
    if key.startswith("pass@"):
        return colors["pass@k"]
    known = [start for start in colors if key.startswith(start)]
    return colors[max(known, key=len)] if known else CYCLE[crc32(key.encode()) % len(CYCLE)]


def pattern_colors(patterns: int, best: int = 0, rival: int | None = None) -> list[str]:
    """Colours of the patterns of a problem: blue for the best one, vermillion for its rival.

    Args:
      patterns: n ≥ 1.
      best: index of r*.
      rival: index of r', where there is one.

    Returns:
      n colours.
    """
    rest = [c for c in CYCLE if c not in (BEST, RIVAL)]
    colors = [rest[i % len(rest)] for i in range(patterns)]
    colors[best] = BEST
    if rival is not None:
        colors[rival] = RIVAL
    return colors


def style() -> AbstractContextManager[None]:
    """The package's style as a context: `with plot.style(): ...`."""
    return matplotlib.style.context(STYLE)


def new(figsize: tuple[float, float] = (6.4, 3.6), **subplots: Any) -> tuple[Figure, Any]:
    """A figure in the package's style.

    Args:
      figsize: width and height in inches.
      **subplots: as for `Figure.subplots`: `nrows`, `ncols`, `sharex`, `width_ratios`, `squeeze`, …

    Returns:
      The figure, and its Axes or array of Axes.
    """
    with style():
        figure = Figure(figsize=figsize, layout="constrained")
        return figure, figure.subplots(**subplots)


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write a figure, without dates so that equal figures are equal files.

    Args:
      figure: what to write.
      path: file name; with a suffix (.pdf, .png, .svg) that one file, without one both PDF and PNG.

    Returns:
      The files written.

    Raises:
      ValueError: a suffix that is not one of these.
    """
    path = check_path("path", path)
    suffixes = [path.suffix.lower()] if path.suffix else [".pdf", ".png"]
    written = []
    with style():
        for suffix in suffixes:
            content = io.BytesIO()
            figure.savefig(content, format=suffix[1:], metadata=_UNDATED[suffix])
            written.append(_files.write(path.with_suffix(suffix), content.getvalue()))
    return written


def check_path(name: str, path: str | Path) -> Path:
    """A path that [`save`][] can write to.

    Args:
      name: argument to name in the complaint.
      path: file name.

    Returns:
      The path.

    Raises:
      ValueError: another ending than .pdf, .png or .svg.
    """
    path = Path(path)
    if path.suffix.lower() not in ("", *_UNDATED):
        raise ValueError(
            f"{name}: {path.name!r}; must end in {', '.join(_UNDATED)} (or have no ending: PDF and PNG)"
        )
    return path


def simplex_axes(
    labels: Sequence[str] = ("pattern 0", "pattern 1", "pattern 2"), *, ax: Axes | None = None
) -> Axes:
    """The triangle of policies over three patterns: a corner is a policy that always picks one of them.

    Args:
      labels: names of the corners: left, right, top.
      ax: where to draw.

    Returns:
      The Axes, aspect equal, without ticks.
    """
    ax = _axes(ax, (3.6, 3.4))
    corners = ternary(np.eye(3))
    ax.fill(*corners.T, facecolor="none", edgecolor="#444444", linewidth=0.8)
    for part in (0.25, 0.5, 0.75):
        for i in range(3):
            ends = np.zeros((2, 3))
            ends[:, i] = part
            ends[0, (i + 1) % 3] = ends[1, (i + 2) % 3] = 1 - part
            ax.plot(*ternary(ends).T, color="#E5E5E5", linewidth=0.6, zorder=0)
    for (x, y), label, (dy, ha, va) in zip(
        corners,
        labels,
        [(-0.03, "center", "top"), (-0.03, "center", "top"), (0.02, "center", "bottom")],
        strict=True,
    ):
        ax.text(x, y + dy, label, ha=ha, va=va)
    ax.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.1, 0.98))
    ax.set_axis_off()
    return ax


def simplex(policy: Any, *, ax: Axes | None = None, **line: Any) -> Axes:
    """A path of policies over three patterns, drawn in the triangle of [`simplex_axes`][].

    Args:
      policy: `[times, 3]`, π along the path.
      ax: Axes of `simplex_axes`; default: new ones.
      **line: as for `Axes.plot`: `color`, `label`, `linestyle`, `marker`, …

    Returns:
      The Axes.
    """
    ax = simplex_axes() if ax is None else ax
    ax.plot(*ternary(policy).T, **line)
    return ax


def ternary(policy: Any) -> np.ndarray:
    """Ternary projection: the corners 0, 1, 2 go to (0, 0), (1, 0), (½, √3/2).

    Args:
      policy: `[..., 3]`, probabilities.

    Returns:
      `[..., 2]`, coordinates in the plane.

    >>> ternary([[0, 0, 1]]).round(3).tolist()
    [[0.5, 0.866]]
    """
    return np.asarray(policy) @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def policies(
    time: Any,
    policy: Any,
    *,
    best: int = 0,
    rival: int | None = None,
    labels: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """The share of every pattern against time, time on a log axis.

    Args:
      time: `[times]`, above zero.
      policy: `[times, patterns]`, π.
      best: index of r*, drawn in its own colour on top.
      rival: index of r', where there is one.
      labels: `[patterns]`, names; default: `pattern 0`, ….
      ax: where to draw.

    Returns:
      The Axes.
    """
    ax = _axes(ax)
    policy = np.asarray(policy)
    colors = pattern_colors(policy.shape[1], best, rival)
    for r in range(policy.shape[1]):
        label = f"pattern {r}" if labels is None else labels[r]
        ax.plot(time, policy[:, r], color=colors[r], label=label, zorder=3 if r == best else 2)
    ax.set(xscale="log", ylim=(-0.02, 1.02), xlabel="time t", ylabel="share π")
    return ax


def _axes(ax: Axes | None, figsize: tuple[float, float] = (6.4, 3.6)) -> Axes:
    return new(figsize)[1] if ax is None else ax
