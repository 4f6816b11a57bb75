r"""Mean and covariance of one update of a policy over a tree, exactly, and what it costs in tokens.

With $X_c$ the summed weights of the rollouts that take step c, an update moves the logits by
$X_c-\pi(c\mid s)\sum_{c'}X_{c'}$. Under uniform credit X are sums over leaves of the weights of a bandit's patterns.
Under credit by values the rollouts of a group are independent given $\hat V$, and the update is linear in it, so that

$$ {\rm Cov} = \tfrac1G\bigl(E[gg^\top]-\bar g\bar g^\top-M\bigr)+M,\qquad M=\bar J\,{\rm Cov}[\hat V]\,\bar J^\top, $$

with g the update by a single rollout, and J its derivative in $\hat V$. What is neither is summed over all groups.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax import _check, _programs, expectation, training
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.flow.velocity import velocity_function
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.training import moments
from qra_jax.training.choice import Scene
from qra_jax.training.groups import Shares
from qra_jax.training.parts import tables_by_size
from qra_jax.tree.credit import Credit, uniform
from qra_jax.tree.model import Tree
from qra_jax.tree.paths import Paths
from qra_jax.tree.training import check, numbers
from qra_jax.tree.values import of_one_question, values

_REINFORCE, _VERIFIABLE, _UNIFORM = reinforce(), verifiable(), uniform()
MOST_GROUPS = 300_000
"""Groups that are summed over at most."""
Steps = Float[Array, " steps"]


def mean_update(
    tree: Tree,
    log_policy: Steps | None = None,
    *,
    algorithm: Algorithm = _REINFORCE,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    credit: Credit = _UNIFORM,
) -> Steps:
    r"""Expected update of the logits at unit learning rate.

    $$ \dot\theta_c = c(\rho)\,d(s)\,\pi(c\mid s)\,[V(c)-V(s)] $$

    for uniform credit and for credit by values without bias; siblings have a clock of their own in each state.

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      algorithm: how rewards of a group become weights.
      reward: what an answer earns.
      regularizers: terms on the distribution of whole paths.
      credit: how steps are paid.

    Returns:
      `[steps]`; sums to zero over the steps of each state.

    Raises:
      ValueError: a combination without meaning, or credit that has no closed mean.

    Reference: Sutton et al. 2000 (policy gradient theorem).
    """
    check(tree, algorithm, reward, credit, "flow")
    terms = _check.parts("regularizers", regularizers, Regularizer)
    return _mean_update(tree, _policy(tree, log_policy), algorithm, reward, terms, credit)


@_programs.brief()
def _mean_update(
    tree: Tree,
    log_policy: Array,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: tuple[Regularizer, ...],
    credit: Credit,
) -> Array:
    return update_function(tree, algorithm, reward, regularizers, credit)(log_policy)


def update_function(
    tree: Tree, algorithm: Algorithm, reward: Reward, regularizers: Sequence[Regularizer], credit: Credit
) -> Callable[[Array], Array]:
    """The expected update as a function of log π, what does not depend on the policy computed once.

    The arguments and errors are those of [`mean_update`][].
    """
    check(tree, algorithm, reward, credit, "flow")
    flat, shape = tree.flat(), tree.shape
    known = numbers(tree, tree.log_ref, reward, credit)
    source = "exact" if credit.by_values else credit.source
    paths, table, of_leaves, clock = Paths(shape, source, None, credit.bounds), None, None, None
    if credit.by_values:
        clock = algorithm.clock_function()
    elif source == "siblings":
        assert algorithm.group_size is not None
        table = tables_by_size(algorithm, algorithm.group_size, tree.log_ref.dtype, joint=False)
    elif credit.confident is not None or credit.entropy is not None:
        of_leaves = _uncentred(flat, algorithm, reward)
    else:
        alive = ~jnp.isneginf(flat.log_ref)
        of_leaves = velocity_function(flat, alive, algorithm, reward, (), "softmax")
    terms = [term.advantage for term in _check.parts("regularizers", regularizers, Regularizer)]

    def update(log_policy: Array) -> Array:
        patterns, policy = tree.leaf_log_policy(log_policy), jnp.exp(log_policy)
        rates = reward.rates(flat, patterns)
        chance = jnp.exp(patterns)
        weights = chance * rates if of_leaves is None else of_leaves(chance, patterns)
        shares = Shares(weights, None, rates, rates, chance)
        scene = _scene(log_policy, rates, known, table, None, expected=True)._replace(clock=clock)
        paid = paths.credit(shares, scene)
        summed = paid.up if paid.down is None else paid.up + paid.down
        slope = paths.gradient(summed, policy, ~jnp.isneginf(log_policy), "softmax")
        along_entropy = paths.entropy_term(summed, log_policy, known)
        if along_entropy is not None:
            slope = slope + along_entropy
        return slope + paths.velocity(terms, log_policy, tree.log_ref, "softmax") if terms else slope

    return update


def _uncentred(flat: Problem, algorithm: Algorithm, reward: Reward) -> Callable[[Array, Array], Array]:
    """Expected summed weights of leaves as they are: what is not trained takes away the freedom to centre them."""
    if algorithm.group_size is None or not expectation.counts_suffice(algorithm, reward, flat):
        raise ValueError(
            f"credit: confident or entropy with {algorithm.name}; must be None, or the algorithm one with a group size "
            "and the reward binary"
        )
    tables = algorithm.tables()

    def of_leaves(policy: Array, patterns: Array) -> Array:
        shares = moments.expected_shares(
            policy, reward.rates(flat, patterns), tables, algorithm.size, resamples=algorithm.resamples_silent
        )
        assert shares.down is not None
        return shares.up + shares.down

    return of_leaves


def covariance(
    tree: Tree,
    log_policy: Steps | None = None,
    *,
    algorithm: Algorithm,
    reward: Reward = _VERIFIABLE,
    credit: Credit = _UNIFORM,
) -> Float[Array, "steps steps"]:
    """Covariance of the update that one sampled group gives, exactly.

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      algorithm: with a group size.
      reward: a binary reward.
      credit: how steps are paid; without an entropy term. A learnt critic is taken at its start.

    Returns:
      `[steps, steps]`.

    Raises:
      ValueError: no group size, a reward that is not binary, a combination without meaning, or siblings, a process
        reward, whitening or untrained steps of uniform credit with more than 300 000 different groups, for which
        updates have to be sampled.

    Reference: derived here.
    """
    check(tree, algorithm, reward, credit, "sampled")
    if algorithm.group_size is None:
        raise ValueError("group_size: None; must be a whole number, 1 or above, for groups to have noise")
    if credit.entropy is not None:
        raise ValueError("entropy: given; must be None, the covariance is that of the credit alone")
    log_policy = _policy(tree, log_policy)
    masked = credit.source == "return" and credit.confident is not None
    if credit.whiten or masked or credit.source in ("siblings", "process"):
        found = group_moments(tree, log_policy, algorithm=algorithm, reward=reward, credit=credit)
        return found[1]
    shape = tree.shape
    patterns = tree.leaf_log_policy(log_policy)
    if credit.source == "return":
        of_leaves = training.gradient_covariance(tree.flat(), patterns, algorithm=algorithm, reward=reward)
        paths = Paths(shape)

        def project(weights: Array) -> Array:
            return paths.gradient(paths.spread(weights), jnp.exp(log_policy), log_policy, "softmax")

        matrix = jax.vmap(project, 1, 1)(jnp.eye(len(shape.leaves), dtype=log_policy.dtype))
        return matrix @ of_leaves @ matrix.T
    return _covariance_by_values(tree, log_policy, algorithm, reward, credit)


def _covariance_by_values(
    tree: Tree, log_policy: Array, algorithm: Algorithm, reward: Reward, credit: Credit
) -> Array:
    """Rollouts that are independent given the values, and an update that is linear in these."""
    shape, flat = tree.shape, tree.flat()
    patterns = tree.leaf_log_policy(log_policy)
    rates = reward.rates(flat, patterns)
    chance, leaf, verdict = _labels(patterns, rates)
    exact = shape.of_inner(values(tree, log_policy, reward=reward).value)
    known = numbers(tree, log_policy, reward, credit)
    spread = jnp.zeros_like(exact)
    if credit.source == "rollouts":
        assert credit.rollouts is not None
        spread = exact * (1 - exact) / credit.rollouts
    given = known["critic"] if credit.source == "critic" else exact
    paths = Paths(shape, "critic", None, credit.bounds)
    single = jnp.eye(len(shape.leaves), dtype=rates.dtype)[:, leaf]  # [leaves, labels], a rollout a column

    def updates(estimate: Array) -> Array:
        wide = lambda x: jnp.broadcast_to(x[:, None], (*x.shape, len(leaf)))  # noqa: E731
        shares = Shares(single * verdict[None], None, verdict, verdict, single)
        scene = _scene(wide(log_policy), wide(rates), known, None, algorithm, expected=False)
        paid = paths.credit(shares, scene._replace(critic=wide(estimate)))
        return paths.gradient(paid.up, jnp.exp(wide(log_policy)), wide(log_policy), "softmax")

    each, slope = updates(given), jax.jacfwd(updates)(given)  # [steps, labels], [steps, labels, inner]
    mean = each @ chance
    mean_slope = jnp.einsum("slv,l->sv", slope, chance)
    rows = slope.reshape(shape.steps, -1)
    weighed = (slope * chance[None, :, None] * spread[None, None]).reshape(rows.shape)
    second = (each * chance[None]) @ each.T + weighed @ rows.T
    common = (mean_slope * spread[None]) @ mean_slope.T
    size = jnp.asarray(algorithm.group_size if algorithm.size is None else algorithm.size)
    return (second - jnp.outer(mean, mean) - common) / size + common


def group_moments(
    tree: Tree,
    log_policy: Steps | None = None,
    *,
    algorithm: Algorithm,
    reward: Reward = _VERIFIABLE,
    credit: Credit = _UNIFORM,
) -> tuple[Steps, Float[Array, "steps steps"]]:
    """Mean and covariance of an update by summing over all groups: for small trees and groups.

    Args:
      tree: the question.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      algorithm: with a group size.
      reward: a binary reward.
      credit: how steps are paid; not by Monte-Carlo values, which are random beside the group.

    Returns:
      Mean `[steps]` and covariance `[steps, steps]`.

    Raises:
      ValueError: more than 300 000 different groups, no group size, weights that the number of right rollouts does
        not decide, or a combination without meaning.
    """
    check(tree, algorithm, reward, credit, "sampled")
    log_policy = _policy(tree, log_policy)
    group = algorithm.group_size
    if group is None or algorithm.size is not None:
        raise ValueError("group_size: must be a static whole number, 1 or above, for groups to be listed")
    if credit.source == "rollouts":
        raise ValueError("credit: Monte-Carlo values with all groups; must be another, or whiten=False")
    shape, flat = tree.shape, tree.flat()
    if not expectation.counts_suffice(algorithm, reward, flat):
        raise ValueError(
            f"reward: {reward.name!r} with {algorithm.name}; must be binary, and weights free of lengths and pairs"
        )
    patterns = tree.leaf_log_policy(log_policy)
    rates = reward.rates(flat, patterns)
    chance, leaf, verdict = _labels(patterns, rates)
    count = math.comb(group + len(leaf) - 1, group)
    if count > MOST_GROUPS:
        raise ValueError(
            f"group_size: {group} with {len(shape.leaves)} leaves has {count} different groups; must have at most "
            f"{MOST_GROUPS} to be listed, sample updates instead"
        )
    groups = np.zeros((count, len(leaf)))
    for row, members in enumerate(itertools.combinations_with_replacement(range(len(leaf)), group)):
        np.add.at(groups[row], list(members), 1.0)
    ways = [math.lgamma(group + 1) - sum(math.lgamma(k + 1) for k in row) for row in groups]
    log_chance = jnp.asarray(ways) + jnp.asarray(groups) @ jnp.where(chance > 0, jnp.log(chance), -1e9)
    every = jnp.exp(log_chance)
    if algorithm.resamples_silent and not credit.by_values:  # silent groups are drawn again
        right = jnp.asarray(groups) @ verdict
        every = jnp.where((right > 0) & (right < group), every, 0.0)
        every = every / jnp.sum(every)
    known = numbers(tree, log_policy, reward, credit)
    paths = Paths(shape, credit.source, None, credit.bounds, credit.whiten)
    table, tables = None, algorithm.tables()
    if credit.source == "siblings":
        table = tables_by_size(algorithm, group, rates.dtype, joint=False)

    def update(row: Array) -> Array:
        taken, right = (jnp.zeros_like(rates).at[leaf].add(x) for x in (row, row * verdict))
        shares = Shares(right / group, None, rates, rates, taken / group)
        if not credit.by_values and credit.source != "siblings":
            k = jnp.round(jnp.sum(right)).astype(int)
            weights = (tables.right[k] * right + tables.wrong[k] * (taken - right)) / group
            shares = shares._replace(up=weights)
        scene = _scene(log_policy, rates, known, table, algorithm, expected=False)
        paid = paths.credit(shares, scene._replace(critic=known["critic"]))
        summed = paid.up if paid.down is None else paid.up + paid.down
        return paths.gradient(summed, jnp.exp(log_policy), log_policy, "softmax")

    found = jax.lax.map(update, jnp.asarray(groups), batch_size=1024)
    mean = every @ found
    centred = found - mean[None]
    return mean, (centred * every[:, None]).T @ centred


def tokens(
    tree: Tree, log_policy: Steps | None = None, *, group_size: int, credit: Credit = _UNIFORM
) -> Float[Array, ""]:
    r"""Expected number of tokens that one update samples, those of value rollouts included.

    $$ G\,E[\text{length}] + K\sum_{s\ \text{inner}}\bigl(1-(1-d(s))^G\bigr)\,E[\text{length from } s] $$

    The second term is that of Monte-Carlo values: K rollouts from each state that some rollout of the group came
    through (and with segments, only from their starts).

    Args:
      tree: the question; steps without lengths have one token each.
      log_policy: `[steps]`, log π(step | state); default: the reference policy.
      group_size: G ≥ 1.
      credit: how steps are paid.

    Returns:
      Tokens.

    Raises:
      ValueError: G < 1.
    """
    _check.integer("group_size", group_size, low=1)
    log_policy, shape = _policy(tree, log_policy), tree.shape
    policy = jnp.exp(log_policy)
    lengths = jnp.ones_like(log_policy) if tree.lengths is None else tree.lengths
    none = jnp.zeros(len(shape.leaves), log_policy.dtype)
    after = shape.back_up(none, weight=policy, local=shape.total(policy * lengths))
    total = group_size * after[0]
    if credit.source == "rollouts":
        assert credit.rollouts is not None
        visit = shape.of_inner(jnp.exp(shape.along(log_policy)))
        seen = 1 - (1 - visit) ** group_size
        if credit.bounds is not None:
            seen = jnp.where(np.isin(shape.depth[shape.inner], (0, *credit.bounds)), seen, 0.0)
        total = total + credit.rollouts * jnp.sum(seen * shape.of_inner(after))
    return total


def _policy(tree: Tree, log_policy: Array | None) -> Array:
    known = of_one_question(tree, log_policy)
    return known if log_policy is None else tree.shape.log_softmax(known)


def _labels(patterns: Array, rates: Array) -> tuple[Array, np.ndarray, Array]:
    """All that a rollout can be: its chance, its leaf, and whether it is right."""
    policy, leaves = jnp.exp(patterns), rates.shape[0]
    chance = jnp.concatenate([policy * rates, policy * (1 - rates)])
    verdict = jnp.concatenate([jnp.ones(leaves, rates.dtype), jnp.zeros(leaves, rates.dtype)])
    return chance, np.tile(np.arange(leaves), 2), verdict


def _scene(
    log_policy: Array,
    rates: Array | None,
    known: dict[str, Any],
    table: Any,
    algorithm: Algorithm | None,
    *,
    expected: bool,
) -> Scene:
    """The scene of one update outside the loop."""
    dtype = log_policy.dtype
    group = 1 if algorithm is None else (algorithm.size or algorithm.group_size)
    clock = None
    if algorithm is not None and table is None and algorithm.pairs is None and algorithm.batch is None:
        clock = algorithm.clock_function()
    return Scene(
        log_policy,
        rates,
        None,
        known,
        jnp.zeros((2, *log_policy.shape[1:]), jnp.uint32),
        jnp.asarray(0),
        clock,
        table,
        jnp.asarray(group, dtype),
        expected,
    )
