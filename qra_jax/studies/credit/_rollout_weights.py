"""What the study of weights by rarity and by length runs: questions that share a policy, contributions of rollouts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from qra_jax.algorithm import Algorithm, pass_at_k
from qra_jax.problem import Problem
from qra_jax.studies.credit import _draws
from qra_jax.training import train

QUESTIONS, PATTERNS, GROUP = 12, 8, 8
STEPS, RATE = 800, 3.0
"""Steps of an expected run; learning rate, divided by the number of questions where they share a policy."""
CALM = 4
"""How many times as many steps of as much smaller a rate sampled runs have: weights (1 − ρ)^(k − 1) are noisy."""
TRIES = 8
"""k of the weight (1 − ρ)^(k − 1), and of pass@k."""
CREDIT: dict[str, tuple[Algorithm, float]] = {
    "plain": (pass_at_k(1, GROUP), 1.0),
    "twice the rate": (pass_at_k(1, GROUP), 2.0),
    "rare success": (pass_at_k(TRIES, GROUP), 1.0),
}
"""Algorithms and factors of the learning rate."""
POWER, DIFFICULTY = 0.5, (0.15, 1.2)
"""Credit by rare pattern is π(r)^(−POWER) of a right rollout. Success rates are Beta(*DIFFICULTY)."""


def questions(key: Array) -> Problem:
    """Questions that each pattern solves a few of: success rates Beta(.15, 1.2), one base policy, Dirichlet(1)."""
    first, second = jax.random.split(key)
    log_ref = _draws.flat(first, PATTERNS)
    rates = _draws.beta(jax.random.uniform(second, (QUESTIONS, PATTERNS)), *DIFFICULTY)
    return Problem(jnp.broadcast_to(log_ref, rates.shape), rates)


def accuracies(key: Array, credit: Any, algorithm: Algorithm, world: str) -> Float[Array, " questions"]:
    """Accuracy of every question after training, with one policy for all of them or with one for each."""
    first, second = jax.random.split(key)
    asked, options = questions(first), {}
    mode, calm = ("sampled", CALM) if "sampled" in world else ("mean", 1)
    rate = RATE / calm * jnp.asarray([factor for _, factor in CREDIT.values()])[credit]
    if world.startswith("one policy"):
        rate = rate / QUESTIONS
        options["features"] = jnp.broadcast_to(jnp.eye(PATTERNS), (QUESTIONS, PATTERNS, PATTERNS))
    options |= {"steps": calm * STEPS, "record_every": calm * STEPS, "learning_rate": rate, "mode": mode}
    return train(second, asked, algorithm=algorithm, **options).accuracy[:, -1]


def resting(random: np.random.Generator, sets: int, own: bool) -> dict[str, np.ndarray]:
    r"""Accuracy of every question where plain credit, and credit π^(−α) for right rollouts, come to rest, exactly.

    $\dot\theta_r = \pi_r\,(\pi_r^{-\alpha} p_r - \sum_s \pi_s^{1-\alpha} p_s)$ rests at π ∝ p^{1/α}, plain credit at
    argmax p, with the mean of p over the questions that share a policy.

    Args:
      random: draws the sets.
      sets: how many.
      own: whether each question has a policy of its own.

    Returns:
      `[sets, questions]` by credit, `"rare"` and `"plain"`.
    """
    rates = random.beta(*DIFFICULTY, (sets, QUESTIONS, PATTERNS))
    seen = rates if own else rates.mean(axis=1, keepdims=True)
    weight = (seen / seen.max(axis=-1, keepdims=True)) ** (1 / POWER)
    best = seen == seen.max(axis=-1, keepdims=True)
    return {
        name: (share * rates).sum(axis=-1) / share.sum(axis=-1)
        for name, share in (("rare", weight), ("plain", best))
    }


def contributions(
    policy: np.ndarray, success: np.ndarray, lengths: np.ndarray, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """What weights |o|^(−power) do to the mean update and to single rollouts, exactly.

    A rollout has one token for its pattern and |o| − 1 further ones, each drawn evenly from two that earn the same.
    Its contribution is |o|^(−power) (R − ρ) ∇log π(o), the sum over its tokens.

    Args:
      policy: `[questions, patterns]`, π.
      success: `[questions, patterns]`, success rates.
      lengths: `[patterns]`, |o| ≥ 1.
      power: 0 for a constant weight, 1 for 1/|o|.

    Returns:
      `[questions]`: 1 − cosine between the mean update of the pattern's logits and the policy gradient; ratio of the
      largest to the smallest root mean square norm of ∇log π(o)·|o|^(−power) over the patterns.
    """
    gain = success - (policy * success).sum(axis=1, keepdims=True)
    weight = lengths**-power
    mean = policy * (weight * gain - (policy * weight * gain).sum(axis=1, keepdims=True))
    plain = policy * gain
    norms = np.linalg.norm(mean, axis=1) * np.linalg.norm(plain, axis=1)
    bias = 1 - (mean * plain).sum(axis=1) / norms
    score = 1 - 2 * policy + (policy**2).sum(axis=1, keepdims=True)  # |e_r − π|²
    size = weight * np.sqrt(score + (lengths - 1) / 2)
    return bias, size.max(axis=1) / size.min(axis=1)
