"""One group's gradients: GRPO's, and those of supervised steps with weights, on trees and on a network."""

import jax
import jax.numpy as jnp
from jax import Array

from qra_jax import transformer
from qra_jax.studies.clocks._rules import GROUP, RULES
from qra_jax.transformer import learning, rl
from qra_jax.transformer.model import Params, init
from qra_jax.transformer.surrogate import objective
from qra_jax.transformer.tree_task import tree_task
from qra_jax.tree import instances

SUPERVISED = [*list(RULES)[1:], "permuted rewards"]
"""Weights of the supervised step that GRPO's gradient of the same group is compared with."""
WIDTH = 16
"""Of the network."""


def _supervised(rewards: Array, key: Array) -> Array:
    """Weights of supervised steps by name, `[names, group]`: right ones imitated, wrong ones driven away."""
    share = jnp.mean(rewards)
    odds = jnp.sqrt(share / (1 - share))
    one, none = jnp.ones(()), jnp.zeros(())
    pairs = [(1 / odds, odds), (one, one), (one, none), (none, one)]
    mixed = jax.random.permutation(key, rewards)
    rows = [rewards * up - (1 - rewards) * down for up, down in pairs]
    return jnp.stack([*rows, mixed / odds - (1 - mixed) * odds])


def _cosines(first: Array, others: Array, rewards: Array) -> Array:
    """Cosines with the first gradient; NaN for a group without spread, or where no gradient is left."""
    norms = jnp.linalg.norm(first) * jnp.linalg.norm(others, axis=-1)
    share = jnp.mean(rewards)
    known = (share > 0) & (share < 1) & (norms > 1e-9)
    return jnp.where(known, others @ first / jnp.where(known, norms, 1.0), jnp.nan)


def _rewards(key: Array, chance: Array) -> Array:
    return (jax.random.uniform(key, chance.shape) < chance).astype(float)


def tree_cosines(key: Array) -> Array:
    """Of one group on a random tree: the step that training takes, and gradients of weighted log-likelihoods."""
    keys = jax.random.split(key, 4)
    asked = instances.random(keys[0], 3, 3)
    shape = asked.shape
    leaf = jax.random.categorical(keys[1], asked.leaf_log_policy(asked.log_ref), shape=(GROUP,))
    rewards = _rewards(keys[2], asked.success[leaf])
    there = jax.nn.one_hot(leaf, len(shape.leaves))
    taken = shape.back_up(RULES["GRPO"].weights(rewards) @ there / GROUP)[1:]
    step = taken - asked.ref * shape.over(shape.total(taken))

    def likelihood(theta: Array, weights: Array) -> Array:
        return jnp.mean(weights * asked.leaf_log_policy(shape.log_softmax(theta))[leaf])

    slopes = jax.vmap(jax.grad(likelihood), (None, 0))(asked.log_ref, _supervised(rewards, keys[3]))
    return _cosines(step, slopes, rewards)


def network_cosines(key: Array) -> Array:
    """The same of one group of a random decoder of float64: the surrogate of RL, and supervised cross-entropies."""
    keys = jax.random.split(key, 5)
    task = tree_task(instances.random(keys[0], 2, 3))
    model = transformer.Decoder(
        task.vocabulary, width=WIDTH, depth=1, dtype=jnp.float64, param_dtype=jnp.float64
    )
    params, asked = init(keys[1], model), task.questions(jnp.arange(1))
    drawn = transformer.sample(keys[2], model, params, asked, group=GROUP, length=task.length, end=task.end)
    rewards = _rewards(keys[3], jnp.full(GROUP, 0.5))
    flat = lambda slope: jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slope)])  # noqa: E731

    def surrogate(now: Params) -> Array:
        log_probs = rl.log_probs(model, now, asked, drawn.tokens)
        return objective(log_probs, drawn.tokens, drawn.where, RULES["GRPO"].weights(rewards)[None])

    def supervised(now: Params) -> Array:
        rows = _supervised(rewards, keys[4]) / GROUP
        shown = [
            transformer.Demonstrations(
                asked,
                drawn.tokens,
                drawn.where,
                row[None],
                jnp.zeros((1, GROUP), int),
                jnp.ones(task.vocabulary, bool),
                GROUP,
            )
            for row in rows
        ]
        return jnp.stack([-learning.cross_entropy(model, now, each) for each in shown])

    return _cosines(
        flat(jax.grad(surrogate)(params)), jax.vmap(flat)(jax.jacrev(supervised)(params)), rewards
    )
