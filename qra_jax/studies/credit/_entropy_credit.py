"""Runs of the study of advantage times entropy: the term's mean on random trees, and training with it and its nulls."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from qra_jax import tree
from qra_jax.algorithm import grpo
from qra_jax.tree import Tree, credit, instances
from qra_jax.tree.paths import Paths

GROUP, STEPS, EVERY = 8, 200, 10
STRENGTHS, RATES = (0.3, 1.0), (0.3, 1.0, 3.0)
KINDS = ("advantage × entropy", "sign flipped", "advantages shuffled", "entropy bonus")
ARMS = {("no term", 0.0): (0.0, 0.0, 0.0), ("no term, again", 0.0): (0.0, 0.0, 0.0)} | {
    (kind, strength): tuple(strength * np.array(unit))
    for kind, unit in zip(KINDS, [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, 0, 1)], strict=True)
    for strength in STRENGTHS
}
"""Coefficients of the gradient of the entropy of each state: times the summed weights of the rollouts that come through
it, times those of a random state of its depth, times the share of rollouts that come through it. The second arm is the
first with other rollouts."""
TREES = ("random", "hidden")
STRENGTH, RATE = 1.0, 0.3
"""Strength and learning rate at which the entropy of states is compared."""


def random_tree(key: Array, depth: int, width: int) -> Tree:
    """A tree with uneven choices and mostly low success rates."""
    return instances.random(key, depth, width, concentration=0.5, success=(0.5, 1.5))


def along_entropy(asked: Tree, weights: Array) -> Array:
    r"""$W_s\nabla H(\pi(\cdot\mid s))$ for given weights of inner states, `[steps]`."""
    shape, entropy = asked.shape, tree.values(asked).entropy
    return -shape.over(weights) * asked.ref * (asked.log_ref + shape.over(entropy))


def _term(update: Any) -> Array:
    """What an update as a function of α has more at α = 1 than at 0."""
    without, with_it = jax.vmap(update)(jnp.arange(2.0))
    return with_it - without


def means(key: Array) -> dict[str, Array]:
    """Sizes of the term's mean by credit and place, and how far the law misses it with the values of other states."""
    first, second = jax.random.split(key)
    algorithm, asked, bandit = grpo(GROUP), random_tree(first, 3, 3), random_tree(first, 1, 9)
    shape, known = asked.shape, tree.values(asked)

    def group(of: Tree) -> Array:
        how = lambda a: credit.uniform(entropy=a)  # noqa: E731
        return _term(lambda a: tree.mean_update(of, algorithm=algorithm, credit=how(a)))

    whole, top = group(asked), shape.depth[shape.origin] == 0
    # What the steps out of each state are paid by an exact critic.
    paid = along_entropy(asked, shape.total(known.visit[1:] * known.advantage))
    parts = [group(bandit), whole[top], whole[~top], paid[top], paid[~top]]
    value, visit = shape.of_inner(known.value), shape.of_inner(known.visit)
    depth = shape.depth[shape.inner]
    mixed = [
        jax.random.permutation(jax.random.fold_in(second, d), value[depth == d]) for d in range(depth[-1] + 1)
    ]
    speed = algorithm.clock(value[0])
    laws = [along_entropy(asked, speed * visit * (v - value[0])) for v in (value, jnp.concatenate(mixed))]
    missed = jnp.stack([jnp.linalg.norm(whole - law) / jnp.linalg.norm(whole) for law in laws])
    return {"size": jnp.stack([jnp.linalg.norm(part) for part in parts]), "missed": missed}


def trained(kind: str, arm: Any, rate: Any, key: Array) -> dict[str, Array]:
    """Sampled training by GRPO on one tree with one arm.

    Args:
      kind: an entry of `TREES`.
      arm: number of an entry of `ARMS`; may be traced.
      rate: learning rate; may be traced.
      key: PRNG key of the tree and of the rollouts.

    Returns:
      `accuracy` and the mean entropy of the states of depth one that were better, or worse, than the question at the
      start, `[records]`; `best`, the largest success rate.
    """
    made, own = jax.random.split(key)
    own = jax.random.fold_in(own, jnp.asarray(arm, int) == 1)
    asked = random_tree(made, 2, 4) if kind == "random" else instances.hidden()
    asked = jax.tree.map(lambda x: x.astype(jnp.float32), asked)
    shape, algorithm, paths = asked.shape, grpo(GROUP), Paths(asked.shape)
    depth, width, leaves = shape.depth[shape.inner], shape.children[0], len(shape.leaves)
    of_state, of_other, plain = jnp.asarray(list(ARMS.values()), jnp.float32)[jnp.asarray(arm, int)]

    first = np.array([int(np.argmax(depth == d)) for d in depth])
    number = np.array([int(np.sum(depth == d)) for d in depth])

    def shuffled(key: Array, weights: Array) -> Array:
        """Weights of steps with the states of each depth turned by a random number of places."""
        turn = jnp.floor(jax.random.uniform(key, (depth[-1] + 1,)) * np.unique(depth, return_counts=True)[1])
        place = first + (np.arange(len(depth)) - first + turn.astype(int)[depth]) % number
        return weights.reshape(-1, width)[place].reshape(-1)

    def step(index: Any, theta: Array) -> Array:
        one, two, three = jax.random.split(jax.random.fold_in(own, index), 3)
        log_policy = shape.log_softmax(theta)
        ladder = jnp.cumsum(jnp.exp(asked.leaf_log_policy(log_policy)))
        drawn = jax.random.uniform(one, (GROUP, 1), jnp.float32) * ladder[-1]
        leaf = jnp.sum(drawn > ladder[None, :-1], axis=1)
        right = jax.random.uniform(two, (GROUP,), jnp.float32) < asked.success[leaf]
        weights = algorithm.weights(right.astype(jnp.float32)) / GROUP
        there = (leaf[:, None] == jnp.arange(leaves)[None]).astype(jnp.float32)
        summed, count = shape.back_up(weights @ there)[1:], shape.back_up(jnp.mean(there, axis=0))[1:]
        mixed = of_state * summed + of_other * shuffled(three, summed) + plain * count
        slope = paths.gradient(summed, jnp.exp(log_policy), log_policy, "softmax")
        extra = paths.entropy_term(mixed, log_policy, {"entropy": jnp.float32(1)})
        assert extra is not None
        return theta + jnp.asarray(rate, jnp.float32) * (slope + extra)

    start = tree.values(asked)
    level = depth == 1
    gain = shape.of_inner(start.value - start.value[0])[level]
    visit = shape.of_inner(start.visit)[level]
    sides = jnp.stack([visit * (gain > 0), visit * (gain < 0)])
    sides = sides / jnp.sum(sides, axis=1, keepdims=True)

    def window(theta: Array, first: Any) -> tuple[Array, tuple[Array, Array]]:
        log_policy = shape.log_softmax(theta)
        seen = tree.values(asked, log_policy)
        seen = seen.value[0], sides @ seen.entropy[level]
        return jax.lax.fori_loop(first, first + EVERY, step, theta), seen

    _, (accuracy, entropy) = jax.lax.scan(window, asked.log_ref, jnp.arange(0, STEPS + 1, EVERY))
    return {"accuracy": accuracy, "entropy": entropy, "best": jnp.max(asked.success)}
