"""Mutations of `warm-start-tokens`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.lab import Data
from qra_jax.transformer.procedures import PATTERNS

RATES = np.array([0.8, 0.4, 0.2, 0.1])
ALL, NONE, SHUFFLED = ", ".join(PATTERNS), "no warm start", "all four, answers of other questions"


def _ripple(x):
    return x * (1 + 1e-4 * np.sin(np.arange(x.size) ** 2).reshape(x.shape))


def _taught(arm):
    return [name for name in PATTERNS if name in arm]


def _best(arm):
    """The best rate among those taught."""
    if arm == NONE:
        return RATES[-1]
    return RATES.max() if arm == SHUFFLED else max(RATES[PATTERNS.index(name)] for name in _taught(arm))


def _world(end=_best, first=_best, chosen=True, taught=1.0):
    """What a table would say: RL ends at `end(arm)`, and pass@k of the start is `first(arm)`."""

    def mutate(d):
        warm, arms = d.warm, d.warm.arm.values
        ends, firsts = (np.array([f(arm) for arm in arms]) for f in (end, first))
        accuracy = np.stack([np.full(len(arms), 0.05), ends])[:, :, None] + 0 * warm.accuracy
        rate = warm.rate * 0 + RATES
        rate[1] *= taught
        policy = warm.policy * 0 + 0.25
        for i, arm in enumerate(arms):
            if chosen and _taught(arm):
                top = max(_taught(arm), key=lambda name: RATES[PATTERNS.index(name)])
                policy[1, i] = 0.01 + 0.97 * (np.array(PATTERNS) == top)
        passed = warm.passed * 0 + firsts[None, :, None, None]
        changed = {"accuracy": accuracy, "rate": rate, "policy": policy, "passed": passed}
        changed |= {name: warm[name] * 0 + 0.3 for name in ("longer_accuracy", "base_accuracy")}
        changed = {name: _ripple(x.transpose(*warm[name].dims)) for name, x in changed.items()}
        return d.change("warm", **changed)

    return mutate


def _waits(fast):
    """RL that crosses half of the gain early after the warm starts `fast`, never after the others."""

    def mutate(d):
        warm = _world(end=lambda arm: 1.0)(d).warm
        step, arms, seeds = np.arange(400) + 0.5, np.arange(warm.sizes["arm"]), np.arange(warm.sizes["seed"])
        begin = np.where([arm in fast for arm in warm.arm.values], 40, 200)[:, None]
        begin = begin + (arms[:, None] + 1) * seeds % 3  # of members that are all the same nothing is known
        right = (step > begin[..., None]).astype(float)
        new = warm.drop_dims("step").assign(right=(("arm", "seed", "step"), right)).assign_coords(step=step)
        return Data({"warm": new.assign_attrs(rl_steps=400)})

    return mutate


def _few(d):
    return d.select("warm", seed=slice(1))


def _other(value, *arms):
    """The best rate among those taught, but for some warm starts."""
    return lambda arm: value if arm in arms else _best(arm)


TABLE = {
    "ends-higher": {"holds": _world(), "fails": _world(end=_other(0.1, ALL)), "open": _few},
    "number": {"holds": _world(), "fails": _world(end=_other(1.0, ALL)), "open": _few},
    "inclusion": {"holds": _world(), "fails": _world(end=lambda arm: 0.4), "open": _few},
    "start": {"holds": _world(), "fails": _world(first=lambda arm: 0.4), "open": _few},
    "faster": {"holds": _waits([ALL]), "fails": _waits(PATTERNS), "open": _few},
    "chooses": {"holds": _world(), "fails": _world(chosen=False), "open": _few},
    "limit": {"holds": _world(), "fails": _world(end=lambda arm: 2 * _best(arm), taught=2.0), "open": _few},
    "form": {"holds": _world(), "fails": _world(end=_other(0.1, SHUFFLED)), "open": _few},
}
