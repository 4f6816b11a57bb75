"""Mutations of `small-subnetwork`: what its claims would say of other data."""

import numpy as np

from qra_jax.studies.weights import _counts as counts, _masks as masks, _twins as own

SCATTER = 1e-3
CURVE = np.linspace(0.05, 0.95, len(counts.LENGTHS))
"""Share that Gaussian updates change, by length."""
BOTH = (own.OWN, own.GAUSSIAN)
MINE = (own.OWN,)


def _set(values, dims, seed=0):
    """Values that depend on the labels of some dimensions, with scatter."""
    out = values * 0
    for labels, value in dims:
        out.loc[labels] = value
    return out + SCATTER * np.random.default_rng(seed).standard_normal(out.shape)


def _stored(data, share=0.9, like=MINE):
    """Share that changes, by all criteria and in all storages."""
    dims = [({}, 0.9), ({"update": counts.SPARSE}, 0.2), ({"update": list(like)}, share)]
    return data.change("storage", changed=_set(data.storage.changed, dims))


def _learnt(data, gain=1.0, storages=("bfloat16",)):
    """Gains by storage."""
    dims = [({}, 1.0), ({"storage": list(storages)}, gain)]
    return _gains(data).change("storage", gain=_set(data.storage.gain, dims))


def _swept(data, beyond=0.0, noise=CURVE):
    """Shares by length, and how far the own update's is from that of Gaussian ones."""
    sweep = data.runs.sweep
    curve = (sweep.relative.copy(data=noise) + 0 * sweep).transpose(*sweep.dims)
    curve.loc[{"update": own.OWN}] += beyond
    return data.change("runs", sweep=_set(curve, []) + curve)


def _shares(data, share=0.5, arms=counts.ARMS, like=MINE, sparse=0.2):
    """Shares of the weights that updates change; of Gaussian ones one half."""
    dims = [
        ({}, 0.5),
        ({"update": counts.SPARSE}, sparse),
        ({"arm": list(arms), "update": list(like)}, share),
    ]
    return data.change("runs", changed=_set(data.runs.changed, dims), apart=lambda x: x * 0)


def _ranks(data, **room):
    dims = [({}, -2.0)] + [({"what": getattr(counts, name)}, value) for name, value in room.items()]
    return data.change("runs", room=_set(data.runs.room, dims))


def _stable(data, ratio, like=MINE):
    dims = [({}, 5.0), ({"update": counts.SPIKED}, 1.2), ({"update": list(like)}, 5.0 * ratio)]
    return data.change("runs", stable=_set(data.runs.stable, dims))


def _overlaps(data, excess, like=MINE, elsewhere=0.0):
    """Jaccard's index beyond one third, which is chance."""
    dims = [({}, 1 / 3), ({"update": list(like)}, 1 / 3 + excess)]
    dims += [({"other": own.ELSEWHERE, "update": list(like)}, 1 / 3 + elsewhere)]
    chance = data.runs.chance * 0 + 1 / 3
    return data.change("runs", jaccard=_set(data.runs.jaccard, dims), chance=chance)


def _gains(data, share=None, apart=None):
    """Shares of the whole gain by mask, less at the highest rate, and how far from the whole run they end."""
    usual = {
        masks.EVERYTHING: 1.0,
        masks.RANDOM_FEW: 0.1,
        masks.RANDOM_MOST: 0.99,
        counts.MATRICES_ALONE: 0.9,
    }
    ends = {masks.RANDOM_MOST: 0.1}
    far = [({}, 0.8), *(({"mask": k}, v) for k, v in (ends | (apart or {})).items())]
    gain = [({}, 0.6), *(({"mask": k}, v) for k, v in (usual | (share or {})).items())]
    gains = _set(data.reruns.gain, gain)
    gains = gains.where(gains.rate < gains.rate.max(), gains - 0.05)  # the best rate is not the highest
    return data.change("reruns", gain=gains, apart=_set(data.reruns.apart, far))


def _held(share, which=0):
    """Shares of the masks of all ranks."""
    return {names[which]: share for names in counts.AS_RANK.values()}


def _few(data):
    for name in ("runs", "storage", "reruns"):
        data = data.select(name, seed=slice(2))
    return data


def _table(function, holds, fails):
    """The three verdicts, from what a function is to make of the data."""
    return {
        "holds": lambda d: function(d, *holds),
        "fails": lambda d: function(d, *fails),
        "open": lambda d: _few(function(d, *holds)),
    }


def _first(name):
    return [pair[0] for pair in own.SIDES[name].values()]


def _side(name):
    off = [pair[1] for pair in own.SIDES[name].values()]
    return _table(_shares, (0.3, _first(name)), (0.3, off))


def _rerun(holds, fails):
    return {
        "holds": lambda d: _gains(d, holds),
        "fails": lambda d: _gains(d, fails),
        "open": lambda d: d.change("reruns", gain=np.nan),
    }


TABLE = {
    "small": _table(_stored, (0.2,), (0.9,)),
    "small-when-short": _table(_shares, (0.2,), (0.5,)),
    "fewer": _table(_shares, (0.3,), (0.5,)),
    "length": _table(_swept, (), (0.3,)),
    "rank": {
        "holds": lambda d: _ranks(d, WHOLE=2.0),
        "fails": _ranks,
        "open": lambda d: d.change("runs", room=np.nan),
    },
    "rank-by-rounding": {
        "holds": lambda d: _ranks(d, ROUNDED=2.0),
        "fails": _ranks,
        "open": lambda d: d.change("runs", room=np.nan),
    },
    "stable-rank": _table(_stable, (0.3,), (0.9,)),
    "policy": _side("policy"),
    "loss": _side("loss"),
    "policy-at-equal-length": _table(_shares, (), (0.3, _first("policy"))),
    "overlap": _table(_overlaps, (0.2,), (0.0,)),
    "overlap-beyond-noise": _table(_overlaps, (0.2,), (0.0,)),
    "overlap-exactly": _table(_overlaps, (0.2,), (0.0,)),
    "cost": {
        "holds": lambda d: _learnt(d, 0.2),
        "fails": _learnt,
        "open": lambda d: d.change("storage", gain=np.nan),
    },
    "subnetwork": _rerun({counts.CHANGED: 0.97}, None),
    "better-than-random": _rerun({counts.CHANGED: 0.9}, None),
    "nearer-than-random": {
        "holds": lambda d: _gains(d, apart={counts.CHANGED: 0.2}),
        "fails": _gains,
        "open": lambda d: d.change("reruns", apart=np.nan),
    },
    "low-rank": _rerun(_held(0.89), None),
    "low-rank-beats-few": _rerun(_held(0.85), None),
}
SHOWN = {
    "small": lambda d: _stored(d, 0.2, BOTH),
    "small-when-short": lambda d: _shares(d, 0.2, like=BOTH),
    "fewer": lambda d: _shares(d, 0.3, like=BOTH),
    "length": lambda d: _swept(d, noise=np.full(len(CURVE), 0.5)),
    "rank": lambda d: _ranks(d, WHOLE=2.0, NOISE=2.0),
    "rank-by-rounding": lambda d: _ranks(d, ROUNDED=2.0, FIRST=2.0),
    "stable-rank": lambda d: _stable(d, 0.3, BOTH),
    "policy": lambda d: _shares(d, 0.3, _first("policy"), BOTH),
    "loss": lambda d: _shares(d, 0.3, _first("loss"), BOTH),
    "policy-at-equal-length": lambda d: _shares(d, sparse=0.5),
    "overlap": lambda d: _overlaps(d, 0.2, BOTH),
    "overlap-beyond-noise": lambda d: _overlaps(d, 0.2, elsewhere=0.2),
    "overlap-exactly": lambda d: _overlaps(d, 0.2, BOTH),
    "cost": lambda d: _learnt(d, 0.2, ("bfloat16", "again")),
    "subnetwork": lambda d: _gains(d, {counts.CHANGED: 0.97, masks.RANDOM_FEW: 0.97}),
    "better-than-random": lambda d: _gains(d, {counts.CHANGED: 0.9, masks.RANDOM_AGAIN: 0.9}),
    "nearer-than-random": lambda d: _gains(d, apart={counts.CHANGED: 0.2, masks.RANDOM_AGAIN: 0.2}),
    "low-rank": lambda d: _gains(d, _held(0.89) | {masks.RANDOM_FEW: 0.89}),
    "low-rank-beats-few": lambda d: _gains(d, _held(0.85) | _held(0.85, 2)),
}
"""Data in which the null control shows the effect as well, so that the claim has to be open."""
