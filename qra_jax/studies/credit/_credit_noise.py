r"""Noise of one group's update under each credit, in closed form.

The scores of steps in different states have no logit in common and no rollout comes through a state twice, so that the
squared length of a rollout's update is a sum over its steps. With $s_c^2=|e_c-\pi|^2$ and d(c) the chance of step c,

$$ E|g|^2 = \sum_c d(c)\,s_c^2\,E[A^2\mid c],\qquad E[A^2\mid c] = (V(c)-V(s))^2\ \text{(exact values)},\quad
   V(c)(1-\rho)^2+(1-V(c))\rho^2\ \text{(uniform)}, $$

and for a last step under exact values that of the verdict. Weighted by d alone the first sums to $\rho(1-\rho)$ over
all steps together, the second to $\rho(1-\rho)$ for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from qra_jax.studies import lab
from qra_jax.studies.credit._credit import full
from qra_jax.tree import Tree, instances
from qra_jax.tree.shape import Shape

CREDITS = ("uniform", "whole answer", "two segments", "exact", "MC-1", "MC-3", "MC-9")
"""`whole answer`: all steps are paid R − V(question); `two segments`: those of each half, what the half is worth."""
FAMILIES, DEPTHS = ("chain", "comb", "random, 2 wide", "random, 4 wide"), (1, 2, 3, 4, 6)
LEVELS, RATE = (0.1, 0.25, 0.5, 0.75), 0.5
"""Accuracies at which training is looked at, as shares of the best one; learning rate of the way there."""


class State(NamedTuple):
    """A tree and a policy over it, as plain arrays."""

    shape: Shape
    policy: np.ndarray
    """`[steps]`."""
    visit: np.ndarray
    """`[states]`."""
    value: np.ndarray
    """`[states]`."""


def state(shape: Shape, policy: np.ndarray, success: np.ndarray) -> State:
    """Visits and values under a policy `[steps]`, with success rates `[leaves]`."""
    visit, value = np.ones(shape.states), np.zeros(shape.states)
    value[shape.leaves] = success
    for step in range(shape.steps):
        visit[step + 1] = visit[shape.origin[step]] * policy[step]
    for step in reversed(range(shape.steps)):
        value[shape.origin[step]] += policy[step] * value[step + 1]
    return State(shape, policy, visit, value)


def sizes(at: State) -> np.ndarray:
    """Squared length of the score of each step, `[steps]`."""
    square = np.bincount(at.shape.origin, at.policy**2, at.shape.states)
    return 1 - 2 * at.policy + square[at.shape.origin]


def mean(at: State, table: np.ndarray | None = None) -> np.ndarray:
    """Mean update at unit clock, `[steps]`, if steps are paid by a table of values `[states]` (default: exact ones)."""
    table, start = at.value if table is None else table, at.shape.origin
    weight = at.visit[1:] * (table[1:] - table[start])
    return weight - np.bincount(start, weight, at.shape.states)[start] * at.policy


def square(at: State, table: np.ndarray) -> np.ndarray:
    """E[A² | step] of credit by a table of values with λ = 0; what ends in a leaf is paid by the verdict."""
    before, last = table[at.shape.origin], np.asarray(at.shape.children)[1:] == 0
    right = at.value[1:]
    return np.where(last, right * (1 - before) ** 2 + (1 - right) * before**2, (table[1:] - before) ** 2)


def segments(at: State, bounds: tuple[int, ...]) -> np.ndarray:
    """E[A² | step] of exact credit of whole segments, which begin at these depths, `[steps]`."""
    shape, ends = at.shape, np.isin(at.shape.depth, bounds)
    begin = at.value.copy()
    second = np.where(np.asarray(shape.children) == 0, at.value, at.value**2)
    for step in range(shape.steps):
        if not ends[step + 1]:
            begin[step + 1] = begin[shape.origin[step]]
    inside = (np.asarray(shape.children) > 0) & ~ends
    second[inside] = 0.0
    for step in reversed(range(shape.steps)):
        if inside[shape.origin[step]]:
            second[shape.origin[step]] += at.policy[step] * second[step + 1]
    start = begin[shape.origin]
    return second[1:] - 2 * at.value[1:] * start + start**2


def trace(at: State, credit: str, group: int, table: np.ndarray | None = None) -> float:
    """Trace of the covariance of one group's update.

    Args:
      at: the tree and the policy.
      credit: one of `CREDITS`, of which `uniform` is RLOO, or `table`.
      group: G ≥ 2.
      table: `[states]`, a critic's values, for `table`.
    """
    weight, rho, common = at.visit[1:] * sizes(at), at.value[0], 0.0
    signal = float(np.sum(mean(at, table) ** 2))
    if credit == "uniform":
        paid = at.value[1:] * (1 - rho) ** 2 + (1 - at.value[1:]) * rho**2
        baseline = (rho * (1 - rho) * np.sum(weight) + signal) / (group * (group - 1))
        return float((weight @ paid - signal) / group + baseline)
    if credit in ("whole answer", "two segments"):
        paid = segments(at, () if credit == "whole answer" else ((int(at.shape.depth[-1]) + 1) // 2,))
    else:
        paid = square(at, at.value if table is None else table)
    if credit.startswith("MC"):
        unsure = at.value * (1 - at.value) / int(credit[3:])
        inner = np.asarray(at.shape.children)[1:] > 0
        paid = paid + unsure[at.shape.origin] + np.where(inner, unsure[1:], 0.0)
        common = np.sum(np.where(inner, unsure[1:], 0.0) * at.visit[1:] ** 2 * sizes(at))
    return float((weight @ paid - signal - common) / group + common)


def member(family: str, depth: int, random: np.random.Generator) -> State:
    """One tree of a family at its base policy; random ones have Dirichlet choices and Beta(½, ½) success rates."""
    if not family.startswith("random"):
        tree = instances.chain([0.7] * depth) if family == "chain" else instances.comb(depth)
        return state(tree.shape, np.exp(np.asarray(tree.log_ref)), np.asarray(tree.success))
    width = int(family.split()[1])
    shape = full(width, depth)
    policy = random.dirichlet(np.ones(width), len(shape.inner)).ravel()
    return state(shape, policy, random.beta(0.5, 0.5, len(shape.leaves)))


def by_depth(random: np.random.Generator, seeds: int, group: int) -> xr.Dataset:
    """Noise of every credit on the trees of all families by depth; those without randomness are alike for all seeds."""
    table = np.empty((len(FAMILIES), len(DEPTHS), seeds, len(CREDITS)))
    for i, family in enumerate(FAMILIES):
        for j, depth in enumerate(DEPTHS):
            for k in range(seeds if family.startswith("random") else 1):
                one = member(family, depth, random)
                table[i, j, k:] = [trace(one, credit, group) for credit in CREDITS]
    coords = {"family": list(FAMILIES), "depth": list(DEPTHS), "credit": list(CREDITS)}
    return lab.dataset({"noise": (("family", "depth", "seed", "credit"), table)}, coords)


def of(tree: Tree) -> State:
    """A tree at its base policy."""
    return state(tree.shape, np.exp(np.asarray(tree.log_ref, float)), np.asarray(tree.success, float))


def norm_ratio(tree: Tree, credit: str, group: int) -> float:
    """Root mean square length of the update of uniform credit over that of another, at the base policy."""
    at = of(tree)
    signal = float(np.sum(mean(at) ** 2))
    return float(np.sqrt((trace(at, "uniform", group) + signal) / (trace(at, credit, group) + signal)))


def along(trees: Sequence[Tree], kinds: Sequence[str], group: int) -> xr.Dataset:
    """Noise over signal of every credit along expected training, of a critic from the base policy, and its cosine."""
    ratio, cosine = [], []
    for tree in trees:
        logits, best = np.asarray(tree.log_ref, float), float(np.max(tree.success))
        base = at = of(tree)
        for level in LEVELS:
            while at.value[0] < level * best:
                logits = logits + RATE * mean(at)
                weight = np.exp(logits)
                total = np.bincount(tree.shape.origin, weight, tree.shape.states)[tree.shape.origin]
                at = state(tree.shape, weight / total, np.asarray(tree.success, float))
            signal, stale = mean(at), mean(at, base.value)
            noise = [trace(at, credit, group) for credit in CREDITS]
            lagged = trace(at, "table", group, base.value)
            ratio.append([*(np.array(noise) / (signal @ signal)), lagged / (stale @ stale)])
            cosine.append(signal @ stale / np.linalg.norm(signal) / np.linalg.norm(stale))
    shape = len(kinds), len(LEVELS)
    variables = {
        "ratio": (("kind", "level", "credit"), np.reshape(ratio, (*shape, -1))),
        "cosine": (("kind", "level"), np.reshape(cosine, shape)),
    }
    coords = {"kind": list(kinds), "level": list(LEVELS), "credit": [*CREDITS, "stale critic"]}
    return lab.dataset(variables, coords)
