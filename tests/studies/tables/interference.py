"""Mutations of `interference`: what its claims would say of other data."""

import numpy as np


def _fallen(data):
    """Six or seven questions fall at s = 1, two or one at less."""
    before = data.populations.before
    seed, question = (np.arange(before.sizes[dim]) for dim in ("seed", "question"))
    more = (7 * seed[:, None] % 5) % 2
    end = before.copy()
    for overlap in before.overlap.values:
        end.loc[{"overlap": overlap}] += np.where(
            question < (6 + more if overlap == 1 else 2 - more), -0.1, 0.3
        )
    return data.change("populations", end=end + 1e-3 * np.sin(question))


TABLE = {
    "influence": {
        "fails": lambda d: d.change("queries", gain=lambda gain: 1.1 * gain),
        "open": lambda d: d.change("queries", gain=np.nan),
    },
    "falls": {
        "holds": _fallen,
        "fails": lambda d: d.change("populations", end=lambda end: end - 1),
        "open": lambda d: d.select("populations", seed=slice(2)),
    },
    "foretells": {
        "fails": lambda d: d.change("populations", speed=lambda speed: -speed),
        "open": lambda d: d.select("populations", seed=slice(2)),
    },
    "transfers": {
        "fails": lambda d: d.change("transfer", gain=lambda gain: -abs(gain)),
        "open": lambda d: d.select("transfer", seed=slice(2)),
    },
}
