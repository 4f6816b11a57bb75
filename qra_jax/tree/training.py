"""Training of a policy over a tree, step by step: sampled or in expectation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray, UInt32

from qra_jax import _check, expectation
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.off_policy import OffPolicy
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward, verifiable
from qra_jax.training import api
from qra_jax.training.api import Measurements, Metric, Optimizer
from qra_jax.tree.credit import Credit, uniform
from qra_jax.tree.model import Tree
from qra_jax.tree.paths import Paths
from qra_jax.tree.result import TreeTrajectory
from qra_jax.tree.values import values

_REINFORCE, _VERIFIABLE, _ON_POLICY, _UNIFORM = reinforce(), verifiable(), OffPolicy(), uniform()


def train(
    key: PRNGKeyArray | UInt32[Array, " words"],
    tree: Tree,
    *,
    steps: int,
    algorithm: Algorithm = _REINFORCE,
    credit: Credit = _UNIFORM,
    optimizer: Optimizer = optax.sgd,
    learning_rate: ArrayLike | None = None,
    reward: Reward = _VERIFIABLE,
    regularizers: Sequence[Regularizer] = (),
    mode: str = "sampled",
    off_policy: OffPolicy = _ON_POLICY,
    features: Float[Array, "questions steps features"] | None = None,
    log_policy0: Float[Array, "*questions steps"] | None = None,
    record_every: int = 1,
) -> TreeTrajectory:
    r"""Train the choice of every step by discrete updates.

    A step of training draws a group of rollouts from the question to leaves, and ascends

    $$ \frac1G\sum_i\sum_t A_{i,t}\,\nabla\log\pi(c_{i,t}\mid s_{i,t}) + \text{regularizers}, $$

    where `credit` says how the algorithm's weights become the $A_{i,t}$ of steps. The loop, its random numbers and all
    options are those of [`qra_jax.training.train`][]; a tree of depth one with uniform credit gives its numbers.

    Args:
      key: PRNG key; equal keys give equal runs. Not used by `mode="mean"`.
      tree: the question, or several of one shape: arrays with a leading axis `[questions]`.
      steps: number of updates, ≥ 0.
      algorithm: how rewards of a group become weights, with the number G of rollouts. Credit by values takes its clock.
      credit: how steps are paid.
      optimizer: an optax transformation, or a function that makes one from `learning_rate`.
      learning_rate: η ≥ 0.
      reward: what an answer earns; its patterns are the leaves.
      regularizers: terms on the distribution of whole paths.
      mode: `"sampled"`, or `"mean"` for the exact expected gradient, which is differentiable.
      off_policy: age of the rollouts and clipping, with ratios step by step; needs credit without values.
      features: `[questions, steps, features]`, Φ of a policy with shared parameters, θ_q = log π_ref,q + Φ_q w.
      log_policy0: `[steps]`, logits to start from; default: the reference policy.
      record_every: updates between records; must divide `steps`.

    Returns:
      A [`TreeTrajectory`][]; `stats` as in [`qra_jax.training.train`][].

    Raises:
      ValueError: an argument out of range, or a combination that has no meaning.

    >>> import jax
    >>> from qra_jax.tree import credit, instances
    >>> run = train(jax.random.key(0), instances.chain([.5, .5]), steps=300, learning_rate=.5,
    ...             algorithm=reinforce(group_size=4), credit=credit.exact())
    >>> bool(run.accuracy[-1] > .9)
    True
    """
    arguments = {name: value for name, value in locals().items() if name not in ("key", "tree", "credit")}
    time, run = _run((), key, tree, credit, **arguments)
    return TreeTrajectory(tree, time, run["log_policy"], run["status"], run["stats"])


def measure(
    metrics: str | Sequence[str] | Mapping[str, Metric],
    key: PRNGKeyArray | UInt32[Array, " words"],
    tree: Tree,
    *,
    credit: Credit = _UNIFORM,
    **options: Any,
) -> Measurements:
    """Train as [`train`][] does, and keep metrics of the paths in place of the policy.

    Args:
      metrics: names out of `qra_jax.training.METRICS`, or functions `(log_policy[leaves], problem) -> array` by name,
        which see the leaves as the patterns of a problem.
      key: PRNG key.
      tree: the question, or several.
      credit: how steps are paid.
      **options: those of [`train`][].

    Returns:
      `Measurements`; their `log_policy` is that of the steps at the end.

    Raises:
      ValueError: an unknown metric, or as for [`train`][].
    """
    time, run = _run(tuple(api._named(metrics).items()), key, tree, credit, **options)
    return Measurements(time, run["metrics"], run["log_policy"][..., -1, :], run["status"], run["stats"])


def _run(metrics: Any, key: Any, tree: Tree, credit: Credit, **options: Any) -> tuple[Array, dict[str, Any]]:
    """Check what concerns the tree, and run the loop."""
    options = {"algorithm": _REINFORCE, "reward": _VERIFIABLE, "mode": "sampled", **options}
    algorithm, reward, mode = (options[name] for name in ("algorithm", "reward", "mode"))
    check(tree, algorithm, reward, credit, mode, options.get("off_policy", _ON_POLICY))
    terms = options.get("regularizers", ())
    if "geometry" in options:
        raise ValueError(f"geometry: {options['geometry']!r} in a tree; must be left out")
    warm = options.get("off_policy", _ON_POLICY).temperature is not None
    if warm and (terms or not reward.fixed):
        raise ValueError(
            "temperature: given with regularizers, or a reward that sees the reference, in a tree; must be None"
        )
    if any(isinstance(term, Regularizer) and term.estimate == "corrected" for term in terms):
        raise ValueError("estimate: 'corrected' in a tree; must be 'samples' or 'exact'")
    start = options.get("log_policy0")
    start = tree.log_ref if start is None else jnp.asarray(start, tree.log_ref.dtype)
    time, found, _ = api._run(
        metrics,
        key,
        tree.flat(),
        choice=Paths(tree.shape, credit.source, credit.rollouts, credit.bounds, credit.whiten),
        log_ref=tree.log_ref,
        credit=numbers(tree, start, reward, credit),
        **options,
    )
    return time, found


def numbers(tree: Tree, start: Array, reward: Reward, credit: Credit) -> dict[str, Any]:
    """The numbers of a credit by name, as the loop takes them.

    Args:
      tree: the question, or several.
      start: `[steps]`, logits to start from.
      reward: what an answer earns.
      credit: how steps are paid.

    Returns:
      Numbers, and arrays of one row a state or step; `None` for what is not used.

    Raises:
      ValueError: a critic's values of another shape, or several questions with a critic or a process reward.
    """
    dtype, shape = tree.log_ref.dtype, tree.shape
    cast = lambda value: None if value is None else jnp.asarray(value, dtype)  # noqa: E731
    found = {
        name: cast(getattr(credit, name)) for name in ("trace", "rate", "weight", "confident", "entropy")
    }
    found |= {"critic": None, "process": None}
    if credit.source in ("critic", "process") and tree.log_ref.ndim > 1:
        raise ValueError(
            f"credit: {credit.source!r} with several questions; must be another, or jax.vmap train over them"
        )
    if credit.source == "critic":
        if start.shape != tree.log_ref.shape:
            raise ValueError(f"log_policy0: shape {start.shape}; must be {tree.log_ref.shape}")
        if credit.start is None:
            policy = shape.log_softmax(start)
            found["critic"] = shape.of_inner(values(tree, policy, reward=reward).value)
        else:
            found["critic"] = jnp.asarray(credit.start, dtype)
            given = found["critic"].shape
            if given != (len(shape.inner),):
                raise ValueError(
                    f"start: shape {given}; must be ({len(shape.inner)},), one a state with steps"
                )
    if credit.source == "process":
        found["process"] = tree.process
    return found


def check(
    tree: Tree,
    algorithm: Algorithm,
    reward: Reward,
    credit: Credit,
    mode: str,
    off_policy: OffPolicy = _ON_POLICY,
) -> None:
    """Refuse what has no meaning in a tree.

    Args:
      tree: the question.
      algorithm: how rewards become weights.
      reward: what an answer earns.
      credit: how steps are paid.
      mode: `"sampled"`, `"mean"` or `"flow"`.
      off_policy: age of the rollouts.

    Raises:
      ValueError: a combination without meaning; the line names the argument.
    """
    _check.part("tree", tree, Tree)
    _check.part("algorithm", algorithm, Algorithm)
    _check.part("reward", reward, Reward)
    _check.part("credit", credit, Credit)
    _check.part("off_policy", off_policy, OffPolicy)
    if mode == "sde":
        raise ValueError("mode: 'sde' in a tree; must be 'sampled' or 'mean'")
    heated = off_policy.temperature is not None or off_policy.sampling_temperature is not None
    if heated and mode == "mean":
        raise ValueError("temperature: given with mode='mean' in a tree; must be None")
    if credit.source == "return":
        return
    if credit.source == "process" and tree.process is None:
        raise ValueError(
            f"credit: 'process', but {tree.name(1)} has no process reward; must have one at every step"
        )
    plain = credit.source in ("process", "siblings")
    if not off_policy.on_policy and not plain:
        raise ValueError(
            f"off_policy: {off_policy} with credit by values; must be on-policy, or credit.uniform()"
        )
    if off_policy.correlation is not None and (
        credit.by_values or (credit.source, mode) == ("siblings", "mean")
    ):
        raise ValueError(
            f"correlation: given with credit from {credit.source}; must be None, such values take verdicts for "
            "independent"
        )
    if credit.source != "process":
        if not expectation.counts_suffice(algorithm, reward, tree.flat()):
            raise ValueError(
                f"reward: {reward.name!r} with {algorithm.name} and credit of steps; must be binary, and weights free "
                "of lengths and pairs"
            )
        if algorithm.batch is not None or algorithm.greedy_baseline:
            raise ValueError(
                f"algorithm: {algorithm.name} with credit of steps; must be one that weighs a group by itself"
            )
    if credit.source == "siblings":
        if algorithm.resamples_silent or algorithm.size is not None:
            raise ValueError(
                f"algorithm: {algorithm.name} with siblings; must not resample, nor have a traced group size"
            )
        if algorithm.group_size is None:
            raise ValueError("group_size: None with siblings; must be a whole number, 1 or above")
        if mode == "mean" and not off_policy.on_policy:
            raise ValueError(f"off_policy: {off_policy} with siblings in expectation; must be on-policy")
    if credit.whiten and mode != "sampled":
        raise ValueError(
            f"whiten: True with mode={mode!r}; must be False, whitened advantages have no closed mean"
        )
    if credit.source == "critic" and algorithm.group_size is None and mode == "mean":
        raise ValueError("group_size: None with a learnt critic; must be a whole number, 1 or above")
    if credit.source == "critic" and mode == "flow":
        raise ValueError("credit: a learnt critic in a flow; must be exact(), its limit of many visits")


def fit_critic(tree: Tree, visits: Int[Any, " leaves"], right: Int[Any, " leaves"]) -> Float[Array, " inner"]:
    """Values of states from rollouts at hand: the share of right ones among those that came through.

    Args:
      tree: the question.
      visits: `[leaves]`, rollouts that ended in each leaf.
      right: `[leaves]`, how many of them were right.

    Returns:
      `[inner states]`, for [`critic`][qra_jax.tree.credit.critic]'s `start`.

    Raises:
      ValueError: numbers that do not fit, or a state without rollouts, which is named.
    """
    shape, pair = tree.shape, {"visits": visits, "right": right}
    known = {}
    for name, value in pair.items():
        known[name] = np.asarray(_check.nonnegative(name, value, ndim=1))
        if known[name].shape != (len(shape.leaves),):
            raise ValueError(
                f"{name}: length {known[name].shape[0]}; must be {len(shape.leaves)}, one a leaf"
            )
    if np.any(known["right"] > known["visits"]):
        leaf = int(np.argmax(known["right"] > known["visits"]))
        raise ValueError(
            f"right: {known['right'][leaf]:g} at {tree.name(int(shape.leaves[leaf]))}; must be at most its visits, "
            f"{known['visits'][leaf]:g}"
        )
    number, good = (
        np.asarray(shape.back_up(jnp.asarray(one)))[shape.inner] for one in (known["visits"], known["right"])
    )
    if np.any(number == 0):
        state = tree.name(int(shape.inner[np.argmax(number == 0)]))
        raise ValueError(
            f"visits: no rollout came through {state}; must be one or more, a critic needs data there"
        )
    return jnp.asarray(good / number)
