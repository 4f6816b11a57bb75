"""Settings of simulated training runs: what is drawn for every patient, and the tables that follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qra_jax.studies.runs import _simulator as simulator

Setting = dict[str, Any]


def power(rng: np.random.Generator, low: float | int, high: float | int) -> float:
    """A number whose decimal logarithm is uniform."""
    return float(10 ** rng.uniform(low, high))


def usual(rng: np.random.Generator) -> Setting:
    """Settings of a run in which nothing is wrong, but for what a cause changes.

    Patterns have an ability, a share in the base (liking), a length, a format, a style; questions a difficulty, and
    departures from both (odd, tastes). `base` and `truncated` are what the base answers rightly and what it is cut
    off in; `leak`, `noise`, `sharing` σ, `tau` and `kappa` are those of the simulator, `spread` the tokens that a
    decision shows in. The last lines are what a trainer logs, and in what units.
    """
    K, N = simulator.PATTERNS, simulator.TRAINED + simulator.HELD_OUT
    often = lambda share: bool(rng.random() < share)  # noqa: E731
    ability, liking = rng.normal(0, 1.5, K), rng.normal(0, 1.2, K)
    setting: Setting = {
        "ability": ability,
        "liking": liking + rng.uniform(0, 0.4) * ability,
        "difficulty": rng.normal(0, rng.uniform(0.5, 1.8), N),
        "base": rng.uniform(0.15, 0.55),
        "odd": rng.normal(0, rng.uniform(0.3, 0.9), (N, K)),
        "tastes": rng.normal(0, rng.uniform(0.4, 1.0), (N, K)),
        "topic": rng.integers(simulator.TOPICS, size=N).astype(np.int32),
        "length": power(rng, 2.0, 2.9) * np.exp(rng.normal(0, 0.35, K)),
        "stretch": np.exp(rng.normal(0, 0.25, N)),
        "formatted": rng.beta(1.5, 1.5, K) if often(0.5) else rng.beta(8, 1, K),
        "style": rng.normal(0, 0.3, K),
        "token_entropy": rng.uniform(0.1, 0.5) * np.exp(rng.normal(0, 0.2, K)),
        "broken_entropy": float(rng.choice([0.05, 3.0])),
        "entropy_share": rng.uniform(0.03, 0.2),
        "truncated": rng.choice([1e-4, 0.01, 0.04]),
        "rule": float(rng.choice(3, p=[0.6, 0.2, 0.2])),
        "group": float(rng.choice([4, 8, 16], p=[0.2, 0.5, 0.3])),
        "batch": float(rng.choice([8, 16], p=[0.3, 0.7])),
        "steps": float(rng.integers(100, simulator.STEPS + 1)),
        "rate": power(rng, -0.6, 0.4),
        "warmup": float(rng.choice([1, 5, 10, 20])),
        "decay": float(rng.choice(3, p=[0.5, 0.2, 0.3])),
        "sharing": 1.0,
        "tau": rng.uniform(0, 3),
        "kappa": rng.uniform(2, 12),
        "leak": power(rng, -2.2, -1.2),
        "noise": rng.uniform(3, 20),
        "beta": power(rng, -4, -2) if often(0.5) else 0.0,
        "k3": float(often(0.7)),
        "spread": rng.uniform(3, 10),
        "clip_low": 0.2,
        "clip_high": float(rng.choice([0.2, 0.28])),
        "staleness": float(rng.choice([0, 1, 2, 4], p=[0.7, 0.15, 0.1, 0.05])),
        "corrected": 1.0,
        "temperature": float(rng.choice([1.0, 0.9, 0.8], p=[0.8, 0.1, 0.1])),
        "normalize": float(rng.choice(3, p=[0.3, 0.1, 0.6])),
        "masked": float(often(0.15)),
        "tpr": rng.uniform(0.96, 1.0) if often(0.5) else 1.0,
        "fpr": np.full(K, rng.uniform(0.0, 0.02) if often(0.5) else 0.0),
        "w_correct": float(rng.choice([1.0, 1.0, 2.0])),
        "w_format": float(rng.choice([0.1, 0.2, 0.5])) if often(0.4) else 0.0,
        "w_style": rng.uniform(0.03, 0.15) if often(0.25) else 0.0,
        "exact": 0.0,
        "words": rng.integers(2**32, size=2, dtype=np.uint32),
        "every": int(rng.choice([1, 5, 10], p=[0.5, 0.3, 0.2])),
        "eval_every": int(rng.choice([10, 20, 40])),
        "validated": often(0.8),
        "sampler_logged": often(0.4),
        "entropy_logged": often(0.8),
        "names": int(rng.integers(3)),
        "unit": power(rng, -6.3, -4.7),
        "gradient_unit": power(rng, -0.3, 0.5),
    }
    return setting


def built(setting: Setting) -> Setting:
    """Tables of questions and patterns from what was drawn: success rates shifted until the base is as good as said."""
    ability = np.concatenate([setting["ability"], [-np.inf]])
    odd = np.pad(setting["odd"], ((0, 0), (0, 1)))
    liking = np.concatenate([setting["liking"], [np.log(1e-4)]])
    log_ref = liking + np.pad(setting["tastes"], ((0, 0), (0, 1)))
    log_ref -= np.log(np.exp(log_ref).sum(axis=1, keepdims=True))
    edge = np.concatenate([setting["length"], [setting["length"].max() * 2]])
    made = setting | {
        "log_ref": log_ref,
        "length": edge,
        "usual": float(np.median(setting["length"])),
        "formatted": np.append(setting["formatted"], 0.0),
        "style": np.append(setting["style"], -0.5),
        "fpr": np.append(setting["fpr"], 0.0),
        "token_entropy": np.append(setting["token_entropy"], setting["broken_entropy"]),
    }
    some = np.arange(0, simulator.TRAINED, 4)
    policy = np.exp(log_ref[some] / setting["temperature"])
    policy[:, -1] = 0
    policy /= policy.sum(axis=1, keepdims=True)
    drawn = made | {"stretch": setting["stretch"][some], "success": 1.0}

    def whole(log_limit: float) -> np.ndarray:
        return simulator.solved(drawn | {"limit": np.exp(log_limit)})

    log_limit = _where(lambda x: (policy * whole(x)).sum(axis=1).mean(), 1 - setting["truncated"], 2.0, 12.0)
    made["limit"], fits = float(np.exp(log_limit)), whole(log_limit)
    edges = ability + odd - setting["difficulty"][:, None]
    chance = policy * fits
    shift = _where(
        lambda x: (chance / (1 + np.exp(-x - edges[some]))).sum(axis=1).mean(), setting["base"], -25.0, 12.0
    )
    return made | {"success": 1 / (1 + np.exp(-shift - edges))}


def _where(rising: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where a rising function reaches a level, by bisection."""
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > level else (middle, high)
    return (low + high) / 2
