"""Pictures of trees: values and visits."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import rgb_to_hsv

from qra_jax import plot
from qra_jax.reward import Reward, verifiable
from qra_jax.tree.model import Tree
from qra_jax.tree.values import values

_VERIFIABLE = verifiable()
LARGEST, SHOWN = 60, 20
"""Leaves up to which a tree is drawn whole, and how many of the most visited ones are drawn of a larger tree."""
LONGEST = 24
"""Letters of a label."""
WIDEST = 9.0
"""Points of a line along which all rollouts go."""


_values = jax.jit(lambda tree, log_policy, reward: values(tree, log_policy, reward=reward))


class Layout(NamedTuple):
    """Where the states that are drawn are."""

    states: list[int]
    """States in the order of the picture, each before what follows it."""
    height: dict[int, float]
    """Height of each of them; leaves are one apart, the first on top."""
    left_out: int
    """Leaves that are not drawn."""


def layout(tree: Tree, visit: Any) -> Layout:
    """Places of the states: leaves one below the other, every other state in the middle of its steps.

    Args:
      tree: the question.
      visit: `[states]`, how often each is visited, which decides what is drawn of a large tree.

    Returns:
      The [`Layout`][].
    """
    shape, visit = tree.shape, np.asarray(visit)
    kept, leaves = np.ones(shape.states, bool), shape.leaves
    if len(leaves) > LARGEST:
        kept[:] = False
        for i in np.argsort(-visit[leaves], kind="stable")[:SHOWN]:
            kept[[0, *(step + 1 for step in shape.paths[i])]] = True
    steps: dict[int, list[int]] = {}
    for step, state in enumerate(shape.origin):
        if kept[step + 1]:
            steps.setdefault(int(state), []).append(step + 1)
    order, waiting, height = [], [0], {}
    while waiting:
        state = waiting.pop()
        order.append(state)
        waiting += reversed(steps.get(state, []))
    row = 0.0
    for state in order:
        if state not in steps:
            height[state], row = row, row - 1.0
    for state in reversed(order):
        if state in steps:
            height[state] = (height[steps[state][0]] + height[steps[state][-1]]) / 2
    return Layout(order, height, int(np.sum(~kept[leaves])))


def known_values(tree: Tree, log_policy: Any = None, reward: Reward = _VERIFIABLE) -> Any:
    """The [`Values`][qra_jax.tree.Values] of a policy as NumPy arrays."""
    return jax.device_get(_values(tree, log_policy, reward))


def draw(
    tree: Tree,
    *,
    log_policy: Any = None,
    reward: Reward = _VERIFIABLE,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A tree from the question on the left to the answers on the right.

    The colour of a state, and the number in it, is its value, the width of a line the share of rollouts that go along.

    Args:
      tree: the question; of more than 60 leaves the 20 most visited are drawn.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      reward: what an answer earns, for values.
      title: of the picture; default: how often the policy is right, and how often it goes the best way.
      ax: where to draw.

    Returns:
      The Axes.
    """
    known = known_values(tree, log_policy, reward)
    placed, shape = layout(tree, known.visit), tree.shape
    rows = sum(shape.children[state] == 0 for state in placed.states)
    with plot.style():
        ax = cast(Axes, plot.new((6.8, tall(rows)))[1] if ax is None else ax)
        size = float(np.clip(1500 / rows, 60, 300))
        _lines(tree, placed, known, ax)
        colors = matplotlib.colormaps["cividis"](np.clip(known.value, 0, 1))
        places = np.array([[shape.depth[state], placed.height[state]] for state in placed.states])
        ax.scatter(
            *places.T, s=size, color=colors[placed.states], edgecolors="#444444", linewidths=0.6, zorder=3
        )
        for state, (x, y) in zip(placed.states, places, strict=True):
            dark = rgb_to_hsv(colors[state][:3])[2] < 0.6
            number = f"{known.value[state]:.2f}".replace("0.", ".", 1)
            if size >= 100:
                ink = "white" if dark else "black"
                ax.text(x, y, number, ha="center", va="center", fontsize=6.5, color=ink, zorder=4)
            _name(tree, state, known, (x, y), size, ax)
        ax.set(xlim=(-0.3, shape.depth[-1] + 0.15), ylim=(min(places[:, 1]) - 0.7, 0.8))
        ax.set_axis_off()
        ax.set_title(_said(tree, known) if title is None else title)
        mark = "number" if size >= 100 else "colour, dark to light"
        notes = f"{mark}: chance to be right from here; width: share of rollouts"
        if placed.left_out:
            shown = len(shape.leaves) - placed.left_out
            share = known.visit[[s for s in placed.states if not shape.children[s]]].sum()
            notes = (
                f"the {shown} most visited of {len(shape.leaves)} leaves, {share:.0%} of rollouts\n{notes}"
            )
        ax.text(0, 0, notes, transform=ax.transAxes, va="top", fontsize=7.5, color="#444444")
    return ax


def tall(rows: int) -> float:
    """Height of a figure with so many rows, in inches."""
    return float(np.clip(1.3 + 0.26 * rows, 3.0, 16.0))


def _lines(tree: Tree, placed: Layout, known: Any, ax: Axes) -> None:
    """A bent line for each step, as wide as it is often taken."""
    shape, bend = tree.shape, (1 - np.cos(np.linspace(0, np.pi, 30))) / 2
    for state in placed.states[1:]:
        origin = int(shape.origin[state - 1])
        x = np.linspace(shape.depth[origin], shape.depth[state], 30)
        y = placed.height[origin] + (placed.height[state] - placed.height[origin]) * bend
        width = max(WIDEST * float(known.visit[state]), 0.5)
        ax.plot(x, y, color=plot.MUTED, linewidth=width, solid_capstyle="butt", zorder=1)


def _name(tree: Tree, state: int, known: Any, place: tuple[float, float], size: float, ax: Axes) -> None:
    """The name of a state, behind a leaf with how often it is reached, above another."""
    away = np.sqrt(size) / 2 + 2.5
    if tree.shape.children[state] == 0:
        label, offset, how = f"{short(tree.name(state))}, {_percent(known.visit[state])}", (away, 0), "left"
        ax.annotate(label, place, offset, textcoords="offset points", ha=how, va="center", fontsize=7.5)
    else:
        ax.annotate(
            short(tree.name(state)),
            place,
            (0, away),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7.5,
            fontweight="bold",
            zorder=5,
        )


def short(name: str) -> str:
    """A name without those of the states before it, cut where it is long."""
    name = name.rpartition(" › ")[2]
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _percent(share: float) -> str:
    if share >= 0.01 or share == 0:
        return f"{share:.0%}"
    return f"{100 * float(f'{share:.1g}'):.4g}%"


def _said(tree: Tree, known: Any) -> str:
    """How often the policy is right, and how often it goes the best way."""
    best = int(tree.shape.leaves[int(np.argmax(np.asarray(tree.success)))])
    return (
        f"Right in {_percent(known.value[0])}; the best way ({short(tree.name(best))}) "
        f"is taken in {_percent(known.visit[best])}"
    )
