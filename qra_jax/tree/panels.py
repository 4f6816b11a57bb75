"""What each step of a tree is paid, drawn beside the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qra_jax import plot
from qra_jax.reward import Reward, verifiable
from qra_jax.tree import picture
from qra_jax.tree.model import Tree
from qra_jax.tree.paid import Paid

_VERIFIABLE = verifiable()


def draw_paid(
    tree: Tree,
    paid: Paid,
    *,
    log_policy: Any = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What each step is paid given that it is taken: a dot for the mean, a bar of one standard deviation each way.

    Args:
      tree: the question; of a large tree the most visited part is drawn.
      paid: of `qra_jax.tree.paid`.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      title: the name of the estimator; the mean noise of a step is said behind it.
      ax: where to draw.

    Returns:
      The Axes.
    """
    visit = picture.known_values(tree, log_policy).visit
    steps = [state - 1 for state in picture.layout(tree, visit).states if state]
    mean, noise = (np.asarray(one)[steps] for one in paid)
    rows = np.arange(len(steps))
    with plot.style():
        ax = cast(Axes, plot.new((4.6, picture.tall(len(steps))))[1] if ax is None else ax)
        ax.axvline(0, color="#444444", linewidth=0.8, zorder=1)
        for sign, color in ((mean >= 0, plot.BEST), (mean < 0, plot.RIVAL)):
            ends = np.stack([mean - noise, mean + noise])[:, sign]
            ax.hlines(rows[sign], *ends, color=color, linewidth=4, alpha=0.35, zorder=2)
            ax.plot(mean[sign], rows[sign], "o", color=color, markersize=4.5, zorder=3)
        names = [picture.short(tree.name(step + 1)) for step in steps]
        ax.set_yticks(rows, names, fontsize=8 if len(steps) <= 40 else 6)
        ax.tick_params(axis="y", length=0)
        ax.set(ylim=(len(steps) - 0.5, -0.5), xlabel="weight when taken, ± 1 s.d.")
        ax.set_title(f"{title}: noise {mean_noise(paid, visit):.2f}".removeprefix(": "))
    return ax


def mean_noise(paid: Paid, visit: Any) -> float:
    """Root of the mean variance of what a step is paid, over the steps of a rollout.

    Args:
      paid: of `qra_jax.tree.paid`.
      visit: `[states]`, how often each is visited.

    Returns:
      A standard deviation.
    """
    share, noise = np.asarray(visit)[1:], np.asarray(paid.noise)
    return float(np.sqrt(np.sum(share * noise**2) / np.sum(share)))


def sheet(
    tree: Tree,
    paid: Mapping[str, Paid],
    *,
    log_policy: Any = None,
    reward: Reward = _VERIFIABLE,
) -> Figure:
    """The tree, and beside it what its steps are paid by each of a few estimators, on one scale.

    Args:
      tree: the question.
      paid: of `qra_jax.tree.paid`, by the name of the estimator; may be empty.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      reward: what an answer earns, for values.

    Returns:
      The figure.
    """
    placed = picture.layout(tree, picture.known_values(tree, log_policy).visit)
    rows = max(len(placed.states) if paid else 0, len(tree.shape.leaves) - placed.left_out)
    widths = [1.7 + 0.25 * int(tree.shape.depth[-1]), *[1.0] * len(paid)]
    size = (2.7 * sum(widths) + 0.8, picture.tall(rows))
    figure, axes = plot.new(size, ncols=len(widths), width_ratios=widths, squeeze=False)
    picture.draw(tree, log_policy=log_policy, reward=reward, ax=axes[0, 0])
    for ax, (name, one) in zip(axes[0, 1:], paid.items(), strict=True):
        draw_paid(tree, one, log_policy=log_policy, title=name, ax=ax)
    limits = np.array([ax.get_xlim() for ax in axes[0, 1:]])
    for i, ax in enumerate(axes[0, 1:]):
        ax.set_xlim(limits[:, 0].min(), limits[:, 1].max())
        if i:
            ax.set_yticklabels([])
    return figure
