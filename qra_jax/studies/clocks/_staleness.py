"""What the studies of staleness run: the optimum and its curvature, thresholds by bisection, runs beyond and below."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from qra_jax import _roots, flow, theory, training
from qra_jax.algorithm import Algorithm, reinforce
from qra_jax.off_policy import OffPolicy
from qra_jax.problem import examples
from qra_jax.regularizer import reverse_kl

BETA, OFF, FAR, STEPS = 0.2, 1e-6, 1e-2, 2000
"""Strength of the KL term; distance from the optimum at the start, and where a run has left it; steps."""
BRACKET = (0.005, 8.0)
"""ηK between which thresholds are sought."""
ONE = reinforce(group_size=1)
"""Its mean is that of any group size; with one it is enumerated at once."""


@cache
def curvature(beta: float = BETA) -> tuple[float, np.ndarray, np.ndarray]:
    """K, its direction in the logits, and log π_opt."""
    problem = examples.worked()
    optimum = theory.optimal_policy(problem, beta)

    def drift(theta: Array) -> Array:
        return flow.drift(problem, jax.nn.log_softmax(theta), regularizers=[reverse_kl(beta)])

    values, vectors = np.linalg.eigh(-np.asarray(jax.jit(jax.jacfwd(drift))(optimum)))
    return float(values[-1]), vectors[:, -1], np.asarray(optimum)


def threshold(off_policy: OffPolicy, momenta: list[float], algorithm: Algorithm = ONE) -> np.ndarray:
    """Least ηK at which mean training leaves the optimum, for each momentum, by bisection; inf beyond BRACKET."""
    k, direction, optimum = curvature()
    start, problem = jax.nn.log_softmax(jnp.asarray(optimum + OFF * direction)), examples.worked()

    def heavy_ball(momentum: Array, rate: Any) -> optax.GradientTransformation:
        return optax.chain(optax.trace(momentum), optax.scale(-rate))

    def unstable(momentum: Array, log_load: Array) -> Array:
        gap = training.measure(
            {"gap": lambda log_policy, _: jnp.max(jnp.abs(log_policy - optimum))},
            jax.random.key(0),
            problem,
            steps=STEPS,
            algorithm=algorithm,
            optimizer=partial(heavy_ball, momentum),
            learning_rate=jnp.exp(log_load) / k,
            regularizers=[reverse_kl(BETA)],
            mode="mean",
            off_policy=off_policy,
            log_policy0=start,
        ).values["gap"]
        quarter = STEPS // 4
        early, late = jnp.max(gap[quarter : 2 * quarter]), jnp.max(gap[3 * quarter :])
        rises = ~(late <= early) & ~(late < OFF / 1000)  # below, it is rounding
        return jnp.where(rises | (jnp.max(gap) > FAR), 1.0, -1.0)

    low, high = np.log(BRACKET)
    found = jax.jit(jax.vmap(lambda m: _roots.bisect(partial(unstable, m), low, high)))(jnp.array(momenta))
    return np.where(np.asarray(found) >= high - 1e-9, np.inf, np.exp(found))


def two_time_limit(age: int, *, baseline: bool, ratios: bool) -> float:
    """Threshold ηK where only the rollouts are old, from the Jacobians of the mean gradient F(θ_now, θ_old)."""
    problem, (k, _, optimum) = examples.worked(), curvature()

    def mean_gradient(now: Array, old: Array) -> Array:
        log_policy, policy, behind = jax.nn.log_softmax(now), jax.nn.softmax(now), jax.nn.softmax(old)
        gain = problem.success - (jnp.sum(behind * problem.success) if baseline else 0.0)
        weights = (policy if ratios else behind) * gain
        return weights - jnp.sum(weights) * policy + reverse_kl(BETA).velocity(log_policy, problem.log_ref)

    here = jnp.asarray(optimum)
    now, old = (np.asarray(x) / k for x in jax.jit(jax.jacfwd(mean_gradient, argnums=(0, 1)))(here, here))
    return limit(partial(theory.two_time_radius, age=age, now=now, old=old))


def limit(radius: Callable[[float], float]) -> float:
    """Threshold ηK of a linear theory."""
    return theory.stability_limit(radius, between=BRACKET)


def ends(off_policy: OffPolicy, rate: Array, last: int) -> Array:
    """The last policies `[last, patterns]` of a mean run from π_ref."""
    path = training.train(
        jax.random.key(0),
        examples.worked(),
        steps=STEPS,
        algorithm=ONE,
        learning_rate=rate,
        regularizers=[reverse_kl(BETA)],
        mode="mean",
        off_policy=off_policy,
    )
    return path.policy[-last:]


def shaken(key: Array, rate: Array, age: int, beta: float, group: int) -> Array:
    """Displacement along the direction of K after 120 sampled steps from the optimum, with a gradient of some age."""
    _, direction, optimum = curvature(beta)
    path = training.train(
        key,
        jax.tree.map(lambda leaf: leaf.astype(jnp.float32), examples.worked()),
        steps=120,
        record_every=120,
        algorithm=reinforce(group_size=group),
        learning_rate=rate.astype(jnp.float32),
        regularizers=[reverse_kl(beta)],
        off_policy=OffPolicy(staleness=age, of="gradient"),
        log_policy0=jnp.asarray(optimum, jnp.float32),
    )
    return jnp.sum(direction * (path.log_policy[-1] - optimum))


def shaken_variance(load: float, age: int, beta: float, group: int) -> float:
    """Its variance by linear theory, η² uᵀCu Σψ²."""
    k, direction, optimum = curvature(beta)
    noise = training.gradient_covariance(
        examples.worked(), jnp.asarray(optimum), algorithm=reinforce(group_size=group)
    )
    strength = (load / k) ** 2 * float(direction @ np.asarray(noise) @ direction)
    return strength * float(np.sum(theory.impulse_response(load, age=age, steps=120) ** 2))


def period(path: np.ndarray) -> float:
    """Steps in one swing, from the times at which the path rises through its mean."""
    level = path - path.mean()
    rises = np.flatnonzero((level[:-1] < 0) & (level[1:] >= 0))
    exact = rises + level[rises] / (level[rises] - level[rises + 1])
    return float(np.mean(np.diff(exact))) if len(exact) > 1 else np.nan
