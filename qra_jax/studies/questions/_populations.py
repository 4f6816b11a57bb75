"""Populations of questions, trained with parameters of their own or with shared ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from qra_jax.algorithm import Algorithm, switch
from qra_jax.batching import many
from qra_jax.problem import Problem
from qra_jax.reward import verifiable
from qra_jax.studies import lab
from qra_jax.training import train

QUESTIONS, PATTERNS, FEATURES = 64, 10, 32


def outcome(ref: np.ndarray, end: np.ndarray, success: np.ndarray) -> dict[str, tuple]:
    """Accuracy of every question before and after, and with one policy at the temperature of the other's mean entropy.

    Args:
      ref, end: `[way, rule, seed, question, pattern]`, log π before and after training.
      success: success rates of the same shape.

    Returns:
      `base`, `after`, `cooled` (base at the entropy after training) and `heated` (the trained policy at base's).
    """

    def at(policy: np.ndarray, log_temperature: np.ndarray) -> np.ndarray:
        logits = policy * np.exp(-log_temperature)[..., None, None]
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return shares / shares.sum(axis=-1, keepdims=True)

    def entropy(policy: np.ndarray) -> np.ndarray:
        return -(policy * np.log(np.maximum(policy, 1e-300))).sum(axis=-1).mean(axis=-1)

    def matched(policy: np.ndarray, other: np.ndarray) -> np.ndarray:
        low, high = np.full(policy.shape[:-2], -6.0), np.full(policy.shape[:-2], 6.0)
        for _ in range(50):
            middle = (low + high) / 2
            cold = entropy(at(policy, middle)) < entropy(np.exp(other))
            low, high = np.where(cold, middle, low), np.where(cold, high, middle)
        return at(policy, low)

    policies = {
        "base": np.exp(ref),
        "after": np.exp(end),
        "cooled": matched(ref, end),
        "heated": matched(end, ref),
    }
    return {
        name: (("way", "rule", "seed", "question"), (x * success).sum(axis=-1))
        for name, x in policies.items()
    }


def trained(
    run: lab.Run, seeds: int, ways: dict[str, Any], rules: dict[str, Algorithm], **options: Any
) -> xr.Dataset:
    """Train the same populations in every way and by every rule, in every experiment.

    Args:
      run: of the experiment.
      seeds: number of populations.
      ways: by name: learning rate and false positive rate, for questions with parameters of their own; or a number of
        random shared features above 1, or the share of questions that agree on the success rates of skills.
      rules: algorithms by name.
      options: for `train`.

    Returns:
      Accuracies `[way, rule, seed, question]` of [`outcome`][].
    """
    rng, n, members = np.random.default_rng(run.shared_seed), seeds, list(rules.values())
    size = (n, QUESTIONS, PATTERNS)
    log_ref = np.log(rng.dirichlet(np.full(PATTERNS, 0.5), size[:2]) + 1e-300)
    rates, common = rng.beta(0.1, 0.9, size), rng.beta(0.1, 0.9, (n, 1, PATTERNS))
    rank, rows = rng.random((n, QUESTIONS, 1)), rng.normal(size=(*size, FEATURES))
    shared = not any(isinstance(way, tuple) for way in ways.values())
    success, features = [], []
    for kind in ways.values():
        share = kind if shared and kind <= 1 else 0.0
        success.append(np.where(rank < share, common, rates))
        random = rows * (np.arange(FEATURES) < kind) / np.sqrt(kind) if shared else rows
        features.append(random if not share else np.broadcast_to(np.eye(PATTERNS, FEATURES), random.shape))

    def one(key, log_ref, success, rule, **own):
        settings = {"learning_rate": 0.2, "record_every": options["steps"]} | options | own
        path = train(key, Problem(log_ref, success), algorithm=switch(rule, members), **settings)
        return path.log_policy[:, -1]

    shape = (len(ways), len(rules), n)
    each = lambda x, axes: np.broadcast_to(np.expand_dims(x, axes), (*shape, *x.shape[3 - len(axes) :]))  # noqa: E731
    refs, truths = each(log_ref, (0, 1)), each(np.stack(success), (1,))
    flat = [x.reshape(-1, *x.shape[3:]) for x in (refs, truths, each(np.arange(len(rules)), (0, 2)))]
    keys = jnp.tile(jax.random.split(run.key, n), len(ways) * len(rules))
    if shared:
        phi = each(np.stack(features), (1,)).reshape(-1, *features[0].shape[1:])
        ends = many(lambda *row: one(*row[:-1], features=row[-1]), block=8)(keys, *flat, phi)
    else:
        rate, fpr = (each(np.array(column), (1, 2)).ravel() for column in zip(*ways.values(), strict=True))
        noisy = lambda *row: one(*row[:-2], learning_rate=row[-2], reward=verifiable(fpr=row[-1]))  # noqa: E731
        ends = many(noisy, block=8)(keys, *flat, rate, fpr)
    ends = np.asarray(ends).reshape(*shape, QUESTIONS, PATTERNS)
    return lab.dataset(outcome(refs, ends, truths), {"way": list(ways), "rule": list(rules)})
