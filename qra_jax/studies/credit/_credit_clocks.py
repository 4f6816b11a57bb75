"""Clocks of single states: expected updates and paths of many trees of one shape at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from qra_jax import theory
from qra_jax.studies.credit._credit import full
from qra_jax.tree.shape import Shape

GROUP, BRANCHES = 8, 8
"""Rollouts of a group; continuations of each visited state, where states branch."""
STRIDE, STEPS = 0.1, 480
"""Largest change of a logit in a step along a path; number of these."""
GAPS = np.array([0.01, 0.03, 0.1, 0.3, 1.0])
"""Differences between the values of two steps."""
Array = np.ndarray


class Many(NamedTuple):
    """Policies over trees of one shape, `[trees, ...]`."""

    shape: Shape
    policy: Array
    visit: Array
    value: Array


def states(shape: Shape, policy: Array, success: Array) -> Many:
    """Visits and values of all states, of policies `[trees, steps]` and success rates `[trees, leaves]`."""
    visit, value = np.ones((len(policy), shape.states)), np.zeros((len(policy), shape.states))
    value[:, shape.leaves] = success
    for step in range(shape.steps):
        visit[:, step + 1] = visit[:, shape.origin[step]] * policy[:, step]
    for step in reversed(range(shape.steps)):
        value[:, shape.origin[step]] += policy[:, step] * value[:, step + 1]
    return Many(shape, policy, visit, value)


def drawn(
    random: np.random.Generator, shape: Shape, trees: int, concentration: float = 1.0
) -> tuple[Array, Array]:
    """Dirichlet policies `[trees, steps]` and Beta(½, ½) success rates `[trees, leaves]`."""
    width = shape.children[0]
    policy = random.dirichlet(np.full(width, concentration), (trees, len(shape.inner))).reshape(trees, -1)
    return np.maximum(policy, 1e-12), random.beta(0.5, 0.5, (trees, len(shape.leaves)))


def spread(group: int, chance: Array) -> Array:
    """E of the standard deviation of so many verdicts, which is ρ(1 − ρ) times GRPO's clock, at each chance."""
    k = np.arange(group + 1).reshape(-1, *[1] * chance.ndim)
    return np.sum(stats.binom.pmf(k, group, chance[None]) * np.sqrt(k / group * (1 - k / group)), axis=0)


def advantages(at: Many) -> Array:
    """d(s) π(c|s) [V(c) − V(s)] of each step, `[trees, steps]`."""
    return at.visit[:, 1:] * (at.value[:, 1:] - at.value[:, at.shape.origin])


def clock(group: int, chance: Array) -> Array:
    """GRPO's clock at an accuracy."""
    odds = np.clip(chance, 1e-9, 1 - 1e-9)
    return spread(group, odds) / (odds * (1 - odds))


def uniform(at: Many) -> Array:
    """Mean update of GRPO with uniform credit."""
    return clock(GROUP, at.value[:, :1]) * advantages(at)


def constant(at: Many) -> Array:
    """Mean update of RLOO with uniform credit."""
    return advantages(at)


def siblings(at: Many) -> Array:
    """Mean update where the group of a state are the rollouts that come through it."""
    inner, total = at.shape.inner, 0.0
    visit, value = at.visit[:, inner], at.value[:, inner]
    for others in range(1, GROUP):  # a rollout by itself has no weight
        share = stats.binom.pmf(others, GROUP - 1, visit)
        total = total + share * clock(others + 1, value)
    return np.asarray(total)[:, np.searchsorted(inner, at.shape.origin)] * advantages(at)


def branching(at: Many) -> Array:
    """Mean update where each visited state is continued by N rollouts, which its verdicts compare."""
    return clock(BRANCHES, at.value)[:, at.shape.origin] * advantages(at)


def by_values(at: Many) -> Array:
    """Mean update where N continuations are compared by the exact values of the states they lead to.

    Each advantage is the value less the mean of the N, over their standard deviation.
    """
    width = at.shape.children[0]
    policy = at.policy.reshape(len(at.policy), -1, width)
    value = at.value[:, 1:].reshape(policy.shape)
    total = np.zeros_like(policy)
    for counts in _compositions(BRANCHES, width):
        chance = np.exp(
            sum(
                c * np.log(policy[..., i]) - np.log(np.maximum(1, _factorial(c)))
                for i, c in enumerate(counts)
            )
        ) * _factorial(BRANCHES)
        share = np.array(counts) / BRANCHES
        middle = value @ share
        scatter = np.sqrt(np.maximum(((value - middle[..., None]) ** 2) @ share, 0.0))[..., None]
        paid = np.where(scatter > 1e-12, (value - middle[..., None]) / np.maximum(scatter, 1e-12), 0.0)
        total += chance[..., None] * share * paid
    return at.visit[:, at.shape.origin] * total.reshape(len(at.policy), -1)


RULES: dict[str, Callable[[Many], Array]] = {
    "GRPO": uniform,
    "RLOO": constant,
    "siblings": siblings,
    "branching, verdicts": branching,
    "branching, values": by_values,
}


def _factorial(n: int) -> int:
    return 1 if n < 2 else n * _factorial(n - 1)


def _compositions(total: int, parts: int) -> list[tuple[int, ...]]:
    if parts == 1:
        return [(total,)]
    return [(i, *rest) for i in range(total + 1) for rest in _compositions(total - i, parts - 1)]


def path(shape: Shape, start: Array, success: Array, rule: Callable[[Many], Array]) -> Array:
    """Shares of leaves along the expected path of a rule, at equal strides of the logits, `[trees, times, leaves]`."""
    width, logits, seen = shape.children[0], np.log(start), []
    for step in range(STEPS + 1):
        rows = np.exp(logits - logits.max(axis=1, keepdims=True)).reshape(len(logits), -1, width)
        at = states(shape, (rows / rows.sum(axis=-1, keepdims=True)).reshape(logits.shape), success)
        if step % 8 == 0:
            seen.append(at.visit[:, shape.leaves])
        weight = rule(at).reshape(rows.shape)
        update = (weight - weight.sum(axis=-1, keepdims=True) * at.policy.reshape(rows.shape)).reshape(
            logits.shape
        )
        logits = logits + STRIDE * update / np.maximum(np.abs(update).max(axis=1, keepdims=True), 1e-300)
    return np.stack(seen, axis=1)


def distances(random: np.random.Generator, trees: int) -> Array:
    """Largest difference in the share of a leaf between each rule's path and the nearest point of GRPO's.

    Returns:
      `[rules, trees]`, without GRPO.
    """
    shape = full(3, 3)
    start, success = drawn(random, shape, trees)
    paths = {name: path(shape, start, success, rule) for name, rule in RULES.items()}
    return np.array(
        [
            [theory.path_distance(own[i, :31], paths["GRPO"][i]) for i in range(trees)]
            for name, own in paths.items()
            if name != "GRPO"
        ]
    )


def pushes(random: np.random.Generator, leaves: float, draws: int) -> Array:
    """Mean push on the better of two equally likely steps whose values are ½ ± gap/2, where values are compared.

    Args:
      random: of the estimates.
      leaves: rollouts behind each estimate of a value; infinite for exact values.
      draws: groups.

    Returns:
      `[gaps]`.
    """
    better, found = random.integers(0, 2, (draws, BRANCHES)), []
    for gap in GAPS:
        value = 0.5 + (better - 0.5) * gap
        if np.isfinite(leaves):
            value = random.binomial(int(leaves), value) / leaves
        scatter = value.std(axis=1, keepdims=True)
        paid = np.where(
            scatter > 0, (value - value.mean(axis=1, keepdims=True)) / np.maximum(scatter, 1e-12), 0
        )
        found.append(np.mean(paid * better))
    return np.array(found)
