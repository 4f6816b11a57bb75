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

from qra_jax import _pytrees, expectation, metrics
from qra_jax._closures import hoisted
from qra_jax.algorithm import Algorithm, Tables, reinforce
from qra_jax.flow.velocity import clock_function, pair_expectation
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.regularizer import Reference, Regularizer
from qra_jax.reward import Reward
from qra_jax.training import loop, moments
from qra_jax.training.groups import Shares
from qra_jax.training.lanes import trailing
from qra_jax.training.loop import Plan
from qra_jax.training.rollouts import GroupSampler


def reference_of(regularizers: Sequence[Regularizer]) -> Reference | None:
    """The one reference that the regularizers follow."""
    given = [term.reference for term in regularizers if term.reference is not None]
    if len({_pytrees.key((one.every, one.mixing, one.target_kl, one.horizon)) for one in given}) > 1:
        raise ValueError("regularizers: references that change differently; must be one and the same")
    return given[0] if given else None


def numbers_of(off_policy: OffPolicy, reference: Reference | None) -> dict[str, Any]:
    """The numbers of an off-policy object and of a reference, by name; `None` where they are not used."""
    low, high = off_policy.clip_range
    gate = off_policy.gate if off_policy.surrogate == "sapo" else (None, None)
    moving = reference or Reference()
    return {
        "low": low,
        "high": high,
        "dual_clip": off_policy.dual_clip,
        "gate_up": gate[0],
        "gate_down": gate[1],
        "cap": None if off_policy.correction is None else off_policy.correction_cap,
        "mask_old": off_policy.mask_old_negatives,
        "temperature": off_policy.temperature,
        "sampling_temperature": off_policy.sampling_temperature,
        "mixing": None if moving.every is None else moving.mixing,
        "target_kl": moving.target_kl,
        "horizon": None if moving.target_kl is None else moving.horizon,
    }


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
      problem: the question, or questions that are trained together.
      settings: what may be traced: `seed`, `start`, `behavior`, `features`, `learning_rate`, `correlation`, and
        `off_policy`, numbers by name.

    Returns:
      `log_policy` `[times, patterns, *questions]`, `metrics`, `stats` and `status`.
    """
    features, correlation = settings["features"], settings["correlation"]
    joint = problem.log_ref.ndim == 2
    if joint:  # questions to the last axis
        for name in ("start", "behavior", "log_ref"):
            if settings[name] is not None:
                settings = {**settings, name: jnp.moveaxis(settings[name], 0, -1)}
    start, log_ref = settings["start"], settings["log_ref"]
    transform = plan.optimizer if plan.ready_made else plan.optimizer(settings["learning_rate"])
    size = None if algorithm.size is None else jnp.asarray(algorithm.size, start.dtype)

    def by_question(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one question and arrays `[patterns]`, for arrays `[patterns, *questions]`."""
        if not joint:
            return partial(function, problem)
        return lambda *args: jax.vmap(function, in_axes=(0, *(-1 for _ in args)), out_axes=-1)(problem, *args)

    def rates(problem: Problem, log_policy: Array) -> Array:
        return reward.rates(tempered(problem), log_policy)

    def tempered(problem: Problem) -> Problem:
        """The question with the reference policy at the temperature of learning, as rewards that see it compare it."""
        heat = settings["off_policy"]["temperature"]
        return problem if heat is None or reward.fixed else problem.with_ref(problem.log_ref / heat)

    def moody(problem: Problem, tpr: Array, fpr: Array) -> Array:
        """Acceptance where one draw decides for the whole group."""
        return replace(reward, params={"tpr": tpr, "fpr": fpr}).rates(problem)

    def cells(problem: Problem, log_policy: Array) -> tuple[Array, Array]:
        return cells_of(reward, tempered(problem), log_policy)

    def scaled(
        problem: Problem, terms: Sequence[Regularizer], coefficient: Array
    ) -> list[Callable[[Array, Array], Array]]:
        """Advantages of terms: from their own reference, times the coefficient where a controller moves theirs."""
        temperature = settings["off_policy"]["temperature"]
        still = problem.log_ref
        if temperature is not None:
            still = jax.nn.log_softmax(still / temperature)

        def one(term: Regularizer) -> Callable[[Array, Array], Array]:
            moved = term.reference is not None and term.reference.target_kl is not None
            factor = coefficient if moved else 1.0
            if term.reference is None:
                return lambda log_policy, log_ref: term.advantage(log_policy, still)
            return lambda log_policy, log_ref: term.advantage(log_policy, log_ref) * factor

        return [one(term) for term in terms]

    exact = [term for term in regularizers if term.estimate == "exact"]

    def penalty(problem: Problem, log_policy: Array, log_ref: Array, coefficient: Array) -> Array:
        advantages = scaled(problem, exact, coefficient)
        return plan.choice.velocity(advantages, log_policy, log_ref, plan.geometry)

    def pull(estimate: str, problem: Problem, log_policy: Array, log_ref: Array, coefficient: Array) -> Array:
        total = jnp.zeros_like(log_policy)
        terms = [term for term in regularizers if term.estimate == estimate]
        for advantage in scaled(problem, terms, coefficient):
            total = total + advantage(log_policy, log_ref)
        return jnp.where(jnp.isneginf(log_policy), 0.0, total)

    def divergence(problem: Problem, log_policy: Array, log_ref: Array) -> Array:
        return metrics.kl(log_policy, log_ref)

    def observe(problem: Problem, log_policy: Array) -> dict[str, Any]:
        seen = {name: function(log_policy, problem) for name, function in plan.metrics}
        return jax.tree.map(jnp.asarray, seen)

    choice, paths = plan.choice, jnp.zeros_like(jax.eval_shape(plan.choice.scores, start))
    params = jnp.zeros(features.shape[-1:], start.dtype) if features is not None else start
    memory = jax.eval_shape(transform.init, params)
    of_question = jnp.ones(start.shape[1:], start.dtype)
    estimated = tuple(sorted({term.estimate for term in regularizers} - {"exact"}))
    parts = {
        "init": hoisted(transform.init, params),
        "update": hoisted(lambda *args: transform.update(*args), params, memory, params),
        "rates": hoisted(by_question(rates), paths),
        "penalty": hoisted(by_question(penalty), start, start, of_question),
        "divergence": hoisted(by_question(divergence), paths, paths),
        "observe": hoisted(by_question(observe), paths),
    }
    for estimate in estimated:
        parts["pull_" + estimate] = hoisted(by_question(partial(pull, estimate)), paths, paths, of_question)
    by_size = None
    if choice.needs is not None:
        if choice.needs == "siblings":
            by_size = tables_by_size(algorithm, plan.group, start.dtype, joint=joint)
        else:
            clock = algorithm.clock_function()
            parts["clock"] = hoisted(clock, of_question, of_question)
        # What rollouts earn, in place of what the algorithm makes of it; in the limit any group has that mean.
        plan = replace(plan, group=plan.group or 1)
        algorithm = replace(reinforce(group_size=plan.group), size=algorithm.size)
    if correlation is not None:
        parts["moody"] = hoisted(by_question(moody), of_question, of_question)
    if plan.weighing == "rollouts" or (plan.weighing == "pairs" and not algorithm.binary_only):
        parts["cells"] = hoisted(by_question(cells), paths)
    if plan.weighing == "rollouts":
        parts["weigh"] = _weigh(algorithm, problem, plan.group or 1, of_question, joint)
    fixed = {
        "alive": ~jnp.isneginf(start),
        "tables": None,
        "lengths": None,
        "beta": None,
        "log_ref": log_ref,
        "credit": settings["credit"],
        "by_size": by_size,
        "size": size,
        **{name: settings[name] for name in ("seed", "start", "behavior", "off_policy")},
        **{name: settings[name] for name in ("correlation", "learning_rate")},
    }
    if plan.weighing == "rollouts" and expectation.sees_lengths(algorithm, problem):
        outcomes = jax.eval_shape(by_question(cells), paths)[0].shape[0] // paths.shape[0]
        assert problem.lengths is not None
        fixed["lengths"] = jnp.repeat(jnp.moveaxis(problem.lengths, -1, 0), outcomes, axis=0)
    if plan.weighing == "counts" and plan.group is not None:
        tables = algorithm.tables(plan.group)
        fixed["tables"] = Tables(*(table.astype(start.dtype) for table in tables))
    if plan.weighing == "pairs":
        if expectation.sees_lengths(algorithm, problem):
            assert problem.lengths is not None
            fixed["lengths"] = jnp.moveaxis(problem.lengths, -1, 0)
        fixed["beta"] = jnp.asarray(algorithm.params["beta"], start.dtype)
    if correlation is not None:
        fixed |= {name: jnp.asarray(reward.params[name], start.dtype) for name in ("tpr", "fpr")}
    expected = None
    if plan.mode != "sampled":
        expected = _expectation(plan, algorithm, reward, fixed["tables"], settings, by_question)
    run = partial(
        loop.run,
        plan,
        {name: pure for name, (pure, _) in parts.items()},
        fixed_rates=reward.fixed,
        resamples=algorithm.resamples_silent,
        by_vote=reward.by_vote,
        greedy_baseline=algorithm.greedy_baseline,
        pairs=algorithm.pairs,
        batch=algorithm.batch,
        regularized=bool(exact),
        estimated=estimated,
        features=features,
        joint=joint,
        expected=expected,
    )
    if plan.mode == "sampled" and not joint:
        run = trailing(run)
    return run(fixed, {name: held for name, (_, held) in parts.items()})


def tables_by_size(algorithm: Algorithm, group: int | None, dtype: Any, *, joint: bool) -> Tables:
    """Weights by the size of a group and its number of right rollouts, `[group + 1, group + 1]` each."""
    assert group is not None
    tables = [algorithm.tables(group, size) for size in range(1, group + 1)]
    empty = jnp.zeros(group + 1, dtype)
    found = (
        jnp.stack([empty, *(getattr(one, kind).astype(dtype) for one in tables)]) for kind in Tables._fields
    )
    return Tables(*(table[..., None] if joint else table for table in found))


def _weigh(
    algorithm: Algorithm, problem: Problem, group: int, of_question: Array, joint: bool
) -> tuple[Callable[..., Any], list[Array]]:
    """Rewards, and lengths where they matter, of the rollouts of a group to their weights."""
    where = None if algorithm.size is None else jnp.arange(group) < algorithm.size
    shape = jnp.zeros((group, *of_question.shape), of_question.dtype)
    examples = [shape] * (1 + expectation.sees_lengths(algorithm, problem))

    def weigh(rewards: Array, lengths: Array | None = None) -> Array:
        return algorithm.weights(rewards, where, lengths)

    return hoisted(jax.vmap(weigh, -1, -1) if joint else weigh, *examples)


def _expectation(
    plan: Plan,
    algorithm: Algorithm,
    reward: Reward,
    tables: Tables | None,
    settings: dict[str, Any],
    by_question: Callable[..., Any],
) -> Callable[..., Any]:
    """`(logits, numbers, reference) -> Shares, mean squared weight`: the group's expected weights, or normal ones."""
    size, correlation, number = algorithm.size, settings["correlation"], settings["off_policy"]
    resamples, group = algorithm.resamples_silent, plan.group
    learned = lambda z: z if number["temperature"] is None else z / number["temperature"]  # noqa: E731
    if algorithm.batch == "whiten":
        assert tables is not None
        tables = Tables(jnp.ones_like(tables.right), -jnp.ones_like(tables.wrong))

    def one(problem: Problem, logits: Array, numbers: Array | None, reference: Array) -> tuple[Shares, Array]:
        scores, log_policy = learned(logits), jax.nn.log_softmax(learned(logits))
        if number["sampling_temperature"] is not None:
            scores = scores / number["sampling_temperature"]
        policy = jax.nn.softmax(scores)
        if number["temperature"] is not None and not reward.fixed:
            problem = problem.with_ref(problem.log_ref / number["temperature"])
        rates = jnp.where(policy > 0, reward.rates(problem, log_policy), 0.0)
        shares, square = weights(problem, policy, log_policy, rates, numbers, reference)
        return shares._replace(count=policy), square

    def weights(
        problem: Problem,
        policy: Array,
        log_policy: Array,
        rates: Array,
        numbers: Array | None,
        reference: Array,
    ) -> tuple[Shares, Array]:
        mean, nothing = jnp.sum(policy * rates), jnp.zeros((), policy.dtype)
        if plan.weighing == "pairs":
            asked = replace(problem, log_ref=jax.nn.log_softmax(learned(reference)))
            return Shares(
                pair_expectation(asked, algorithm, reward, policy, log_policy), None, mean, nothing
            ), nothing
        sized = replace(algorithm, group_size=group)
        way = expectation.kind(sized, reward, problem, group)
        if way == "sum":
            assert group is not None
            labels = expectation.labels_of(sized, reward, problem, log_policy)
            table = expectation.weight_table(sized, labels, group)
            up, down, earned, silent = expectation.expected(labels, table, policy, group)
            return Shares(policy * up, policy * down, earned, silent), nothing
        if tables is None:
            speed = clock_function(problem, sized, reward, plan.geometry)
            gain = rates - mean
            moved = speed(policy, log_policy, rates, gain) * policy * gain
            return Shares(jnp.maximum(moved, 0.0), jnp.minimum(moved, 0.0), mean, nothing), nothing
        table = tables

        def expect(rates: Array) -> Shares:
            return moments.expected_shares(policy, rates, table, size, resamples=resamples)

        if plan.mode == "sde":
            parts = moments.spread(policy, rates, tables, size, resamples=resamples)
            assert numbers is not None
            drawn, average = moments.gaussian_weights(parts, numbers), expect(rates)
            return Shares(drawn, jnp.zeros_like(drawn), average.reward, average.silent), nothing
        if algorithm.greedy_baseline:
            baseline = rates[jnp.argmax(policy)]
            up, down = policy * rates * (1 - baseline), -policy * (1 - rates) * baseline
            return Shares(up, down, mean, expect(rates).silent), nothing
        if correlation is None:
            square = nothing
            if algorithm.batch is not None and algorithm.batch != "whiten":
                square = algorithm.batch_moments(mean, jnp.sum(policy * (1 - rates)))[1]
            return expect(rates), square
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
        return jax.tree.map(lambda *leaves: sum(leaves), *terms), nothing

    return by_question(one)


def cells_of(reward: Reward, problem: Problem, log_policy: Array) -> tuple[Array, Array]:
    """What rollouts earn, and how often given their pattern: cell by cell, patterns first, then outcomes."""
    if reward.by_vote:
        chances = problem.answer_table()
        values = jnp.zeros_like(chances)
    else:
        values, chances = reward.outcomes(problem, log_policy)
    alive = ~jnp.isneginf(log_policy)[:, None]
    return jnp.where(alive, values, 0.0).reshape(-1), jnp.where(alive, chances, 0.0).reshape(-1)


def weighing_of(algorithm: Algorithm, reward: Reward, problem: Problem) -> str:
    """What the weights of a sampled group are found by, as [`GroupSampler`][] has it."""
    if algorithm.pairs is not None:
        return "pairs"
    return "counts" if expectation.counts_suffice(algorithm, reward, problem) else "rollouts"


def rollouts_of(
    algorithm: Algorithm, reward: Reward, problem: Problem, log_policy: Array, seed: Array
) -> GroupSampler:
    """The rollouts of one question, for a loop of its own.

    Args:
      algorithm: with a group size.
      reward: what they earn.
      problem: the question.
      log_policy: `[patterns]`, log π.
      seed: `[2]`, the run's words.

    Returns:
      [`GroupSampler`][] of a single cell.
    """
    group, dtype = algorithm.group_size, log_policy.dtype
    assert group is not None
    weighing, lengths, tables = weighing_of(algorithm, reward, problem), None, None
    if weighing == "counts":
        tables = Tables(*(table.astype(dtype) for table in algorithm.tables()))
    if expectation.sees_lengths(algorithm, problem):
        assert problem.lengths is not None
        lengths = problem.lengths
        if weighing == "rollouts":
            cells = jax.eval_shape(lambda: cells_of(reward, problem, log_policy))[0].shape[0]
            lengths = jnp.repeat(lengths, cells // problem.patterns)
    extremes = weighing == "pairs" and not algorithm.binary_only
    return GroupSampler(
        weighing=weighing,
        group=group,
        size=jnp.asarray(group, dtype),
        seed=seed,
        alive=~jnp.isneginf(log_policy),
        part={
            "rates": lambda log_policy: reward.rates(problem, log_policy),
            "cells": lambda log_policy: cells_of(reward, problem, log_policy),
            "weigh": lambda rewards, lengths=None: algorithm.weights(rewards, None, lengths),
        },
        constant_cells=cells_of(reward, problem, log_policy) if extremes else None,
        tables=tables,
        lengths=lengths,
        beta=algorithm.params.get("beta"),
        resamples=algorithm.resamples_silent,
        by_vote=reward.by_vote,
        greedy_baseline=algorithm.greedy_baseline,
    )
