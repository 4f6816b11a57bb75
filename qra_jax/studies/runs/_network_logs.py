"""Logs of small transformers whose cause is known: a success, a slow run, and a learning rate that is too high.

A decoder learns sequences with known shares of reasoning patterns and is trained by GRPO and Adam on its own samples.
The run at a usual learning rate is the twin of the two others from the same network.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qra_jax import transformer
from qra_jax.algorithm import grpo
from qra_jax.problem import examples, stack
from qra_jax.studies.networks._bases import learnt

QUESTIONS, HELD_OUT, STEPS, GROUP, PRETRAINING = 16, 4, 200, 8, 200
RATES = {"success": (1e-4, 4e-4), "slow": (2e-6, 8e-6), "rate_too_high": (5e-3, 3e-2)}
"""Learning rates of Adam by cause, drawn between these on a logarithmic scale."""


def logs(count: int, seed: int) -> dict[str, Any]:
    """Logs in TRL's format.

    Args:
      count: networks, each trained in every way.
      seed: of all random numbers.

    Returns:
      `met` `[causes, count]`, whether the criterion of its cause holds of a run: the share of right answers rises by
      .15 or more to .85 or more; rises by .05 or less, and its twin by .1 more; falls by .1 or more from its highest,
      and its twin ends .1 higher. `packed`: as for `_patients.logs`.
    """
    rng = np.random.default_rng(seed)
    rates = np.array([np.exp(rng.uniform(*np.log(ends), size=count)) for ends in RATES.values()])
    stats = _trained(rates, count, seed)
    smooth = np.apply_along_axis(lambda x: np.convolve(x, np.ones(20) / 20, "valid"), -1, stats["right"])
    gain, fall = smooth[..., -1] - smooth[..., 0], smooth.max(axis=-1) - smooth[..., -1]
    behind = smooth[:1, :, -1] - smooth[..., -1]
    holds = [
        (gain >= 0.15) & (smooth[..., -1] >= 0.85),
        (gain <= 0.05) & (behind >= 0.1),
        (fall >= 0.1) & (behind >= 0.1),
    ]
    met = np.stack([one[i] for i, one in enumerate(holds)])

    def packed(i: int, j: int) -> np.ndarray:
        content = json.dumps({"log_history": _rows({k: v[i, j] for k, v in stats.items()}, rates[i, j])})
        return np.frombuffer(zlib.compress(content.encode()), np.uint8)

    texts = {cause: [packed(i, j) for j in range(count)] for i, cause in enumerate(RATES)}
    return {"met": met, "packed": {"trl": texts}}


def _trained(rates: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Means over the rollouts of every step, `[causes, count, steps]` each."""
    answers = np.random.default_rng(seed).permutation(np.arange(QUESTIONS) % 2)
    problem = stack([examples.fast()] * QUESTIONS)
    task = transformer.controlled(problem, answer_key=answers, held_out=HELD_OUT)
    task = replace(task, coin=jnp.asarray(True))
    model = transformer.Decoder(task.vocabulary, width=32, depth=1)
    made = learnt((task,), model, seed=seed, seeds=count, steps=PRETRAINING)
    bases = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], made)

    def one(key: jax.Array, rate: jax.Array, number: jax.Array) -> dict[str, jax.Array]:
        params = jax.tree.map(lambda leaf: leaf[number], bases)
        rule, asked = grpo(GROUP, ddof=1, epsilon=1e-4), QUESTIONS - HELD_OUT
        options = {"steps": STEPS, "questions": asked, "learning_rate": rate}
        return transformer.train(key, model, params, task, algorithm=rule, **options).stats

    keys = jnp.tile(jax.random.split(jax.random.key(seed + 1), count), len(RATES))
    numbers = jnp.tile(jnp.arange(count), len(RATES))
    stats = transformer.side_by_side(one)(keys, jnp.asarray(rates.ravel()), numbers)
    return {name: np.asarray(value).reshape(*rates.shape, STEPS) for name, value in stats.items()}


def _rows(stats: dict[str, np.ndarray], rate: float) -> list[dict[str, float | int]]:
    names = {"reward": "reward", "rewards/accuracy_reward/mean": "reward", "frac_reward_zero_std": "silent"}
    names |= {"entropy": "entropy", "completions/mean_length": "length"}
    steps = range(len(stats["reward"]))
    return [
        {
            "step": i + 1,
            "learning_rate": float(rate),
            **{key: float(stats[of][i]) for key, of in names.items()},
        }
        for i in steps
    ]
