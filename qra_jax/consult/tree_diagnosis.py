"""What the theory says of one tree of reasoning steps: values, time to the best way, tokens, noise of credit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import _check, tree as trees
from qra_jax.algorithm import Algorithm
from qra_jax.reward import verifiable
from qra_jax.trajectory import Status
from qra_jax.tree import Credit, Tree, credit as credits
from qra_jax.tree.paid import Paid, paid
from qra_jax.tree.training import check

LAST = 1e6
"""Time up to which the flow is followed, as long as it takes to be called a stall."""
POINTS = 240
"""Times at which the run is kept."""
MOST_LEAVES, MOST_NUMBERS = 512, 2_000_000
"""Leaves, and with credit by values steps × rollouts × states, up to which the covariance of an update is computed."""


@dataclass(frozen=True)
class Estimator:
    """One way to pay steps, at the start of training.

    Attributes:
      name: what it is called.
      credit: it.
      paid: what each step is paid; `None` where the tree is too large.
      noise: root of the trace of the covariance of an update; `None` where it has none in closed form.
      tokens: expected tokens of an update, those of value rollouts included.
      log_spent: natural logarithm of the tokens that the run to the target takes at learning rate one.
    """

    name: str
    credit: Credit
    paid: Paid | None
    noise: float | None
    tokens: float
    log_spent: float


@dataclass(frozen=True)
class TreeDiagnosis:
    """Everything that `qra solve --tree` reports.

    Attributes:
      tree: the question.
      algorithm: what trains.
      target: share of the best way to reach.
      values: of the base model.
      best: index of the best leaf among the leaves.
      log_time: natural logarithm of the time to the target under the flow, −inf where already met, +inf where not
        before `LAST`.
      status: how the flow ended.
      time: `[times]`, when the run was kept.
      accuracy: `[times]`.
      share: `[times]`, π(best leaf).
      length: `[times]`, mean length of an answer.
      signal: norm of the expected update at the start.
      estimators: two ways to pay steps.
      notes: what is not ordinary.
    """

    tree: Tree
    algorithm: Algorithm
    target: float
    values: trees.Values
    best: int
    log_time: float
    status: Status
    time: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray
    length: np.ndarray
    signal: float
    estimators: tuple[Estimator, ...]
    notes: list[str] = field(default_factory=list)


def diagnose_tree(
    tree: Tree,
    *,
    algorithm: Algorithm,
    credit: Credit | None = None,
    name: str = "exact",
    target: float = 0.99,
) -> TreeDiagnosis:
    """Values, the time to the best way under the flow, tokens, and the noise of two ways to pay steps.

    Args:
      tree: one question.
      algorithm: what trains, with a group size.
      credit: how steps are paid; default: by exact values. It is compared with uniform credit, and uniform credit
        with exact values. The flow is that of its mean.
      name: what to call this credit.
      target: share of the best leaf to reach, in (0, 1).

    Returns:
      A [`TreeDiagnosis`][].

    Raises:
      ValueError: target outside (0, 1), or a combination of algorithm and credit without meaning.

    >>> import qra_jax as qra
    >>> found = diagnose_tree(trees.instances.chain([.5, .5]), algorithm=qra.grpo(8))
    >>> round(float(np.exp(found.log_time)), 1), [one.name for one in found.estimators]
    (43.9, ['uniform', 'exact'])
    """
    _check.open_unit_interval("target", target)
    credit = credits.exact() if credit is None else credit
    check(tree, algorithm, verifiable(), credit, "sampled")
    if credit.source == "return":
        pairs = {name: credit, "exact": credits.exact()}
    else:
        pairs = {"uniform": credits.uniform(), name: credit}
    mean = credit if credit.source == "siblings" else credits.uniform()
    ts = np.concatenate([[0.0], np.geomspace(1e-3, LAST, POINTS - 1)])
    run = trees.solve(tree, ts=ts, algorithm=algorithm, credit=mean, event="best", target=target)
    end, status = float(run.stats["event_time"]), Status(int(run.status))
    known, signal = jax.device_get(_start(tree, algorithm, mean))
    best = int(np.argmax(np.asarray(tree.success)))
    with np.errstate(divide="ignore"):
        log_time = float(np.log(end))
    # After the event the policy is held: the first time kept behind it shows the policy at the event.
    kept = slice(int(np.searchsorted(ts, end)) + 1) if np.isfinite(end) else slice(None)
    time = np.minimum(ts[kept], end) if np.isfinite(end) else ts
    log_policy = np.asarray(run.log_policy)
    return TreeDiagnosis(
        tree,
        algorithm,
        target,
        known,
        best,
        log_time,
        status,
        time,
        np.asarray(run.accuracy)[kept],
        np.exp(np.asarray(run.leaf_log_policy)[kept, best]),
        np.asarray(run.length)[kept],
        float(np.linalg.norm(signal)),
        tuple(
            _estimator(tree, algorithm, one, called, time, log_policy[kept], math.isfinite(end))
            for called, one in pairs.items()
        ),
        _notes(tree, known),
    )


def _estimator(
    tree: Tree,
    algorithm: Algorithm,
    credit: Credit,
    name: str,
    time: np.ndarray,
    log_policy: np.ndarray,
    arrives: bool,
) -> Estimator:
    """What is known of one way to pay steps."""
    tokens = np.asarray(_tokens(tree, jnp.asarray(log_policy), algorithm, credit))
    spent = float(np.trapezoid(tokens, time)) if arrives else np.inf
    shape = tree.shape
    small = len(shape.leaves) <= MOST_LEAVES
    if credit.by_values:
        small = shape.steps * 2 * len(shape.leaves) * len(shape.inner) <= MOST_NUMBERS
    variance = _or_none(lambda: _variance(tree, algorithm, credit)) if small else None
    with np.errstate(divide="ignore"):
        return Estimator(
            name,
            credit,
            _or_none(lambda: _paid(tree, algorithm, credit)),
            None if variance is None else math.sqrt(max(float(variance), 0.0)),
            float(tokens[0]),
            float(np.log(spent)),
        )


@jax.jit
def _start(tree: Tree, algorithm: Algorithm, mean: Credit) -> tuple[trees.Values, jax.Array]:
    return trees.values(tree), trees.mean_update(tree, algorithm=algorithm, credit=mean)


@jax.jit
def _tokens(tree: Tree, log_policy: jax.Array, algorithm: Algorithm, credit: Credit) -> jax.Array:
    group = algorithm.group_size
    assert group is not None
    return jax.vmap(lambda one: trees.tokens(tree, one, group_size=group, credit=credit))(log_policy)


@jax.jit
def _paid(tree: Tree, algorithm: Algorithm, credit: Credit) -> Paid:
    return paid(tree, algorithm=algorithm, credit=credit)


@jax.jit
def _variance(tree: Tree, algorithm: Algorithm, credit: Credit) -> jax.Array:
    return jnp.trace(trees.covariance(tree, algorithm=algorithm, credit=credit))


def _or_none(compute: Any) -> Any:
    """A number, or nothing where it is refused: a tree too large to list, or no closed form."""
    try:
        return jax.device_get(compute())
    except ValueError:
        return None


def _notes(tree: Tree, known: trees.Values) -> list[str]:
    success = np.asarray(tree.success)
    tied = tree.shape.leaves[success == success.max()]
    if success.min() == success.max():
        return ["all leaves are equally good: nothing moves"]
    if len(tied) == 1:
        return []
    names = [tree.name(int(leaf)) for leaf in tied[:3]]
    more = f" and {len(tied) - 3} more" if len(tied) > 3 else ""
    return [f"ties for best: {', '.join(names)}{more}; the first is the target"]
