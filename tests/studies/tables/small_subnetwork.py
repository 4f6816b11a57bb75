"""Mutations of `small-subnetwork`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights import _counts as counts, _masks as masks, _twins as own

SCATTER = 1e-3
CURVE = np.linspace(0.05, 0.95, len(counts.LENGTHS))
"""Share that Gaussian updates change, by length."""


def _set(values, dims, seed=0):
    """Values that depend on the labels of some dimensions, with scatter."""
    out = values * 0
    for labels, value in dims:
        out.loc[labels] = value
    return out + SCATTER * np.random.default_rng(seed).standard_normal(out.shape)


def _stored(data, share=None, gain=None):
    """Share that changes in bfloat16, and gain by storage."""
    dims = [({}, 0.9), ({"update": counts.SPARSE}, 0.4)]
    dims += [] if share is None else [({"update": own.OWN}, share)]
    gains = [({}, 0.5)] + ([] if gain is None else [({"storage": "bfloat16"}, gain)])
    few = _gains(data)
    return few.change("storage", changed=_set(few.storage.changed, dims), gain=_set(few.storage.gain, gains))


def _swept(data, beyond=0.0):
    """Shares by length, and how far the own update's is from that of Gaussian ones."""
    sweep = data.runs.sweep
    curve = sweep.relative.copy(data=CURVE) + 0 * sweep
    curve = curve.transpose(*sweep.dims)
    curve.loc[{"update": own.OWN}] += beyond
    return data.change("runs", sweep=_set(curve, []) + curve)


def _shares(data, **arms):
    """Shares of the weights that change, over those that Gaussian updates of that length change."""
    dims = [({}, 0.5), ({"update": counts.SPARSE}, 0.3)]
    for names, value in arms.values():
        dims.append(({"arm": list(names), "update": own.OWN}, value))
    return data.change("runs", changed=_set(data.runs.changed, dims), apart=lambda x: x * 0)


def _ranks(data, **ranks):
    dims = [({"what": counts.HALF}, 0.5), ({"what": counts.FIRST}, 0.06)]
    dims += [({"what": getattr(counts, name)}, value) for name, value in ranks.items()]
    values = data.runs["rank"] * 0
    for labels, value in dims:
        values.loc[labels] = value
    return data.change("runs", rank=values)


def _stable(data, ratio):
    dims = [({}, 5.0), ({"update": own.OWN}, 5.0 * ratio), ({"update": counts.SPIKED}, 1.2)]
    return data.change("runs", stable=_set(data.runs.stable, dims))


def _gains(data, share=0.6, apart=0.8):
    """Share of the whole gain that the subnetwork has, and how far from the whole run it ends."""
    usual = {masks.EVERYTHING: 1.0, masks.FEW: 0.1, masks.MOST: 0.99, counts.CHANGED: share}
    dims = [({}, 0.6), *(({"mask": k}, v) for k, v in usual.items())]
    far = [({}, 0.8), ({"mask": counts.CHANGED}, apart), ({"mask": masks.MOST}, 0.1)]
    return data.change("reruns", gain=_set(data.reruns.gain, dims), apart=_set(data.reruns.apart, far))


def _few(data):
    few = data.select("runs", seed=slice(2))
    return few.select("storage", seed=slice(2)).select("reruns", seed=slice(2))


def _side(name):
    on, off = own.SIDES[name]
    return {
        "holds": lambda d: _shares(d, on=(on, 0.3)),
        "fails": lambda d: _shares(d, off=(off, 0.3)),
        "open": lambda d: _few(_shares(d, on=(on, 0.3))),
    }


TABLE = {
    "small": {
        "holds": lambda d: _swept(_stored(d, share=0.2)),
        "fails": lambda d: _swept(_stored(d, share=0.9)),
        "open": lambda d: _few(_swept(_stored(d, share=0.2))),
    },
    "fewer": {
        "holds": lambda d: _shares(d, all=(counts.ARMS, 0.3)),
        "fails": _shares,
        "open": lambda d: _few(_shares(d)),
    },
    "length": {
        "holds": _swept,
        "fails": lambda d: _swept(d, 0.3),
        "open": lambda d: _few(_swept(d)),
    },
    "rank": {
        "holds": lambda d: _ranks(d, WHOLE=1.0),
        "fails": lambda d: _ranks(d, WHOLE=0.6),
        "open": lambda d: d.change("runs", rank=np.nan),
    },
    "rank-by-rounding": {
        "holds": lambda d: _ranks(d, ROUNDED=1.0),
        "fails": lambda d: _ranks(d, ROUNDED=0.1),
        "open": lambda d: d.change("runs", rank=np.nan),
    },
    "stable-rank": {
        "holds": lambda d: _stable(d, 0.3),
        "fails": lambda d: _stable(d, 0.9),
        "open": lambda d: _few(_stable(d, 0.45)),
    },
    "policy": _side("policy"),
    "loss": _side("loss"),
    "policy-at-equal-length": {
        "holds": _shares,
        "fails": lambda d: _shares(d, on=(own.SIDES["policy"][0], 0.3)),
        "open": lambda d: _few(_shares(d)),
    },
    "cost": {
        "holds": lambda d: _stored(d, gain=0.2),
        "fails": _stored,
        "open": lambda d: d.change("storage", gain=np.nan),
    },
    "subnetwork": {
        "holds": lambda d: _gains(d, share=0.97),
        "fails": _gains,
        "open": lambda d: d.change("reruns", gain=np.nan),
    },
    "better-than-random": {
        "holds": lambda d: _gains(d, share=0.9),
        "fails": _gains,
        "open": lambda d: d.change("reruns", gain=np.nan),
    },
    "nearer-than-random": {
        "holds": lambda d: _gains(d, apart=0.2),
        "fails": _gains,
        "open": lambda d: _few(_gains(d, apart=0.2)),
    },
}
