"""What a rollout is paid for a step that it takes: on average, and with what noise."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _bernstein, expectation
from qra_jax.algorithm import Algorithm
from qra_jax.reward import Reward, verifiable
from qra_jax.training.groups import Shares
from qra_jax.training.parts import tables_by_size
from qra_jax.tree.credit import Credit, uniform
from qra_jax.tree.model import Tree
from qra_jax.tree.moments import _labels, _policy, _scene
from qra_jax.tree.paths import Paths
from qra_jax.tree.training import check, numbers
from qra_jax.tree.values import values

_VERIFIABLE, _UNIFORM = verifiable(), uniform()
MOST_NUMBERS = 50_000_000
"""Steps × rollouts × states that are listed at most."""


class Paid(NamedTuple):
    """What a step is paid, given that it is taken."""

    mean: Float[Array, " steps"]
    """Expected weight of the step."""
    noise: Float[Array, " steps"]
    """Standard deviation of the weight, over the rest of the rollout, the group and the estimates of values."""


def paid(
    tree: Tree,
    log_policy: Float[Array, " steps"] | None = None,
    *,
    algorithm: Algorithm,
    reward: Reward = _VERIFIABLE,
    credit: Credit = _UNIFORM,
) -> Paid:
    r"""Mean and standard deviation of the weight $A$ of each step, given that a rollout takes it, exactly.

    With the expected weights $a^\pm$ of right and wrong rollouts, uniform credit pays the step to c
    $V(c)\,a^+ + (1-V(c))\,a^-$ on average, the same whatever state it starts from; credit by values without bias pays
    $c(\rho)\,[V(c)-V(s)]$, with less noise: none but that of the estimates before the answer is given.

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      algorithm: with a group size, and weights by the number of right rollouts.
      reward: a binary reward.
      credit: how steps are paid; a learnt critic is taken at its start.

    Returns:
      [`Paid`][].

    Raises:
      ValueError: a combination without meaning, whitened advantages or an entropy term, or a tree too large to list.

    Reference: Kazemnejad et al., arXiv 2410.01679, §3 (credit by values); the moments are derived here.

    >>> import qra_jax as qra
    >>> from qra_jax.tree import credit, instances
    >>> one = lambda how: paid(instances.chain([.5, .5]), algorithm=qra.rloo(4), credit=how)
    >>> one(credit.exact()).mean.round(3).tolist(), one(credit.exact()).noise.round(3).tolist()
    ([0.25, -0.25, 0.5, -0.5], [0.0, 0.0, 0.0, 0.0])
    >>> one(credit.uniform()).mean.round(3).tolist(), one(credit.uniform()).noise.round(3).tolist()
    ([0.25, -0.25, 0.75, -0.25], [0.559, 0.25, 0.25, 0.25])
    """
    check(tree, algorithm, reward, credit, "sampled")
    if credit.whiten:
        raise ValueError("whiten: True; must be False, what a step is paid then depends on the whole group")
    if credit.entropy is not None:
        raise ValueError("entropy: given; must be None, its term is no payment of a step")
    plain = algorithm.batch is None and not algorithm.greedy_baseline and algorithm.size is None
    if not plain or not expectation.counts_suffice(algorithm, reward, tree.flat()):
        raise ValueError(
            f"algorithm: {algorithm.name}; must weigh a group of one size by its number of right rollouts"
        )
    if algorithm.group_size is None:
        raise ValueError("group_size: None; must be a whole number, 1 or above, for weights to have noise")
    log_policy = _policy(tree, log_policy)
    if credit.by_values:
        found = _by_values(tree, log_policy, algorithm, reward, credit)
    else:
        found = _by_counts(tree, log_policy, algorithm, reward, credit)
    if credit.confident is None:
        return found
    trained = jnp.exp(log_policy) < credit.confident
    return Paid(*(jnp.where(trained, one, 0.0) for one in found))


def _by_counts(tree: Tree, log_policy: Array, algorithm: Algorithm, reward: Reward, credit: Credit) -> Paid:
    """Weights by the number of right rollouts in the group, or in that of each state."""
    shape, group = tree.shape, algorithm.group_size
    assert group is not None
    known = values(tree, log_policy, reward=reward)
    if credit.source == "siblings":
        table = tables_by_size(algorithm, group, log_policy.dtype, joint=False)
        visit, value = shape.of_inner(known.visit), shape.of_inner(known.value)
        company = _bernstein.probabilities(group - 1, group - 1, visit, 1 - visit)
        sums = sum(
            company[others][None, None]
            * _moments(table.right[others + 1], table.wrong[others + 1], others, value)
            for others in range(group)
        )
        sums = shape.over(jnp.moveaxis(sums, -1, 0))
    else:
        table = algorithm.tables()
        mixed = algorithm.resamples_silent
        sums = _moments(table.right, table.wrong, group - 1, known.value[:1], mixed=mixed)
        sums = jnp.moveaxis(sums, -1, 0)
    value = known.value[1:, None]
    kept, first, second = (value * sums[:, 0] + (1 - value) * sums[:, 1]).T
    mean, square = first / kept, second / kept
    noise = jnp.sqrt(jnp.maximum(square - mean**2, 0.0))
    if credit.source == "process":
        assert tree.process is not None
        middle = shape.over(shape.total(jnp.exp(log_policy) * tree.process))
        mean = mean + credit.weight * (tree.process - middle)
    return Paid(mean, noise)


def _moments(
    of_right: Array, of_wrong: Array, others: int, value: Array, *, mixed: bool = False
) -> Float[Array, "2 3 states"]:
    """Chance to be kept, first and second moment of the weight of a right and of a wrong rollout.

    Args:
      of_right: weight of a right rollout, by the number of right ones in the group.
      of_wrong: that of a wrong one.
      others: rollouts beside it.
      value: `[states]`, chance of each of these to be right.
      mixed: only groups with right and wrong rollouts are kept.
    """
    chance = _bernstein.probabilities(others, others, value, 1 - value)
    number = np.arange(others + 1)
    found = []
    for weight, kept in ((of_right[1 : others + 2], number < others), (of_wrong[: others + 1], number > 0)):
        there = jnp.where(kept[:, None], chance, 0.0) if mixed else chance
        powers = jnp.stack([jnp.ones_like(weight), weight, weight**2])
        found.append(powers.astype(value.dtype) @ there)
    return jnp.stack(found)


def _by_values(tree: Tree, log_policy: Array, algorithm: Algorithm, reward: Reward, credit: Credit) -> Paid:
    """Every kind of rollout by itself: what it is paid is linear in the values of states."""
    shape, noisy = tree.shape, credit.source == "rollouts"
    size = shape.steps * 2 * len(shape.leaves) * (len(shape.inner) if noisy else 1)
    if size > MOST_NUMBERS:
        raise ValueError(
            f"tree: {shape.states} states with {credit.source} values need {size:.1e} numbers; must be at most "
            f"{MOST_NUMBERS:.0e}, sample updates instead"
        )
    rates = reward.rates(tree.flat(), tree.leaf_log_policy(log_policy))
    chance, leaf, verdict = _labels(tree.leaf_log_policy(log_policy), rates)
    exact = shape.of_inner(values(tree, log_policy, reward=reward).value)
    known = numbers(tree, log_policy, reward, credit) | {"confident": None}
    wide = lambda x: jnp.broadcast_to(x[:, None], (*x.shape, len(leaf)))  # noqa: E731
    taken = jnp.eye(len(shape.leaves), dtype=rates.dtype)[:, leaf]  # [leaves, rollouts], one a column
    shares = Shares(taken * verdict[None], None, verdict, verdict, taken)
    paths = Paths(shape, "critic", None, credit.bounds)
    scene = _scene(wide(log_policy), wide(rates), known, None, algorithm, expected=False)

    def weights(estimate: Array) -> Array:
        return paths.credit(shares, scene._replace(critic=wide(estimate))).up

    estimate = exact if known["critic"] is None else known["critic"]
    each = weights(estimate)
    square = each**2
    if noisy:
        assert credit.rollouts is not None
        slope = jax.jacfwd(weights)(estimate)
        square = square + slope**2 @ (exact * (1 - exact) / credit.rollouts)
    through = shape.back_up(taken)[1:] @ chance
    mean = each @ chance / through
    return Paid(mean, jnp.sqrt(jnp.maximum(square @ chance / through - mean**2, 0.0)))
