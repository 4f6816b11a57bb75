"""What the study of coverage runs: filtered SFT on given data beside RL, and both over learning rates and batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from qra_jax import flow, metrics, orbit
from qra_jax.algorithm import Algorithm, reinforce, rloo
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.studies.credit import _draws
from qra_jax.training import measure

PATTERNS, STEPS, LARGEST = 8, 200, 128
"""Patterns; steps of sampled runs; rollouts or demonstrations a step at most."""


def question(key: Array) -> tuple[Problem, Float[Array, " patterns"]]:
    """A random question, and the mixture of patterns in data that another policy wrote and the verifier filtered.

    Base policy Dirichlet(1), success rates U[0, 1]; the other policy is Dirichlet(.5), and its right answers are kept.
    """
    first, second, third = jax.random.split(key, 3)
    log_ref = _draws.flat(first, PATTERNS)
    rates = jax.random.uniform(second, (PATTERNS,))
    kept = _draws.uneven(third, PATTERNS) * rates
    return Problem(log_ref, rates), kept / kept.sum()


def both(key: Array, times: Any) -> dict[str, Array]:
    """Accuracy of SFT on the filtered data and of RL at these times, and what might tell which is better."""
    problem, data = question(key)
    sft = flow.sft(problem, data, ts=times, rtol=1e-5, atol=1e-5).accuracy
    rl = orbit.solve(problem, jnp.asarray(times)).accuracy
    another = (problem.best + 1) % PATTERNS
    return {
        "sft": sft,
        "rl": rl,
        "coverage": data[problem.best] / problem.ref[problem.best],
        "another": data[another] / problem.ref[another],
        "quality": data @ problem.success,
    }


def sampled(key: Array, kind: str, size: Any, rate: Any) -> dict[str, Array]:
    """Loss before and after `STEPS` steps: of RL, what accuracy lacks to the best; of SFT, KL(data‖π) in nats."""
    first, second = jax.random.split(key)
    problem, data = question(first)
    if kind == "RL":
        algorithm, options = rloo(LARGEST), {}
        loss = lambda log_policy, asked: asked.success.max() - metrics.accuracy(log_policy, asked.success)  # noqa: E731
    else:  # every demonstration has the weight 1
        algorithm: Algorithm = reinforce(group_size=LARGEST)
        behavior = OffPolicy("none", behavior=jnp.log(data))
        options = {"off_policy": behavior, "reward": verifiable(1.0, 1.0)}
        loss = lambda log_policy, asked: metrics.kl(jnp.log(data), log_policy)  # noqa: E731
    run = measure(
        {"loss": loss},
        second,
        problem,
        algorithm=algorithm.with_group_size(size),
        steps=STEPS,
        record_every=STEPS,
        learning_rate=rate,
        **options,
    )
    return {"loss": run.values["loss"][-1], "start": run.values["loss"][0]}
