"""The parts of a run, as functions of arrays: what `train` is given, made ready for the loop.

Every part is a function of one run. What it closes over is made an argument where it is traced (`hoisted`), so that
the loop can have many runs side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax import regularizer
from qra_jax._closures import hoisted
from qra_jax.algorithm import Algorithm
from qra_jax.flow.velocity import clock_function
from qra_jax.problem import Problem
from qra_jax.regularizer import Regularizer
from qra_jax.reward import Reward
from qra_jax.training import groups, loop, moments
from qra_jax.training.groups import Shares, Tables
from qra_jax.training.lanes import trailing
from qra_jax.training.loop import Plan


def simulate(
    plan: Plan,
    algorithm: Algorithm,
    reward: Reward,
    regularizers: Sequence[Regularizer],
    problem: Problem,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Run it.

    Args:
      plan: what is fixed.
      algorithm: the algorithm.
      reward: the reward.
      regularizers: the penalties.
      problem: the question, or questions that share parameters.
      settings: what may be traced: `seed`, `start`, `behavior`, and numbers as arguments of `train`.

    Returns:
      `log_policy` `[times, patterns, *questions]`, `stats` and `status`.
    """
    coupled = settings["features"] is not None
    rate, features, correlation = settings["learning_rate"], settings["features"], settings["correlation"]
    if coupled:  # questions to the last axis
        for name in ("start", "behavior"):
            if settings[name] is not None:
                settings = {**settings, name: jnp.moveaxis(settings[name], 0, -1)}
    start = settings["start"]
    transform = plan.optimizer if plan.ready_made else plan.optimizer(rate)

    def by_question(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one question and arrays `[patterns]`, for arrays `[patterns, *questions]`."""
        if not coupled:
            return partial(function, problem)
        return lambda *args: jax.vmap(function, in_axes=(0, *(-1 for _ in args)), out_axes=-1)(problem, *args)

    def rates(problem: Problem, log_policy: Array) -> Array:
        return reward.rates(problem, log_policy)

    def moody(problem: Problem, tpr: Array, fpr: Array) -> Array:
        """Acceptance where one draw decides for the whole group."""
        return replace(reward, params={"tpr": tpr, "fpr": fpr}).rates(problem)

    def penalty(problem: Problem, log_policy: Array) -> Array:
        return regularizer.velocity(regularizers, log_policy, problem.log_ref, plan.geometry)

    def observe(problem: Problem, log_policy: Array) -> dict[str, Any]:
        seen = {name: function(log_policy, problem) for name, function in plan.metrics}
        return jax.tree.map(jnp.asarray, seen)

    params = jnp.zeros(features.shape[-1:], start.dtype) if coupled else start
    memory = jax.eval_shape(transform.init, params)
    error = jnp.zeros(start.shape[1:], start.dtype)
    group = jnp.zeros((plan.group or 1,), start.dtype)
    parts = {
        "init": hoisted(transform.init, params),
        "update": hoisted(lambda *args: transform.update(*args), params, memory, params),
        "rates": hoisted(by_question(rates), start),
        "penalty": hoisted(by_question(penalty), start),
        "observe": hoisted(by_question(observe), start),
    }
    if correlation is not None:
        parts["moody"] = hoisted(by_question(moody), error, error)
    if plan.mode == "sampled" and not reward.binary:
        where = None if settings["size"] is None else jnp.arange(plan.group or 1) < settings["size"]
        weigh = lambda rewards: algorithm.weights(rewards, where)  # noqa: E731
        if coupled:
            weigh, group = jax.vmap(weigh, -1, -1), group[:, None] + error[None]
        parts["weigh"] = hoisted(weigh, group)
    fixed = {
        "alive": ~jnp.isneginf(start),
        "tables": None,
        **{name: settings[name] for name in ("seed", "start", "behavior", "size", "low", "high")},
        **{name: settings[name] for name in ("temperature", "correlation", "learning_rate")},
    }
    if plan.group is not None and reward.binary:
        tables = groups.weight_tables(algorithm, plan.group, settings["size"])
        fixed["tables"] = Tables(*(table.astype(start.dtype) for table in tables))
    if correlation is not None:
        fixed |= {name: jnp.asarray(reward.params[name], start.dtype) for name in ("tpr", "fpr")}
    expected = None
    if plan.mode != "sampled":
        expected = _expectation(plan, algorithm, reward, fixed["tables"], settings, by_question)
    run = partial(
        loop.run,
        plan,
        {name: pure for name, (pure, _) in parts.items()},
        binary=reward.binary,
        fixed_rates=reward.fixed,
        resamples=algorithm.resamples_silent,
        regularized=bool(regularizers),
        features=features,
        expected=expected,
    )
    if plan.mode == "sampled" and not coupled:
        run = trailing(run)
    return run(fixed, {name: held for name, (_, held) in parts.items()})


def _expectation(
    plan: Plan,
    algorithm: Algorithm,
    reward: Reward,
    tables: Tables | None,
    settings: dict[str, Any],
    by_question: Callable[..., Any],
) -> Callable[..., Any]:
    """`(logits, numbers) -> (up, down, reward, silent)`, the group's expected weights, or normal ones."""
    size, correlation = settings["size"], settings["correlation"]
    resamples = algorithm.resamples_silent
    if "size" in algorithm.params and plan.group is not None:
        algorithm = replace(
            algorithm, params={**algorithm.params, "size": plan.group if size is None else size}
        )
    speed = clock_function(algorithm, reward, plan.geometry) if tables is None else None

    def one(problem: Problem, logits: Array, numbers: Array | None) -> tuple[Array, ...]:
        policy = jax.nn.softmax(
            logits if settings["temperature"] is None else logits / settings["temperature"]
        )
        rates = reward.rates(problem, jax.nn.log_softmax(logits))
        rates = jnp.where(policy > 0, rates, 0.0)
        if tables is None:
            assert speed is not None
            gain = rates - jnp.sum(policy * rates)
            weights = speed(policy, rates, gain) * policy * gain
            mean = jnp.sum(policy * rates)
            return jnp.maximum(weights, 0.0), jnp.minimum(weights, 0.0), mean, jnp.zeros_like(mean)

        table = tables

        def expect(rates: Array) -> Shares:
            return moments.expected_shares(policy, rates, table, size, resamples=resamples)

        if plan.mode == "sde":
            parts = moments.spread(policy, rates, tables, size, resamples=resamples)
            assert numbers is not None
            weights, average = moments.gaussian_weights(parts, numbers), expect(rates)
            return weights, jnp.zeros_like(weights), average.reward, average.silent
        if correlation is None:
            return tuple(expect(rates))  # pyright: ignore[reportReturnType]
        tpr, fpr = reward.params["tpr"], reward.params["fpr"]
        ones, success = jnp.ones_like(rates), problem.success
        moods = [
            (1 - correlation, rates),
            (correlation * jnp.minimum(tpr, fpr), ones),
            (correlation * jnp.maximum(tpr - fpr, 0.0), success),
            (correlation * jnp.maximum(fpr - tpr, 0.0), 1 - success),
            (correlation * (1 - jnp.maximum(tpr, fpr)), 0 * ones),
        ]
        terms = [jax.tree.map(lambda leaf, w=weight: w * leaf, expect(mood)) for weight, mood in moods]
        return tuple(jax.tree.map(lambda *leaves: sum(leaves), *terms))

    return by_question(one)
