"""Questions with shared parameters, trained on exact means."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from qra_jax.algorithm import Algorithm
from qra_jax.problem import Problem
from qra_jax.training import train


def end(problem: Problem, features: Array, rate: float | Array, steps: int, algorithm: Algorithm) -> Array:
    """log π after training all questions on the exact mean gradient, `[questions, patterns]`."""
    options = {
        "steps": steps,
        "record_every": steps,
        "learning_rate": rate,
        "mode": "mean",
        "features": features,
    }
    return train(jax.random.key(0), problem, algorithm=algorithm, **options).log_policy[:, -1]


def features(shared: Array, overlap: Array) -> Array:
    """Φ `[questions, patterns, questions · patterns + features]`: own parameters, then shared ones."""
    questions, patterns, _ = shared.shape
    own = jnp.eye(questions * patterns).reshape(questions, patterns, -1)
    return jnp.concatenate([jnp.sqrt(1 - overlap) * own, jnp.sqrt(overlap) * shared], axis=-1)
